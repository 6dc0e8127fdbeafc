// Missing intervals in series.

import type { GapMode } from "./settings";

/** Distances that are looked at. */
const SAMPLE_SIZE = 2000;

/** A series is regular if nine of ten distances are at most this many times the median. */
const REGULAR_SPREAD = 1.5;

/** In a regular series, a distance of more than this many medians is a gap. */
const GAP_FACTOR = 2.5;

/** Parts of the axis of which a series has the extremes only. */
export interface Buckets {
  start: number;
  width: number;
}

/**
 * Returns the largest distance between neighbours that is drawn as a line. A series whose points have irregular
 * distances has no gaps but its nulls. In a series of extremes, only neighbours of different buckets were neighbours
 * before.
 */
export function gapDistance(xs: Float64Array, mode: GapMode, buckets?: Buckets): number {
  if (mode !== "auto" || xs.length < 4) {
    return Number.POSITIVE_INFINITY;
  }
  const step = Math.max(1, Math.floor((xs.length - 1) / SAMPLE_SIZE));
  const distances: number[] = [];
  for (let i = 1; i < xs.length; i += step) {
    const [before, after] = [xs[i - 1] as number, xs[i] as number];
    const distance = after - before;
    if (distance > 0 && (buckets === undefined || bucketOf(buckets, before) !== bucketOf(buckets, after))) {
      distances.push(distance);
    }
  }
  distances.sort((a, b) => a - b);
  const median = distances[Math.floor(distances.length / 2)] ?? 0;
  const usual = distances[Math.floor(distances.length * 0.9)] ?? 0;
  if (median <= 0 || (usual > median * REGULAR_SPREAD && distances.length >= 10)) {
    return Number.POSITIVE_INFINITY;
  }
  return Math.max(median * GAP_FACTOR, buckets?.width ?? 0);
}

function bucketOf({ start, width }: Buckets, x: number): number {
  return Math.floor((x - start) / width);
}
