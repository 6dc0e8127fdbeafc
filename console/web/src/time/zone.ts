/** The time zone of the page: one setting for all times that it shows and that users type. */

import { computed, signal } from "@preact/signals";

/** What the user chose: UTC, the zone of the browser, or a name such as `Europe/Berlin`. */
export type ZoneChoice = "utc" | "browser" | (string & {});

/** The key of the choice in the long-lived storage of the browser. It is not a secret. */
const STORAGE_KEY = "neap-time-zone";

/** The name of UTC as a zone. */
export const UTC = "UTC";

/** Formats that are kept, because it takes long to make one. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** Offsets change at full quarters of an hour at most. */
const OFFSET_STEP_MS = 15 * 60_000;

/** Offsets that are kept, by zone and quarter of an hour, and their maximum number. */
const offsets = new Map<string, number>();
const MAX_OFFSETS = 20_000;

/** The choice of the user. */
export const zoneChoice = signal<ZoneChoice>(storedChoice());

/** The name of the zone in which the page shows times. */
export const zone = computed<string>(() => {
  switch (zoneChoice.value) {
    case "utc":
      return UTC;
    case "browser":
      return browserZone();
    default:
      return zoneChoice.value;
  }
});

/** Chooses the zone of the page, and stores the choice. Names that are no zones are ignored. */
export function chooseZone(choice: ZoneChoice): void {
  if (!isChoice(choice)) {
    return;
  }
  zoneChoice.value = choice;
  try {
    localStorage.setItem(STORAGE_KEY, choice);
  } catch {
    // A browser that stores nothing keeps the choice until the page is closed.
  }
}

/** Returns the name of the zone of the browser. */
export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || UTC;
}

/** Returns the names of all zones that the browser knows. */
export function zoneNames(): string[] {
  return [UTC, ...Intl.supportedValuesOf("timeZone").filter((name) => name !== UTC)];
}

/** Returns whether a text is the name of a zone. */
export function isZone(name: string): boolean {
  try {
    return formatOf(name) !== undefined;
  } catch {
    return false;
  }
}

/** Returns how far the clocks of a zone are before UTC at a moment, in milliseconds. */
export function offsetMs(ms: number, name: string): number {
  if (name === UTC || Number.isNaN(new Date(ms).getTime())) {
    return 0;
  }
  const step = Math.floor(ms / OFFSET_STEP_MS);
  const key = `${name} ${step}`;
  const known = offsets.get(key);
  if (known !== undefined) {
    return known;
  }
  const offset = readOffset(step * OFFSET_STEP_MS, name);
  if (offsets.size >= MAX_OFFSETS) {
    offsets.clear();
  }
  offsets.set(key, offset);
  return offset;
}

/** Returns what the clocks of a zone show at a moment, as if it were a moment in UTC. */
export function toWall(ms: number, name: string): number {
  return ms + offsetMs(ms, name);
}

/** Returns the moment at which the clocks of a zone show a time. Of two such moments it is the first one. */
export function fromWall(wallMs: number, name: string): number {
  const day = 86_400_000;
  const before = wallMs - offsetMs(wallMs - day, name);
  const after = wallMs - offsetMs(wallMs + day, name);
  return toWall(before, name) === wallMs ? before : after;
}

/** Formats the distance of a zone from UTC at a moment: `Z`, `+01:00`. */
export function formatOffset(ms: number, name: string): string {
  const minutes = Math.round(offsetMs(ms, name) / 60_000);
  if (name === UTC) {
    return "Z";
  }
  const part = (value: number): string => String(value).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${part(Math.floor(Math.abs(minutes) / 60))}:${part(Math.abs(minutes) % 60)}`;
}

/** The last part of a time that is shown. */
export type TimePrecision = "minutes" | "seconds" | "milliseconds";

const CLOCK_LENGTHS: Record<TimePrecision, number> = { minutes: 5, seconds: 8, milliseconds: 12 };

/** Formats a moment for people, in ISO order and without its zone: `2026-01-31 12:00:00`. */
export function formatWall(ms: number, name: string, precision: TimePrecision = "seconds"): string {
  const date = new Date(toWall(ms, name));
  if (Number.isNaN(date.getTime())) {
    return "";
  }
  const [day = "", clock = ""] = date.toISOString().split("T");
  return `${day} ${clock.slice(0, CLOCK_LENGTHS[precision])}`;
}

/** Formats the time of an answer, which is in UTC whether or not it says so: `2026-01-31 12:00:00`. */
export function formatAnswerTime(text: string, name: string, precision: TimePrecision = "seconds"): string {
  const ms = parseAnswerTime(text);
  return Number.isNaN(ms) ? text : formatWall(ms, name, precision);
}

/** Parses the time of an answer, which is in UTC whether or not it says so. Returns `NaN` if it is none. */
export function parseAnswerTime(text: string): number {
  const isZoned = /(?:Z|[+-]\d{2}:?\d{2})$/.test(text);
  return Date.parse(isZoned ? text : `${text.replace(" ", "T")}Z`);
}

/** Returns the time of an answer in a zone, with all its digits and its offset. A text that is no time stays, as in UTC. */
export function timeInZone(text: string, name: string): string {
  const [, second = "", fraction = ""] = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?Z?$/.exec(text) ?? [];
  const ms = parseAnswerTime(second);
  if (Number.isNaN(ms) || name === UTC) {
    return text;
  }
  return `${formatWall(ms, name).replace(" ", "T")}${fraction}${formatOffset(ms, name)}`;
}

function readOffset(ms: number, name: string): number {
  const parts = new Map(
    formatOf(name)
      .formatToParts(ms)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const date = new Date(0);
  date.setUTCFullYear(part("year"), part("month") - 1, part("day"));
  date.setUTCHours(part("hour"), part("minute"), part("second"));
  return date.getTime() - ms;
}

function formatOf(name: string): Intl.DateTimeFormat {
  const known = formats.get(name);
  if (known !== undefined) {
    return known;
  }
  const format = new Intl.DateTimeFormat("en", {
    timeZone: name,
    calendar: "iso8601",
    numberingSystem: "latn",
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formats.set(name, format);
  return format;
}

function isChoice(choice: string): boolean {
  return choice === "utc" || choice === "browser" || isZone(choice);
}

function storedChoice(): ZoneChoice {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored !== null && isChoice(stored) ? stored : "utc";
  } catch {
    return "utc";
  }
}
