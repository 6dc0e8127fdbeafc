import { describe, expect, it } from "vitest";
import { decimate, lowerBound, nearestIndex, type Points } from "./decimate";

function points(pairs: [number, number][]): Points {
  return { xs: Float64Array.from(pairs, ([x]) => x), ys: Float64Array.from(pairs, ([, y]) => y) };
}

function pairs({ xs, ys }: Points): [number, number][] {
  return Array.from(xs, (x, i) => [x, ys[i] as number]);
}

/** A series of noise, the same each time. */
function noise(length: number): Points {
  let state = 1;
  const ys = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    state = (state * 48271) % 2147483647;
    ys[i] = state / 2147483647;
  }
  return { xs: Float64Array.from({ length }, (_, i) => i), ys };
}

describe("decimate", () => {
  it("keeps few points as they are, with a neighbour on each side", () => {
    const series = points([
      [0, 1],
      [10, 2],
      [20, 3],
      [30, 4],
      [40, 5],
    ]);
    expect(pairs(decimate(series, 15, 25, 100, Number.POSITIVE_INFINITY))).toEqual([
      [10, 2],
      [20, 3],
      [30, 4],
    ]);
  });

  it("keeps the extent of a million points in each column of pixels", () => {
    const series = noise(1_000_000);
    const reduced = decimate(series, 0, 999_999, 500, Number.POSITIVE_INFINITY);
    expect(reduced.xs.length).toBeLessThanOrEqual(4 * 502);
    const width = 999_999 / 500;
    for (const column of [0, 17, 250, 499]) {
      const inColumn = (x: number): boolean => Math.floor(x / width) === column;
      const all = pairs(series).filter(([x]) => inColumn(x));
      const drawn = pairs(reduced).filter(([x]) => inColumn(x));
      const extent = (list: [number, number][]) => [
        Math.min(...list.map(([, y]) => y)),
        Math.max(...list.map(([, y]) => y)),
      ];
      expect(extent(drawn)).toEqual(extent(all));
      expect(drawn[0]).toEqual(all[0]);
      expect(drawn[drawn.length - 1]).toEqual(all[all.length - 1]);
    }
  });

  it("keeps the order of points", () => {
    const { xs } = decimate(noise(100_000), 0, 99_999, 300, Number.POSITIVE_INFINITY);
    expect(Array.from(xs)).toEqual(Array.from(xs).sort((a, b) => a - b));
  });

  it("keeps gaps by nulls, of many and of few points", () => {
    const series = noise(10_000);
    series.ys.fill(Number.NaN, 4000, 6000);
    const many = decimate(series, 0, 9999, 50, Number.POSITIVE_INFINITY);
    expect(Array.from(many.ys).filter(Number.isNaN)).toHaveLength(1);
    const few = decimate(series, 3990, 6010, 3000, Number.POSITIVE_INFINITY);
    expect(Array.from(few.ys).filter(Number.isNaN)).toHaveLength(1);
  });

  it("breaks the line where the distance is larger than a gap", () => {
    const series = points([
      [0, 1],
      [1, 1],
      [10, 1],
      [11, 1],
    ]);
    expect(pairs(decimate(series, 0, 11, 100, 2)).map(([x]) => x)).toEqual([0, 1, 5.5, 10, 11]);
    const long = noise(10_000);
    long.xs = long.xs.map((x) => (x < 5000 ? x : x + 3000));
    const { ys } = decimate(long, 0, 13_000, 100, 2);
    expect(Array.from(ys).filter(Number.isNaN)).toHaveLength(1);
  });

  it("draws nothing of nothing", () => {
    expect(decimate(points([]), 0, 1, 100, 1).xs).toHaveLength(0);
    expect(decimate(points([[5, Number.NaN]]), 0, 10, 100, 1).xs).toHaveLength(0);
  });
});

describe("search", () => {
  it("finds places and the nearest point", () => {
    const xs = Float64Array.of(1, 3, 3, 7);
    expect([0, 1, 2, 3, 7, 8].map((x) => lowerBound(xs, x))).toEqual([0, 0, 1, 1, 3, 4]);
    expect([-5, 1.9, 2.1, 4.9, 5.1, 99].map((x) => nearestIndex(xs, x))).toEqual([0, 0, 1, 2, 3, 3]);
    expect(nearestIndex(new Float64Array(0), 1)).toBe(-1);
  });
});
