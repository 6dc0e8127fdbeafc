/** Sorts the rows of a result in the page. */

import type { ResultColumn } from "../api/query";

/** The maximum number of rows that the page sorts. Larger results are sorted by the query. */
export const MAX_SORTED_ROWS = 1_000_000;

/** Returns the row numbers in the order of a column's values. Nulls come last in both directions. */
export function sortRows(column: ResultColumn, rows: number, direction: "ascending" | "descending"): Uint32Array {
  const order = new Uint32Array(rows).map((_, row) => row);
  const sign = direction === "ascending" ? 1 : -1;
  if (column.kind === "number" || column.kind === "boolean") {
    const keys = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const value = column.get(row);
      keys[row] = value === null || value === undefined ? Number.NaN : Number(value);
    }
    return order.sort((left, right) => compareNumbers(keys[left] ?? Number.NaN, keys[right] ?? Number.NaN, sign));
  }
  const keys = Array.from({ length: rows }, (_, row) => sortKey(column.get(row)));
  return order.sort((left, right) => compareKeys(keys[left] ?? null, keys[right] ?? null, sign));
}

type SortKey = bigint | string | null;

function sortKey(value: unknown): SortKey {
  if (value === null || value === undefined) {
    return null;
  }
  if (typeof value === "bigint" || typeof value === "string") {
    return value;
  }
  if (typeof value === "number" && Number.isInteger(value)) {
    return BigInt(value);
  }
  return typeof value === "object"
    ? JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}` : inner))
    : String(value);
}

function compareNumbers(left: number, right: number, sign: number): number {
  if (Number.isNaN(left) || Number.isNaN(right)) {
    return Number(Number.isNaN(left)) - Number(Number.isNaN(right));
  }
  return left === right ? 0 : left < right ? -sign : sign;
}

function compareKeys(left: SortKey, right: SortKey, sign: number): number {
  if (left === null || right === null) {
    return Number(left === null) - Number(right === null);
  }
  return left === right ? 0 : left < right ? -sign : sign;
}
