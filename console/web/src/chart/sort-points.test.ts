import { expect, it } from "vitest";
import { sortPoints } from "./sort-points";

function sorted(xs: number[]): [number[], number[]] {
  const points = sortPoints({ xs: Float64Array.from(xs), ys: Float64Array.from(xs, (_, i) => i) });
  return [Array.from(points.xs), Array.from(points.ys)];
}

it("keeps ordered points as they are", () => {
  const points = { xs: Float64Array.of(1, 2, 2, 3), ys: Float64Array.of(4, 5, 6, 7) };
  expect(sortPoints(points)).toBe(points);
});

it("turns descending points around", () => {
  expect(sorted([3, 2, 1])).toEqual([
    [1, 2, 3],
    [2, 1, 0],
  ]);
});

it("sorts points in any order, and keeps the order of equal ones", () => {
  let state = 7;
  for (let length = 0; length < 60; length++) {
    const xs = Array.from({ length }, () => {
      state = (state * 48271) % 2147483647;
      return state % 10;
    });
    const expected = xs.map((x, i) => [x, i] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    expect(sorted(xs)).toEqual([expected.map(([x]) => x), expected.map(([, i]) => i)]);
  }
});
