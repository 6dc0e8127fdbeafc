// Whole columns of Arrow data as numbers and codes, without an object for each value.

import type { Column } from "@uwdata/flechette";

/** The texts of a column: a code for each row, -1 for null, and the text of each code. */
export interface TextCodes {
  codes: Int32Array;
  texts: string[];
}

/** A batch of a column, as far as it is read here. */
interface ValueBatch {
  length: number;
  nullCount: number;
  validity?: Uint8Array;
  values?: unknown;
  /** The values of a dictionary. */
  cache?: ArrayLike<unknown>;
}

/** Milliseconds of the units of times: s, ms, µs, ns. */
const UNIT_MS = [1000, 1, 1e-3, 1e-6] as const;

/** Nanoseconds of the units of times. */
const UNIT_NS = [1_000_000_000n, 1_000_000n, 1_000n, 1n] as const;

const TWO_TO_32 = 2 ** 32;

/**
 * Returns a column of times as milliseconds since `base`, which is in nanoseconds since 1970. Differences of up to 104
 * days are exact to the nanosecond. Null is `NaN`.
 */
export function timeFloats(column: Column<unknown>, base: bigint): Float64Array | undefined {
  const { unit } = column.type as { unit?: number };
  const factor = UNIT_MS[unit ?? -1];
  const nanoseconds = UNIT_NS[unit ?? -1];
  if (factor === undefined || nanoseconds === undefined) {
    return undefined;
  }
  return readNumbers(column, base / nanoseconds, factor);
}

/** Returns a column of numbers; null is `NaN`. Returns `undefined` if its values are no plain numbers. */
export function numberFloats(column: Column<unknown>): Float64Array | undefined {
  return readNumbers(column, 0n, 1);
}

function readNumbers(column: Column<unknown>, base: bigint, factor: number): Float64Array | undefined {
  const floats = new Float64Array(column.length);
  let offset = 0;
  for (const batch of column.data as readonly ValueBatch[]) {
    const target = floats.subarray(offset, offset + batch.length);
    if (!fillNumbers(batch, target, base, factor)) {
      return undefined;
    }
    fillNulls(batch, target);
    offset += batch.length;
  }
  return floats;
}

/** Returns whether the values of a batch could be read as numbers. */
function fillNumbers(
  { values, cache, length }: ValueBatch,
  target: Float64Array,
  base: bigint,
  factor: number,
): boolean {
  if (cache !== undefined) {
    return false;
  }
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    fillWide(values, length, target, base, factor);
    return true;
  }
  if (values instanceof Float64Array || values instanceof Float32Array) {
    target.set(values.subarray(0, length));
    return true;
  }
  if (values instanceof Int32Array || values instanceof Uint32Array || values instanceof Int16Array) {
    target.set(values.subarray(0, length));
    return true;
  }
  return false;
}

/** Fills in 64-bit integers by their halves, because a `bigint` for each value takes ten times as long. */
function fillWide(
  values: BigInt64Array | BigUint64Array,
  length: number,
  target: Float64Array,
  base: bigint,
  factor: number,
): void {
  const halves = new Uint32Array(values.buffer, values.byteOffset, 2 * length);
  const isSigned = values instanceof BigInt64Array;
  const baseLow = Number(BigInt.asUintN(32, base));
  const baseHigh = Number(base >> 32n);
  for (let i = 0; i < length; i++) {
    const raw = halves[2 * i + 1] as number;
    const high = isSigned ? raw | 0 : raw;
    target[i] = ((high - baseHigh) * TWO_TO_32 + ((halves[2 * i] as number) - baseLow)) * factor;
  }
}

function fillNulls({ nullCount, validity, length }: ValueBatch, target: Float64Array): void {
  if (nullCount > 0 && validity !== undefined) {
    for (let i = 0; i < length; i++) {
      if (((validity[i >> 3] as number) & (1 << (i & 7))) === 0) {
        target[i] = Number.NaN;
      }
    }
  }
}

/** Returns the codes of a column of a dictionary of texts; `undefined` if it is none. */
export function dictionaryCodes(column: Column<unknown>): TextCodes | undefined {
  const codes = new Int32Array(column.length);
  const texts: string[] = [];
  const known = new Map<string, number>();
  let mapped: { cache: ArrayLike<unknown>; codes: Int32Array } | undefined;
  let offset = 0;
  for (const batch of column.data as readonly ValueBatch[]) {
    const { cache, values, length, nullCount, validity } = batch;
    const isIndexed = values instanceof Int32Array || values instanceof Int16Array || values instanceof Int8Array;
    if (cache === undefined || !isIndexed) {
      return undefined;
    }
    if (mapped?.cache !== cache) {
      mapped = { cache, codes: Int32Array.from(cache, (text) => codeOf(text, texts, known)) };
    }
    for (let i = 0; i < length; i++) {
      const isNull = nullCount > 0 && validity && ((validity[i >> 3] as number) & (1 << (i & 7))) === 0;
      codes[offset + i] = isNull ? -1 : (mapped.codes[values[i] as number] ?? -1);
    }
    offset += length;
  }
  return { codes, texts };
}

function codeOf(value: unknown, texts: string[], known: Map<string, number>): number {
  if (value === null || value === undefined) {
    return -1;
  }
  const text = String(value);
  let code = known.get(text);
  if (code === undefined) {
    code = texts.length;
    known.set(text, code);
    texts.push(text);
  }
  return code;
}
