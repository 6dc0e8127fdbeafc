import { expect, test } from "vitest";
import {
  hasFinerPoints,
  inlineParameters,
  parameterError,
  parameterValues,
  userPlaceholders,
  usesRange,
} from "./parameters";

const NOW = Date.parse("2026-01-31T12:00:00Z");

test("the_time_range_fills_from_and_to", () => {
  const values = parameterValues("WHERE time >= $from AND time < $to", "sql", {}, { from: "now-1h", to: "" }, NOW);
  expect(values).toEqual({ from: "2026-01-31T11:00:00Z", to: "2262-04-11T23:47:16Z" });
});

test("the_interval_fits_the_range_or_the_data_if_the_range_is_open", () => {
  const interval = (from: string, shown?: { fromMs: number; toMs: number }) =>
    parameterValues("$interval", "sql", {}, { from, to: from === "" ? "" : "now" }, NOW, shown).interval;
  expect(interval("now-1h")).toBe("30 seconds");
  expect(interval("", { fromMs: 0, toMs: 86_400_000 })).toBe("5 minutes");
  expect(interval("")).toBe("1 hour");
});

test("queries_in_promql_are_evaluated_over_the_range_whether_or_not_their_text_says_so", () => {
  expect([usesRange("up", "promql"), usesRange("time > $from", "sql"), usesRange("1", "sql")]).toEqual([
    true,
    true,
    false,
  ]);
  expect([hasFinerPoints("up", "promql"), hasFinerPoints("$from $to", "sql")]).toEqual([true, false]);
  const values = parameterValues("up", "promql", {}, { from: "now-1h", to: "now" }, NOW);
  expect(values).toEqual({ from: "2026-01-31T11:00:00Z", to: "2026-01-31T12:00:00Z", interval: "30 seconds" });
});

test("values_have_the_chosen_type_and_only_used_ones_are_sent", () => {
  const inputs = {
    a: { type: "number", value: "1.5" },
    b: { type: "boolean", value: "true" },
    c: { type: "null", value: "x" },
    d: { type: "text", value: "x" },
    unused: { type: "text", value: "x" },
  } as const;
  const values = parameterValues("SELECT $a, $b, $c, $d, $e", "sql", inputs, { from: "", to: "" }, NOW);
  expect(values).toEqual({ a: 1.5, b: true, c: null, d: "x", e: "" });
  expect(userPlaceholders("$a $from $to", "sql")).toEqual(["a"]);
  expect(parameterError({ type: "number", value: "x" })).toBeDefined();
});

test("a_placeholder_may_have_the_name_of_a_property_of_objects", () => {
  const values = parameterValues("SELECT $constructor, $__proto__", "sql", {}, { from: "", to: "" }, NOW);
  expect(Object.entries(values)).toEqual([
    ["constructor", ""],
    ["__proto__", ""],
  ]);
});

test("inlined_values_are_literals_of_the_language", () => {
  const text = "WHERE a = $a AND b = $b AND c = '$a'";
  expect(inlineParameters(text, "sql", { a: "it's", b: null })).toBe("WHERE a = 'it''s' AND b = NULL AND c = '$a'");
  expect(inlineParameters("a = $a", "influxql", { a: "it's \\" })).toBe(String.raw`a = 'it\'s \\'`);
});
