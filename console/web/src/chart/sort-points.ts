// Sorting of points by their horizontal place.

import type { Points } from "./decimate";

/**
 * Returns points in the order of `xs`; equal ones keep their order. Takes time in proportion to the number of ordered
 * runs, of which an answer has few: one for each part that the server read.
 */
export function sortPoints(points: Points): Points {
  let runs = findRuns(points);
  if (runs.length <= 2) {
    return points;
  }
  let from = points;
  let to: Points = { xs: new Float64Array(points.xs.length), ys: new Float64Array(points.xs.length) };
  while (runs.length > 2) {
    const merged: number[] = [0];
    for (let i = 0; i + 1 < runs.length; i += 2) {
      const start = runs[i] as number;
      const middle = runs[i + 1] as number;
      const end = runs[i + 2] ?? middle;
      mergeRuns(from, start, middle, end, to);
      merged.push(end);
    }
    runs = merged;
    [from, to] = [to, from === points ? copyOf(points) : from];
  }
  return from;
}

function copyOf(points: Points): Points {
  return { xs: new Float64Array(points.xs.length), ys: new Float64Array(points.xs.length) };
}

/** Returns the starts of the ordered runs, and the end of the last one. Turns strictly descending runs around. */
function findRuns({ xs, ys }: Points): number[] {
  const starts = [0];
  let i = 1;
  while (i < xs.length) {
    const start = i - 1;
    if ((xs[i] as number) < (xs[start] as number)) {
      while (i < xs.length && (xs[i] as number) < (xs[i - 1] as number)) {
        i += 1;
      }
      xs.subarray(start, i).reverse();
      ys.subarray(start, i).reverse();
    } else {
      while (i < xs.length && (xs[i] as number) >= (xs[i - 1] as number)) {
        i += 1;
      }
    }
    starts.push(i);
    i += 1;
  }
  if (starts[starts.length - 1] !== xs.length) {
    starts.push(xs.length);
  }
  return starts;
}

function mergeRuns(from: Points, start: number, middle: number, end: number, to: Points): void {
  let left = start;
  let right = middle;
  for (let at = start; at < end; at++) {
    const takesLeft = left < middle && (right >= end || (from.xs[left] as number) <= (from.xs[right] as number));
    const index = takesLeft ? left++ : right++;
    to.xs[at] = from.xs[index] as number;
    to.ys[at] = from.ys[index] as number;
  }
}
