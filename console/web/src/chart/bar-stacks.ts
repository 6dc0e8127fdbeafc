// The places of bars: beside each other or on top of each other.

import { lowerBound } from "./decimate";
import type { Extent } from "./number-ticks";
import type { IndexedSeries } from "./scene";

/** A bar from `from` to `to` on the vertical axis. */
export interface Bar {
  x: number;
  from: number;
  to: number;
  /** The index of its series. */
  index: number;
  /** The place among the bars at the same `x`. */
  slot: number;
}

/** Bars, and how many are beside each other. */
export interface BarLayout {
  bars: Bar[];
  slots: number;
  /** The smallest distance of bars. */
  distance: number;
}

/**
 * Returns the bars that are visible. Bars closer than `resolution` are joined to one: to the largest of a series, or if
 * they are stacked, to their mean.
 */
export function layoutBars(shown: IndexedSeries[], view: Extent, isStacked: boolean, resolution: number): BarLayout {
  const joined = shown.map(({ index, series }) => ({
    index,
    bars: joinBars(series.points.xs, series.points.ys, view, isStacked, resolution),
  }));
  const bars: Bar[] = [];
  const ends = new Map<number, { above: number; below: number }>();
  joined.forEach(({ index, bars: own }, slot) => {
    for (const { x, y } of own) {
      if (!isStacked) {
        bars.push({ x, from: 0, to: y, index, slot });
        continue;
      }
      const end = ends.get(x) ?? { above: 0, below: 0 };
      const from = y >= 0 ? end.above : end.below;
      end[y >= 0 ? "above" : "below"] = from + y;
      ends.set(x, end);
      bars.push({ x, from, to: from + y, index, slot: 0 });
    }
  });
  return { bars, slots: isStacked ? 1 : Math.max(1, shown.length), distance: smallestDistance(bars) };
}

interface JoinedBar {
  x: number;
  y: number;
}

function joinBars(
  xs: Float64Array,
  ys: Float64Array,
  view: Extent,
  isStacked: boolean,
  resolution: number,
): JoinedBar[] {
  const end = lowerBound(xs, view.max);
  const start = lowerBound(xs, view.min);
  const isDense = (end - start) * resolution > view.max - view.min;
  const bars: JoinedBar[] = [];
  let cell = Number.NaN;
  let count = 0;
  for (let i = start; i <= end && i < xs.length; i++) {
    const x = xs[i] as number;
    const y = ys[i] as number;
    if (Number.isNaN(y) || x > view.max) {
      continue;
    }
    const at = isDense ? Math.floor(x / resolution) : x;
    const last = bars[bars.length - 1];
    if (at !== cell || last === undefined) {
      bars.push({ x: isDense ? (at + 0.5) * resolution : x, y });
      cell = at;
      count = 1;
    } else if (isStacked) {
      count += 1;
      last.y += (y - last.y) / count;
    } else if (Math.abs(y) > Math.abs(last.y)) {
      last.y = y;
    }
  }
  return bars;
}

function smallestDistance(bars: Bar[]): number {
  const xs = [...new Set(bars.map(({ x }) => x))].sort((a, b) => a - b);
  let distance = Number.POSITIVE_INFINITY;
  for (let i = 1; i < xs.length; i++) {
    distance = Math.min(distance, (xs[i] as number) - (xs[i - 1] as number));
  }
  return distance;
}
