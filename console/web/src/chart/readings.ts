// The values of series at a place of a chart.

import { nearestIndex } from "./decimate";
import type { IndexedSeries } from "./scene";

/** The value of a series near a place. */
export interface Reading {
  index: number;
  label: string;
  /** The place and value of the nearest point. */
  x: number;
  y: number;
}

/** Returns the nearest point of each series that is at most `reach` away from `x` and is no gap. */
export function readSeries(shown: IndexedSeries[], x: number, reach: number): Reading[] {
  return shown.flatMap(({ index, series }) => {
    const { xs, ys } = series.points;
    const at = nearestIndex(xs, x);
    const place = xs[at];
    const y = ys[at];
    if (place === undefined || y === undefined || Number.isNaN(y) || Math.abs(place - x) > reach) {
      return [];
    }
    return [{ index, label: series.label, x: place, y }];
  });
}

/** Returns the place of the point nearest to `x` in any series, or `x` itself if there is none. */
export function snap(shown: IndexedSeries[], x: number): number {
  let best = x;
  let distance = Number.POSITIVE_INFINITY;
  for (const { series } of shown) {
    const place = series.points.xs[nearestIndex(series.points.xs, x)];
    if (place !== undefined && Math.abs(place - x) < distance) {
      best = place;
      distance = Math.abs(place - x);
    }
  }
  return best;
}

/** Returns the place of the next point after (`direction` 1) or before (-1) `x`; at least `step` away from it. */
export function stepPoint(shown: IndexedSeries[], x: number, direction: 1 | -1, step: number): number {
  if (shown.length === 0) {
    return x;
  }
  const target = x + direction * step;
  const snapped = snap(shown, target);
  if ((snapped - x) * direction > 0) {
    return snapped;
  }
  let next = Number.NaN;
  for (const { series } of shown) {
    const { xs } = series.points;
    let at = nearestIndex(xs, target);
    while (at >= 0 && at < xs.length && ((xs[at] as number) - x) * direction <= 0) {
      at += direction;
    }
    const place = xs[at];
    if (place !== undefined && !(Math.abs(place - x) >= Math.abs(next - x))) {
      next = place;
    }
  }
  return Number.isNaN(next) ? x : next;
}
