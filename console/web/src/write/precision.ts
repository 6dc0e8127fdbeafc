/** The unit of timestamps: what a write says, and what `auto` makes of a number. */

export type Precision = "auto" | "s" | "ms" | "us" | "ns";

const NANOSECONDS: Record<Exclude<Precision, "auto">, bigint> = {
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  ns: 1n,
};

const I64_MIN = -(1n << 63n);
const I64_MAX = (1n << 63n) - 1n;

/** Returns the unit of one timestamp, as the server derives it from its magnitude. */
export function resolvePrecision(precision: Precision, timestamp: bigint): Exclude<Precision, "auto"> {
  if (precision !== "auto") {
    return precision;
  }
  const magnitude = (timestamp < 0n ? -timestamp : timestamp) / 1_000_000_000n;
  if (magnitude < 5n) {
    return "s";
  }
  if (magnitude < 5_000n) {
    return "ms";
  }
  return magnitude < 5_000_000n ? "us" : "ns";
}

/** Returns a timestamp in nanoseconds since the Unix epoch; `undefined` if it is out of range. */
export function toNanoseconds(precision: Precision, timestamp: bigint): bigint | undefined {
  const nanoseconds = timestamp * NANOSECONDS[resolvePrecision(precision, timestamp)];
  return nanoseconds < I64_MIN || nanoseconds > I64_MAX ? undefined : nanoseconds;
}

/** The name of a precision in the server's messages. */
export function precisionName(precision: Precision): string {
  return { auto: "Auto", s: "Second", ms: "Millisecond", us: "Microsecond", ns: "Nanosecond" }[precision];
}
