// The single number of a series.

import type { Points } from "./decimate";
import type { Reducer } from "./settings";

/** Returns the single number of points; `NaN` if all are gaps. */
export function reducePoints({ ys }: Points, reducer: Reducer): number {
  let count = 0;
  let sum = 0;
  let min = Number.NaN;
  let max = Number.NaN;
  let first = Number.NaN;
  let last = Number.NaN;
  for (let i = 0; i < ys.length; i++) {
    const y = ys[i] as number;
    if (Number.isNaN(y)) {
      continue;
    }
    if (count === 0) {
      first = y;
      min = y;
      max = y;
    }
    count += 1;
    sum += y;
    min = Math.min(min, y);
    max = Math.max(max, y);
    last = y;
  }
  switch (reducer) {
    case "count":
      return count;
    case "sum":
      return count === 0 ? Number.NaN : sum;
    case "mean":
      return count === 0 ? Number.NaN : sum / count;
    case "min":
      return min;
    case "max":
      return max;
    case "first":
      return first;
    default:
      return last;
  }
}
