import { expect, test } from "vitest";
import type { Table } from "../api/schema";
import { metricsOf, suggestPromql } from "./promql-language";

const TABLES: Table[] = [
  {
    name: "cpu",
    columns: [
      { name: "host", role: "tag", type: "Dictionary(Int32, Utf8)" },
      { name: "usage", role: "field", type: "Float64" },
      { name: "state", role: "field", type: "Utf8" },
      { name: "value", role: "field", type: "Int64" },
    ],
  },
];

function labels(before: string): string[] {
  return (suggestPromql(before, TABLES) ?? []).map(({ label }) => label);
}

test("numbers_of_tables_are_metrics", () => {
  expect(metricsOf(TABLES)).toEqual(["cpu_usage", "cpu"]);
});

test("labels_are_suggested_in_braces_and_groups_and_metrics_elsewhere", () => {
  expect(labels("cpu{")).toEqual(["host"]);
  expect(labels('cpu{a="}", ')).toEqual(["host"]);
  expect(labels("sum by (")).toEqual(["host"]);
  expect(labels('cpu{host="a"} + ')).toEqual(expect.arrayContaining(["cpu_usage", "rate", "sum"]));
  expect([suggestPromql('cpu{host="', TABLES), suggestPromql("# ra", TABLES), suggestPromql("cpu[5", TABLES)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
