import { describe, expect, it } from "vitest";
import { layoutBars } from "./bar-stacks";
import type { ChartData, Series } from "./chart-data";
import { distributionGrid, heatColumns, heatFraction, seriesGrid } from "./heat-grid";
import { heatColour } from "./palette";
import { reducePoints } from "./reduce";
import { fileName } from "./save-file";
import type { IndexedSeries } from "./scene";
import { toRange, visibleExtent, zoomAround } from "./view";

function series(ys: number[], step = 1): Series {
  const points = { xs: Float64Array.from(ys, (_, i) => i * step), ys: Float64Array.from(ys) };
  return { label: "s", points, gap: Number.POSITIVE_INFINITY, values: { min: Math.min(...ys), max: Math.max(...ys) } };
}

const indexed = (...all: Series[]): IndexedSeries[] => all.map((one, index) => ({ index, series: one }));

describe("bars", () => {
  it("stand beside each other", () => {
    const { bars, slots, distance } = layoutBars(
      indexed(series([1, 2]), series([3, 4])),
      { min: -1, max: 2 },
      false,
      0.01,
    );
    expect(slots).toBe(2);
    expect(distance).toBe(1);
    expect(bars.map(({ x, from, to, slot }) => [x, from, to, slot])).toEqual([
      [0, 0, 1, 0],
      [1, 0, 2, 0],
      [0, 0, 3, 1],
      [1, 0, 4, 1],
    ]);
  });

  it("stand on each other, negative ones below zero", () => {
    const { bars } = layoutBars(indexed(series([1]), series([-2]), series([3])), { min: -1, max: 1 }, true, 0.01);
    expect(bars.map(({ from, to }) => [from, to])).toEqual([
      [0, 1],
      [0, -2],
      [1, 4],
    ]);
  });

  it("are joined if there are more than pixels", () => {
    const values = Array.from({ length: 10_000 }, (_, i) => (i === 5_000 ? 99 : 1));
    const { bars } = layoutBars(indexed(series(values)), { min: 0, max: 9_999 }, false, 100);
    expect(bars.length).toBeLessThanOrEqual(101);
    expect(Math.max(...bars.map(({ to }) => to))).toBe(99);
  });
});

describe("heat maps", () => {
  it("count each point once", () => {
    const grid = distributionGrid([series([0, 1, 2, 3])], { min: 0, max: 3.5 }, { min: 0, max: 3 }, 2, 3);
    expect(grid.cells.reduce((sum, cell) => sum + (Number.isNaN(cell) ? 0 : cell), 0)).toBe(4);
    expect(grid.extent.max).toBe(2);
  });

  it("have a row for each series, the first one above", () => {
    const grid = seriesGrid([series([1, 1]), series([5, 7])], { min: 0, max: 2 }, 1);
    expect(Array.from(grid.cells)).toEqual([6, 1]);
  });

  it("have not more columns than points", () => {
    expect(heatColumns([series([1, 2, 3, 4])], { min: 0, max: 3 }, 1000)).toBe(4);
    expect(heatColumns([series(Array(5000).fill(1))], { min: 0, max: 4999 }, 1000)).toBe(250);
  });

  it("grow lighter with the number", () => {
    const lightness = [0, 0.25, 0.5, 0.75, 1].map((at) => {
      const [red, green, blue] = heatColour(at);
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    });
    expect(lightness).toEqual([...lightness].sort((a, b) => a - b));
    expect(heatFraction(25, { min: 1, max: 100 }, true)).toBe(0.5);
    expect(heatFraction(3, { min: 3, max: 3 }, false)).toBe(0.5);
  });
});

it("a series becomes one number", () => {
  const { points } = series([4, Number.NaN, 2, 6]);
  const all = (["first", "last", "min", "max", "mean", "sum", "count"] as const).map((how) =>
    reducePoints(points, how),
  );
  expect(all).toEqual([4, 6, 2, 6, 4, 12, 3]);
  expect(reducePoints(series([Number.NaN]).points, "sum")).toBeNaN();
});

describe("views", () => {
  const data = {
    axis: "time",
    base: 1_000_000_000n,
    categories: [],
    extent: { min: 0, max: 100 },
    series: [],
  } as unknown as ChartData;

  it("show the zoom even if the base of the data moves", () => {
    const zoom = { base: 3_000_000_000n, extent: { min: 10, max: 20 } };
    expect(visibleExtent(data, { kind: "line" }, zoom)).toEqual({ min: 2010, max: 2020 });
    expect(toRange(data, { min: 1.5, max: 2 })).toEqual({ from: 1_001_500_000n, to: 1_002_000_000n });
  });

  it("show the range that was asked for, else the data", () => {
    expect(visibleExtent(data, { kind: "line" }, undefined, { from: 0n, to: 2_000_000_000n })).toEqual({
      min: -1000,
      max: 1000,
    });
    expect(visibleExtent(data, { kind: "line" })).toEqual({ min: 0, max: 100 });
    const point = { ...data, extent: { min: 5, max: 5 } };
    expect(visibleExtent(point, { kind: "line" })).toEqual({ min: -995, max: 1005 });
  });

  it("keep the place under the cursor while zooming", () => {
    expect(zoomAround({ min: 0, max: 100 }, 25, 0.5)).toEqual({ min: 12.5, max: 62.5 });
  });
});

it("file names have no separators and no reserved words", () => {
  expect(fileName("../../etc/passwd", "png")).toBe("etc-passwd.png");
  expect(fileName("CON", "json")).toBe("neap-CON.json");
  expect(fileName("<b>\u0000\u202e", "png")).toBe("b.png");
  expect(fileName("", "png")).toBe("neap.png");
  expect(fileName("Temperatur im Gewächshaus", "png")).toBe("Temperatur im Gewächshaus.png");
  expect(fileName("x".repeat(60_000), "png")).toHaveLength(84);
});
