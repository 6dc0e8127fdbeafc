import { expect, test } from "vitest";
import { formatBytes } from "../api/format-value";
import { formatDollars, formatFigure, formatSeconds } from "./format";

test("bytes have a binary unit", () => {
  expect([0, 1023, 1024, 1536 * 1024, 5e15].map(formatBytes)).toEqual([
    "0 B",
    "1,023 B",
    "1 KiB",
    "1.5 MiB",
    "4.44 PiB",
  ]);
});

test("durations have units that fit", () => {
  expect([0, 0.0123, 3.5, 75, 12_000, 200_000].map(formatSeconds)).toEqual([
    "0 s",
    "12.3 ms",
    "3.5 s",
    "1 min 15 s",
    "3 h 20 min",
    "2 d 7 h",
  ]);
});

test("small amounts of money are not shown as nothing", () => {
  expect([0, 0.000_001, 0.000_25, 0.25, 12.345, 2_235].map(formatDollars)).toEqual([
    "$0.00",
    "< $0.00001",
    "$0.00025",
    "$0.2500",
    "$12.35",
    "$2,235.00",
  ]);
});

test("figures have their unit", () => {
  expect(formatFigure(12.34, "per-second")).toBe("12.3/s");
  expect(formatFigure(0.987, "ratio")).toBe("98.7 %");
});
