import { expect, test } from "vitest";
import { linePath } from "./sparkline";

test("a gap interrupts the line", () => {
  expect(linePath([0, 10, null, 5])).toBe("M2.0 34.0h0L54.0 2.0M158.0 18.0h0");
});

test("a line of zeros is at the bottom", () => {
  expect(linePath([0, 0])).toBe("M2.0 34.0h0L158.0 34.0");
});

test("without values there is no line", () => {
  expect(linePath([])).toBe("");
  expect(linePath([null, Number.NaN])).toBe("");
});
