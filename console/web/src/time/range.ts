/** Time ranges as people type them: `now-1h` to `now`, or two moments. */

import { formatWall, fromWall, UTC } from "./zone";

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

/**
 * Parses one end of a range. A moment without an offset is one of the clocks of `zone`. Returns `undefined` if the text
 * is not an end.
 */
export function parseTime(text: string, nowMs: number, zone = UTC): number | undefined {
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
  const [, day, time = "00:00", offset] = moment;
  const ms = Date.parse(`${day}T${time}${offset?.toUpperCase() ?? "Z"}`);
  if (Number.isNaN(ms)) {
    return undefined;
  }
  return offset === undefined ? fromWall(ms, zone) : ms;
}

/** Turns a range into moments. An end that is not valid is not limited. */
export function resolveRange(range: TimeRange, nowMs: number, zone = UTC): ResolvedRange {
  return {
    fromMs: range.from === "" ? undefined : parseTime(range.from, nowMs, zone),
    toMs: range.to === "" ? undefined : parseTime(range.to, nowMs, zone),
  };
}

/** Returns why a range is not valid, or `undefined`. */
export function rangeError(range: TimeRange, nowMs: number, zone = UTC): string | undefined {
  const { fromMs, toMs } = resolveRange(range, nowMs, zone);
  if (range.from !== "" && fromMs === undefined) {
    return "The start is neither now-1h nor a time such as 2026-01-31 12:00.";
  }
  if (range.to !== "" && toMs === undefined) {
    return "The end is neither now nor a time such as 2026-01-31 12:00.";
  }
  return fromMs !== undefined && toMs !== undefined && fromMs >= toMs ? "The start is not before the end." : undefined;
}

/** Returns an end as a link or a dashboard keeps it: moments are in UTC, whatever the zone of the page. */
export function storedEnd(typed: string, zone: string): string {
  const text = typed.trim();
  const ms = text.startsWith("now") ? undefined : parseTime(text, 0, zone);
  return ms === undefined ? text : formatMoment(ms);
}

/** Returns an end as a user of a zone types it: `2026-01-31 12:00`. */
export function typedEnd(stored: string, zone: string): string {
  const ms = stored.startsWith("now") ? undefined : parseTime(stored, 0);
  if (ms === undefined) {
    return stored;
  }
  const fraction = ms % 1000 === 0 ? "" : `.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
  return `${formatWall(ms, zone)}${fraction}`.replace(/:00$/, "");
}

/** Returns a range whose ends are moments, so that it is the same at any time. */
export function fixedRange(range: TimeRange, nowMs: number): TimeRange {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  return {
    from: fromMs === undefined ? "" : formatMoment(fromMs),
    to: toMs === undefined ? "" : formatMoment(toMs),
  };
}

/** Describes a range in a few words. */
export function describeRange(range: TimeRange, zone = UTC): string {
  const preset = PRESETS.find(({ range: known }) => known.from === range.from && known.to === range.to);
  if (preset) {
    return preset.label;
  }
  return `${typedEnd(range.from, zone) || "start"} – ${typedEnd(range.to, zone) || "end"}`;
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
