// The interval of the points of a chart, as a parameter of queries.

/** Points that a chart has room for. */
const POINTS = 300;

/** The interval of a range without an end, because any number of years may be in it. */
const DEFAULT_INTERVAL = "1 hour";

const INTERVALS: readonly [number, string][] = [
  [1, "1 millisecond"],
  [10, "10 milliseconds"],
  [100, "100 milliseconds"],
  [1000, "1 second"],
  [5000, "5 seconds"],
  [10_000, "10 seconds"],
  [30_000, "30 seconds"],
  [60_000, "1 minute"],
  [300_000, "5 minutes"],
  [600_000, "10 minutes"],
  [900_000, "15 minutes"],
  [1_800_000, "30 minutes"],
  [3_600_000, "1 hour"],
  [10_800_000, "3 hours"],
  [21_600_000, "6 hours"],
  [43_200_000, "12 hours"],
  [86_400_000, "1 day"],
  [604_800_000, "7 days"],
];

/** Returns the value of `$interval`: the smallest round interval of which at most 300 are in a range. */
export function intervalText(fromMs: number | undefined, toMs: number | undefined): string {
  if (fromMs === undefined || toMs === undefined || !(toMs > fromMs)) {
    return DEFAULT_INTERVAL;
  }
  const least = (toMs - fromMs) / POINTS;
  const [, text] = INTERVALS.find(([length]) => length >= least) ?? [0, "30 days"];
  return text;
}

/** Returns the value of `$interval` for a range in nanoseconds since 1970. */
export function intervalOf(fromNs: bigint, toNs: bigint): string {
  return intervalText(Number(fromNs / 1_000_000n), Number(toNs / 1_000_000n));
}
