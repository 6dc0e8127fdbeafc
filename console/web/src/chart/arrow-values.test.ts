import {
  type Column,
  columnFromArray,
  columnFromValues,
  dictionary,
  float64,
  int64,
  tableFromColumns,
  tableFromIPC,
  tableToIPC,
  timestamp,
  utf8,
} from "@uwdata/flechette";
import { describe, expect, it } from "vitest";
import { dictionaryCodes, numberFloats, timeFloats } from "./arrow-values";

/** Writes columns as an Arrow stream, and reads it as the page does. */
function read(columns: Parameters<typeof tableFromColumns>[0]) {
  const bytes = tableToIPC(tableFromColumns(columns), { format: "stream" });
  if (bytes === null) {
    throw new Error("no bytes");
  }
  return tableFromIPC(bytes, { useBigInt: true, useBigIntTimestamp: true });
}

describe("columns of Arrow", () => {
  it("of numbers have NaN for null", () => {
    const table = read({
      v: columnFromArray([1.5, null, -3], float64()),
      n: columnFromArray([5n, -(2n ** 40n), null], int64()),
    });
    expect(Array.from(numberFloats(table.getChild("v")) ?? [])).toEqual([1.5, Number.NaN, -3]);
    expect(Array.from(numberFloats(table.getChild("n")) ?? [])).toEqual([5, -(2 ** 40), Number.NaN]);
  });

  it("of times count milliseconds since a base, exactly to the nanosecond, also before 1970", () => {
    const base = 1_750_000_000_000_000_000n;
    const values = BigInt64Array.of(base, base + 1n, 0n, -1n);
    const batch = { length: 4, nullCount: 1, validity: Uint8Array.of(0b1011), values };
    const column = { type: { unit: 3 }, length: 4, data: [batch] } as unknown as Column<unknown>;
    expect(Array.from(timeFloats(column, base) ?? [])).toEqual([0, 1e-6, Number.NaN, -1_750_000_000_000]);
    expect(timeFloats(column, base - 100n * 86_400_000_000_001n)?.[1]).toBe(100 * 86_400_000 + 101e-6);
    const seconds = read({ time: columnFromArray([1_750_000_000_000], timestamp(0)) });
    expect(timeFloats(seconds.getChild("time"), base)?.[0]).toBe(0);
  });

  it("of a dictionary have a code for each text", () => {
    const table = read({ host: columnFromArray(["b", "a", null, "b"], dictionary(utf8())) });
    const { codes, texts } = dictionaryCodes(table.getChild("host")) ?? { codes: [], texts: [] };
    expect(Array.from(codes, (code) => texts[code])).toEqual(["b", "a", undefined, "b"]);
  });

  it("of other types are left to others", () => {
    const table = read({ text: columnFromValues(["x"], utf8()) });
    expect(numberFloats(table.getChild("text"))).toBeUndefined();
    expect(dictionaryCodes(table.getChild("text"))).toBeUndefined();
    expect(timeFloats(table.getChild("text"), 0n)).toBeUndefined();
  });
});
