import { expect, it } from "vitest";
import { gapDistance } from "./gaps";

const every = (step: number, length: number) => Float64Array.from({ length }, (_, i) => i * step);

it("finds the gap of a regular series", () => {
  const xs = every(60, 1000).filter((x) => x < 20_000 || x > 30_000);
  expect(gapDistance(xs, "auto")).toBe(150);
});

it("finds no gap in an irregular series", () => {
  const xs = Float64Array.from({ length: 500 }, (_, i) => i * i);
  expect(gapDistance(xs, "auto")).toBe(Number.POSITIVE_INFINITY);
});

it("finds the gaps of a thinned series between its buckets", () => {
  // The first, the last and two others of each hundred points whose distance is 60.
  const kept = [0, 10, 90, 99].map((i) => i * 60);
  const xs = Float64Array.from({ length: 80 }, (_, i) => Math.floor(i / 4) * 6000 + (kept[i % 4] as number));
  expect(gapDistance(xs, "auto")).toBe(Number.POSITIVE_INFINITY);
  expect(gapDistance(xs, "auto", { start: 0, width: 6000 })).toBe(6000);
});

it("finds no gap if it is not asked for or there are few points", () => {
  expect(gapDistance(every(60, 100), "nulls")).toBe(Number.POSITIVE_INFINITY);
  expect(gapDistance(every(60, 3), "auto")).toBe(Number.POSITIVE_INFINITY);
});
