// Whole columns of a result as typed arrays.

import type { Column } from "@uwdata/flechette";
import type { QueryResult, ResultColumn } from "../api/query";
import { dictionaryCodes, numberFloats, type TextCodes, timeFloats } from "./arrow-values";

/** A column with the Arrow data that its values come from. */
type ArrowColumn = ResultColumn & { vector?: Column<unknown> };

/** Nanoseconds of a millisecond. */
const NS_PER_MS = 1e6;

/** Returns a column as numbers. Null is `NaN`; a time is the number of milliseconds since `base`. */
export function floatsOf(result: QueryResult, column: ResultColumn, base: bigint): Float64Array {
  const { vector } = column as ArrowColumn;
  const isTime = column.kind === "time";
  const fast = vector && (isTime ? timeFloats(vector, base) : numberFloats(vector));
  if (fast?.length === result.rows) {
    return fast;
  }
  const floats = new Float64Array(result.rows);
  for (let row = 0; row < result.rows; row++) {
    floats[row] = floatOf(column.get(row), isTime, base);
  }
  return floats;
}

function floatOf(value: unknown, isTime: boolean, base: bigint): number {
  switch (typeof value) {
    case "number":
      return value;
    case "bigint":
      return isTime ? Number(value - base) / NS_PER_MS : Number(value);
    case "boolean":
      return value ? 1 : 0;
    default:
      return Number.NaN;
  }
}

/** Returns the codes of the texts of a column. Values that are no texts are written as such. */
export function codesOf(result: QueryResult, column: ResultColumn): TextCodes {
  const { vector } = column as ArrowColumn;
  const fast = vector && dictionaryCodes(vector);
  if (fast?.codes.length === result.rows) {
    return fast;
  }
  const codes = new Int32Array(result.rows);
  const texts: string[] = [];
  const known = new Map<unknown, number>();
  for (let row = 0; row < result.rows; row++) {
    const value = column.get(row);
    if (value === null || value === undefined) {
      codes[row] = -1;
      continue;
    }
    let code = known.get(value);
    if (code === undefined) {
      code = texts.length;
      known.set(value, code);
      texts.push(String(value));
    }
    codes[row] = code;
  }
  return { codes, texts };
}

/** Returns the first time of a column, in nanoseconds since 1970; 0 if there is none. */
export function firstTime(result: QueryResult, column: ResultColumn): bigint {
  for (let row = 0; row < result.rows; row++) {
    const value = column.get(row);
    if (typeof value === "bigint") {
      return value;
    }
  }
  return 0n;
}
