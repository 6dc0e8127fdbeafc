import { expect, test } from "vitest";
import type { ColumnKind, ResultColumn } from "../api/query";
import { sortRows } from "./sort-rows";

function column(kind: ColumnKind, values: unknown[]): ResultColumn {
  return { name: "a", kind, arrowType: "", get: (row) => values[row] ?? null };
}

function sorted(kind: ColumnKind, values: unknown[], direction: "ascending" | "descending"): unknown[] {
  return [...sortRows(column(kind, values), values.length, direction)].map((row) => values[row]);
}

test("numbers_are_sorted_with_nulls_last_in_both_directions", () => {
  expect(sorted("number", [2, null, 10, -1], "ascending")).toEqual([-1, 2, 10, null]);
  expect(sorted("number", [2, null, 10, -1], "descending")).toEqual([10, 2, -1, null]);
});

test("integers_beyond_doubles_keep_their_order", () => {
  const values = [9_007_199_254_740_993n, 9_007_199_254_740_992n, 3];
  expect(sorted("integer", values, "ascending")).toEqual([3, values[1], values[0]]);
});

test("texts_are_sorted_by_code_unit_and_equal_values_keep_their_order", () => {
  expect(sorted("text", ["b", "a", "B"], "ascending")).toEqual(["B", "a", "b"]);
  expect([...sortRows(column("text", ["x", "a", "x", "a"]), 4, "descending")]).toEqual([0, 2, 1, 3]);
});
