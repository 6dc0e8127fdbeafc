// Missing intervals in series.

import type { GapMode } from "./settings";

/** Distances that are looked at. */
const SAMPLE_SIZE = 2000;

/** A series is regular if nine of ten distances are at most this many times the median. */
const REGULAR_SPREAD = 1.5;

/** In a regular series, a distance of more than this many medians is a gap. */
const GAP_FACTOR = 2.5;

/**
 * Returns the largest distance between neighbours that is drawn as a line. A series whose points have irregular
 * distances has no gaps but its nulls.
 */
export function gapDistance(xs: Float64Array, mode: GapMode): number {
  if (mode !== "auto" || xs.length < 4) {
    return Number.POSITIVE_INFINITY;
  }
  const step = Math.max(1, Math.floor((xs.length - 1) / SAMPLE_SIZE));
  const distances: number[] = [];
  for (let i = 1; i < xs.length; i += step) {
    const distance = (xs[i] as number) - (xs[i - 1] as number);
    if (distance > 0) {
      distances.push(distance);
    }
  }
  distances.sort((a, b) => a - b);
  const median = distances[Math.floor(distances.length / 2)] ?? 0;
  const usual = distances[Math.floor(distances.length * 0.9)] ?? 0;
  if (median <= 0 || (usual > median * REGULAR_SPREAD && distances.length >= 10)) {
    return Number.POSITIVE_INFINITY;
  }
  return median * GAP_FACTOR;
}
