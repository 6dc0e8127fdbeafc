import { expect, test } from "vitest";
import type { Column, Table } from "../api/schema";
import { firstChart, sampleQuery } from "./first-chart";

function column(name: string, role: Column["role"], type = "Float64"): Column {
  return { name, role, type: role === "tag" ? "Dictionary(Int32, Utf8)" : type };
}

const CPU: Table = {
  name: "cpu",
  columns: [
    column("host", "tag"),
    column("region", "tag"),
    column("state", "field", "Utf8"),
    column("usage", "field"),
    column("load", "field"),
    column("time", "time", "Timestamp(ns)"),
  ],
};

test("a_first_chart_has_a_line_for_each_value_of_the_tag_with_the_fewest_values", () => {
  const chart = firstChart(
    CPU,
    new Map([
      ["host", 30],
      ["region", 3],
    ]),
  );
  expect(chart?.text).toBe(
    "SELECT date_bin($interval, time) AS time, region, avg(usage) AS usage\nFROM cpu\n" +
      "WHERE time >= $from AND time < $to\nGROUP BY 1, 2 ORDER BY 1",
  );
  expect(chart?.note).toBe("Means over \u2068host\u2069. Not drawn: \u2068load\u2069.");
});

test("a_tag_with_one_value_makes_no_lines", () => {
  const chart = firstChart(
    CPU,
    new Map([
      ["host", 2],
      ["region", 1],
    ]),
  );
  expect(chart?.text).toContain("time, host, avg(usage)");
});

test("at_most_50_lines_are_drawn_and_the_note_says_so", () => {
  const chart = firstChart(CPU, new Map([["host", 51]]));
  expect(chart?.text).toContain(
    "AND host IN (SELECT DISTINCT host FROM cpu WHERE time >= $from AND time < $to ORDER BY 1 LIMIT 50)",
  );
  expect(chart?.note).toContain("The first 50 values of host; there are more.");
});

test("units_are_not_mixed", () => {
  const named = ["in_bytes", "errors", "out_bytes"].map((name) => column(name, "field"));
  const net: Table = { name: "net", columns: named };
  expect(firstChart(net, new Map())?.text).toContain("avg(in_bytes) AS in_bytes, avg(out_bytes) AS out_bytes\n");
  const single: Table = { name: "Net", columns: [column("errors", "field", "Int64"), column("out_bytes", "field")] };
  expect(firstChart(single, new Map())?.text).toContain(
    'avg(errors) AS mean, min(errors) AS lowest, max(errors) AS highest\nFROM "Net"',
  );
});

test("a_table_without_numbers_has_no_chart", () => {
  expect(firstChart({ name: "log", columns: [column("text", "field", "Utf8")] }, new Map())).toBeUndefined();
});

test("values_are_counted_in_a_bounded_number_of_rows_with_quoted_names", () => {
  expect(sampleQuery({ name: 'a"b', columns: [column("x y", "tag")] })).toBe(
    'SELECT count(DISTINCT "x y") AS "x y" FROM (SELECT "x y" FROM "a""b" WHERE time >= $from AND time < $to ORDER BY time DESC LIMIT 10000)',
  );
  expect(sampleQuery({ name: "a", columns: [] })).toBeUndefined();
});
