import { describe, expect, it } from "vitest";
import { formatNumber, UNITS, unitOf } from "./units";

describe("formatNumber", () => {
  it.each([
    [0, "0"],
    [-0, "0"],
    [1.5, "1.5"],
    [0.123456, "0.1235"],
    [12.3456, "12.35"],
    [1234.56, "1234.6"],
    [-1234567.8, "−1,234,568"],
    [-3, "−3"],
    [1e-9, "1e-9"],
    [1e20, "1e+20"],
    [Number.NaN, "–"],
    [Number.POSITIVE_INFINITY, "∞"],
  ])("writes %s as %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });

  it("keeps the decimal places that are asked for", () => {
    expect(formatNumber(1.005, 1)).toBe("1.0");
    expect(formatNumber(-0.001, 2)).toBe("0.00");
  });
});

describe("units", () => {
  it.each([
    ["bytes", 1536, "1.5 KiB"],
    ["bytes", 12, "12 B"],
    ["bytes_si", 1_500_000, "1.5 MB"],
    ["ratio", 0.256, "25.6 %"],
    ["milliseconds", 90_000, "1.5 min"],
    ["nanoseconds", 1500, "1.5 µs"],
    ["seconds", 0, "0 s"],
    ["short", 2_500_000, "2.5 M"],
    ["celsius", 21.5, "21.5 °C"],
    ["unknown", 3, "3"],
  ])("%s of %s is %s", (unit, value, text) => {
    expect(unitOf(unit).format(value)).toBe(text);
  });

  it("have distinct ids", () => {
    expect(new Set(UNITS.map(({ id }) => id)).size).toBe(UNITS.length);
  });
});
