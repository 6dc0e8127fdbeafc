import { expect, it } from "vitest";
import { readSeries, snap, stepPoint } from "./readings";
import type { IndexedSeries } from "./scene";

function series(index: number, pairs: [number, number][]): IndexedSeries {
  const points = { xs: Float64Array.from(pairs, ([x]) => x), ys: Float64Array.from(pairs, ([, y]) => y) };
  return { index, series: { label: `s${index}`, points, gap: 10, values: { min: 0, max: 9 } } };
}

const shown = [
  series(0, [
    [0, 1],
    [10, 2],
    [20, Number.NaN],
    [30, 4],
  ]),
  series(2, [
    [12, 7],
    [50, 8],
  ]),
];

it("the cursor reads the nearest point of each series that is near enough and no gap", () => {
  expect(readSeries(shown, 11, 5).map(({ index, x, y }) => [index, x, y])).toEqual([
    [0, 10, 2],
    [2, 12, 7],
  ]);
  expect(readSeries(shown, 20, 5)).toEqual([]);
  expect(readSeries([], 20, 5)).toEqual([]);
});

it("the cursor snaps to the nearest point of any series", () => {
  expect(snap(shown, 11.4)).toBe(12);
  expect(snap([], 7)).toBe(7);
});

it("a key moves the cursor to the next point, also over a wide gap, and stays at the ends", () => {
  expect(stepPoint(shown, 30, 1, 0.1)).toBe(50);
  expect(stepPoint(shown, 50, 1, 0.1)).toBe(50);
  expect(stepPoint(shown, 12, -1, 0.1)).toBe(10);
  expect(stepPoint(shown, 0, -1, 0.1)).toBe(0);
  expect(stepPoint([], 3, 1, 0.1)).toBe(3);
});
