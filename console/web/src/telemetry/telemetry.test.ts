import { expect, test } from "vitest";
import type { Table } from "../api/schema";
import { logsQuery, servicesQuery, traceQuery, tracesQuery } from "./queries";
import { attributesOf, type SpanRow, traceLength, traceLines } from "./trace";

function span(id: string, parent: string | undefined, offset: number, duration = 10): SpanRow {
  return { span_id: id, parent_span_id: parent, offset_nano: offset, duration_nano: duration };
}

function table(...names: string[]): Table {
  return { name: "logs", columns: names.map((name) => ({ name, type: "Utf8", role: "field" })) };
}

const RANGE = { from: "a", to: "b" };

test("spans_are_listed_below_their_parents_in_the_order_of_their_starts", () => {
  const lines = traceLines([span("c", "a", 30), span("d", "b", 25), span("a", undefined, 0), span("b", "a", 20)]);
  expect(lines.map(({ span: { span_id }, depth }) => `${span_id}${depth}`)).toEqual(["a0", "b1", "d2", "c1"]);
});

test("spans_whose_parent_is_missing_or_that_are_their_own_ancestors_are_listed_too", () => {
  const lines = traceLines([span("a", "gone", 0), span("x", "y", 1), span("y", "x", 2), span("z", "z", 3)]);
  expect(lines.map(({ span: { span_id }, depth, isOrphan }) => [span_id, depth, isOrphan])).toEqual([
    ["a", 0, true],
    ["z", 0, true],
    ["x", 0, true],
    ["y", 1, false],
  ]);
});

test("a_trace_is_as_long_as_its_last_span", () => {
  expect(traceLength([span("a", undefined, 0, 50), span("b", "a", 40, 30)])).toBe(70);
  expect(traceLength([])).toBe(1);
});

test("a_deep_trace_needs_no_stack", () => {
  const chain = Array.from({ length: 20_000 }, (_, at) => span(`${at}`, at === 0 ? undefined : `${at - 1}`, at));
  expect(traceLines(chain).at(-1)?.depth).toBe(19_999);
});

test("attributes_are_texts_and_anything_else_is_none", () => {
  expect(attributesOf('{"b": 1, "a": "x", "c": {"d": []}}')).toEqual([
    ["a", "x"],
    ["b", "1"],
    ["c", '{"d":[]}'],
  ]);
  expect([attributesOf("[1]"), attributesOf("{"), attributesOf(undefined)]).toEqual([[], [], []]);
});

test("every_word_of_a_filter_is_a_parameter_and_columns_that_are_missing_are_left_out", () => {
  const filter = { text: "Card  it's", service: "pay", isError: true };
  const query = logsQuery(table("body", "attributes", "severity_number", "service.name", "trace_id"), filter, RANGE);
  expect(query.params).toEqual({ from: "a", to: "b", word0: "card", word1: "it's", service: "pay" });
  expect(query.text).toContain('(strpos(lower("body"), $word1) > 0 OR strpos(lower("attributes"), $word1) > 0)');
  expect(query.text).toContain('"service.name" = $service');
  expect(query.text).toContain("severity_number >= 17");
  expect(query.text).not.toContain("event");
  expect(logsQuery(table(), filter, RANGE).params).toEqual({ from: "a", to: "b", word0: "card", word1: "it's" });
  expect(traceQuery(table(), "x").text).not.toContain("span.name");
  expect(tracesQuery(table("duration_nano"), { ...filter, text: "" }, RANGE).text).toContain(
    "HAVING count(*) FILTER (WHERE true) > 0 AND errors > 0",
  );
  expect(servicesQuery(table(), RANGE)).toBeUndefined();
});
