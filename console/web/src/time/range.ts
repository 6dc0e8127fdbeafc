/** Time ranges as people type them: `now-1h` to `now`, or two moments. */

/** A range. Each end is relative (`now`, `now-15m`), a moment in RFC 3339, or empty: not limited. */
export interface TimeRange {
  from: string;
  to: string;
}

/** A range as moments, in milliseconds since the Unix epoch. `undefined`: not limited. */
export interface ResolvedRange {
  fromMs?: number;
  toMs?: number;
}

/** The ranges that the picker offers. */
export const PRESETS: readonly { label: string; range: TimeRange }[] = [
  { label: "Last 5 minutes", range: { from: "now-5m", to: "now" } },
  { label: "Last 15 minutes", range: { from: "now-15m", to: "now" } },
  { label: "Last hour", range: { from: "now-1h", to: "now" } },
  { label: "Last 6 hours", range: { from: "now-6h", to: "now" } },
  { label: "Last 24 hours", range: { from: "now-1d", to: "now" } },
  { label: "Last 7 days", range: { from: "now-7d", to: "now" } },
  { label: "Last 30 days", range: { from: "now-30d", to: "now" } },
  { label: "Last year", range: { from: "now-365d", to: "now" } },
  { label: "All time", range: { from: "", to: "" } },
];

const UNIT_MS: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** Parses one end of a range. A moment without a zone is in UTC. Returns `undefined` if the text is not an end. */
export function parseTime(text: string, nowMs: number): number | undefined {
  const trimmed = text.trim();
  const relative = /^now(?:\s*([+-])\s*(\d{1,9})\s*([smhdw]))?$/.exec(trimmed);
  if (relative) {
    const [, sign, amount, unit] = relative;
    const shift = Number(amount ?? 0) * (UNIT_MS[unit ?? "s"] ?? 0);
    return sign === "-" ? nowMs - shift : nowMs + shift;
  }
  const moment = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$/i.exec(
    trimmed,
  );
  if (!moment) {
    return undefined;
  }
  const [, day, time = "00:00", zone = "Z"] = moment;
  const ms = Date.parse(`${day}T${time}${zone.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Turns a range into moments. An end that is not valid is not limited. */
export function resolveRange(range: TimeRange, nowMs: number): ResolvedRange {
  return {
    fromMs: range.from === "" ? undefined : parseTime(range.from, nowMs),
    toMs: range.to === "" ? undefined : parseTime(range.to, nowMs),
  };
}

/** Returns why a range is not valid, or `undefined`. */
export function rangeError(range: TimeRange, nowMs: number): string | undefined {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  if (range.from !== "" && fromMs === undefined) {
    return "The start is neither now-1h nor a time such as 2026-01-31 12:00.";
  }
  if (range.to !== "" && toMs === undefined) {
    return "The end is neither now nor a time such as 2026-01-31 12:00.";
  }
  return fromMs !== undefined && toMs !== undefined && fromMs >= toMs ? "The start is not before the end." : undefined;
}

/** Describes a range in a few words. */
export function describeRange(range: TimeRange): string {
  const preset = PRESETS.find(({ range: known }) => known.from === range.from && known.to === range.to);
  if (preset) {
    return preset.label;
  }
  return `${describeEnd(range.from) || "start"} – ${describeEnd(range.to) || "end"}`;
}

/** Formats a moment as RFC 3339 in UTC, without a fraction of zero. */
export function formatMoment(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

/**
 * Returns the values of `$from` and `$to` of a query. An end that is not limited is the first or the last moment that
 * the server can store.
 */
export function rangeParameters(range: TimeRange, nowMs: number): { from: string; to: string } {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  return {
    from: fromMs === undefined ? "1677-09-21T00:12:44Z" : formatMoment(fromMs),
    to: toMs === undefined ? "2262-04-11T23:47:16Z" : formatMoment(toMs),
  };
}

function describeEnd(end: string): string {
  return end.replace("T", " ").replace(/(:00)?(\.000)?Z$/, "");
}
