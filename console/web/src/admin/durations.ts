/** Durations as the server reads and the page shows them. */

const UNITS: readonly [string, bigint][] = [
  ["d", 86_400_000_000_000n],
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
  ["s", 1_000_000_000n],
  ["ms", 1_000_000n],
  ["us", 1_000n],
  ["ns", 1n],
];

/** Returns a duration such as `7d 12h`, which the server reads as the same. */
export function formatDurationNs(nanoseconds: bigint): string {
  const parts: string[] = [];
  let rest = nanoseconds;
  for (const [unit, size] of UNITS) {
    if (rest >= size) {
      parts.push(`${rest / size}${unit}`);
      rest %= size;
    }
  }
  return parts.length === 0 ? "0s" : parts.join(" ");
}

const WORDS =
  /^\s*(\d+\s*(nanoseconds?|nsec|ns|microseconds?|usec|us|µs|milliseconds?|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|hr|h|days?|d|weeks?|wks?|wk|w|months?|M|years?|yrs?|yr|y)\s*)+$/;

/** Returns why a text is no duration; `undefined` if it is one. The server reads more forms, and decides. */
export function durationError(text: string): string | undefined {
  if (!WORDS.test(text)) {
    return "Write a duration such as 12h, 30d or 1y.";
  }
  return /[1-9]/.test(text) ? undefined : "The duration must be longer than zero.";
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_557_600 };

/** Returns the seconds of a duration such as `90d` or `1h 30m`; `undefined` if it is none. */
export function durationSeconds(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+)\s*([a-z]+)/gi)];
  const isWhole = parts.map(([part]) => part).join("") === text.replaceAll(/(?<=[a-z])\s+/gi, "").trim();
  let seconds = 0;
  for (const [, count, unit] of parts) {
    const size = SECONDS[unit?.[0]?.toLowerCase() ?? ""];
    if (size === undefined || unit === "ms") {
      return undefined;
    }
    seconds += Number(count) * size;
  }
  return isWhole && parts.length > 0 && seconds > 0 ? seconds : undefined;
}
