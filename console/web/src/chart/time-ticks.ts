// Ticks of time axes from nanoseconds to centuries. An axis counts milliseconds since a base in nanoseconds, because a
// float of milliseconds since 1970 has no room for nanoseconds.

import { fromWall, toWall } from "../time/zone";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Nanoseconds of a millisecond. */
const NS_PER_MS = 1_000_000n;

/** A distance of ticks: a fixed number of milliseconds, or months of the calendar. */
export type TickStep = { ms: number } | { days: number } | { months: number };

const FIXED_STEPS: readonly number[] = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
];

const DAY_STEPS: readonly number[] = [1, 2, 7, 14];

const MONTH_STEPS: readonly number[] = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];

/** Days of an average month. */
const DAYS_PER_MONTH = 30.44;

/** Ticks of an axis at most. */
const MAX_TICKS = 200;

/** Returns the smallest step of ticks that has at most `count` ticks in `span` milliseconds. */
export function tickStep(span: number, count: number): TickStep {
  const least = span / Math.max(1, count);
  if (least < 1) {
    return { ms: subMillisecondStep(least) };
  }
  const fixed = FIXED_STEPS.find((step) => step >= least);
  if (fixed !== undefined) {
    return { ms: fixed };
  }
  const days = DAY_STEPS.find((step) => step * DAY >= least);
  if (days !== undefined) {
    return { days };
  }
  const months = MONTH_STEPS.find((step) => step * DAYS_PER_MONTH * DAY >= least);
  return { months: months ?? 1200 * Math.ceil(least / (1200 * DAYS_PER_MONTH * DAY)) };
}

function subMillisecondStep(least: number): number {
  const nanoseconds = Math.max(1, least * 1e6);
  const power = 10 ** Math.floor(Math.log10(nanoseconds));
  const factor = [1, 2, 5, 10].find((one) => one * power >= nanoseconds * (1 - 1e-9)) ?? 10;
  return (factor * power) / 1e6;
}

/** The times of ticks, in milliseconds since the base, and their step. */
export interface TimeTicks {
  step: TickStep;
  ticks: number[];
}

/** Returns the ticks between `from` and `to`, which count milliseconds since `base` (nanoseconds since 1970). */
export function timeTicks(base: bigint, from: number, to: number, count: number, zone: string): TimeTicks {
  const step = tickStep(to - from, count);
  if (!(to > from)) {
    return { step, ticks: [] };
  }
  if ("ms" in step && step.ms < SECOND) {
    return { step, ticks: exactTicks(base, from, to, step.ms) };
  }
  return { step, ticks: calendarTicks(base, from, to, step, zone) };
}

/** Ticks at multiples of a part of a second, which is the same in all zones. */
function exactTicks(base: bigint, from: number, to: number, stepMs: number): number[] {
  const step = BigInt(Math.max(1, Math.round(stepMs * 1e6)));
  const start = base + BigInt(Math.floor(from * 1e6));
  let at = start - (((start % step) + step) % step);
  const ticks: number[] = [];
  for (let i = 0; i < MAX_TICKS; i++, at += step) {
    const x = Number(at - base) / 1e6;
    if (x > to) {
      break;
    }
    if (x >= from) {
      ticks.push(x);
    }
  }
  return ticks;
}

/** Ticks at full seconds, minutes, hours, days or months of a zone. */
function calendarTicks(base: bigint, from: number, to: number, step: TickStep, zone: string): number[] {
  const baseMs = Number(base / NS_PER_MS);
  const rest = Number(base % NS_PER_MS) / 1e6;
  const ticks: number[] = [];
  let index = 0;
  const first = floorTick(baseMs + from, step, zone);
  for (let i = 0; i < MAX_TICKS; i++, index++) {
    const at = addSteps(first, step, index, zone);
    const x = at - baseMs - rest;
    if (!(x <= to)) {
      break;
    }
    if (x >= from && x > (ticks[ticks.length - 1] ?? Number.NEGATIVE_INFINITY)) {
      ticks.push(x);
    }
  }
  return ticks;
}

/** Returns the last tick at or before a moment. All times count milliseconds since 1970. */
function floorTick(ms: number, step: TickStep, zone: string): number {
  const wall = toWall(ms, zone);
  if ("ms" in step) {
    return fromWall(Math.floor(wall / step.ms) * step.ms, zone);
  }
  if ("days" in step) {
    const day = Math.floor(wall / DAY);
    return fromWall((day - modulo(day + WEEK_OFFSET, step.days)) * DAY, zone);
  }
  const date = new Date(wall);
  return fromWall(monthStart(monthFloor(date.getUTCFullYear(), date.getUTCMonth(), step.months)), zone);
}

function addSteps(ms: number, step: TickStep, count: number, zone: string): number {
  // Clocks are changed by parts of an hour, so that short steps are the same before and after.
  if ("ms" in step && step.ms <= HOUR) {
    return ms + step.ms * count;
  }
  const wall = toWall(ms, zone);
  if ("months" in step) {
    const date = new Date(wall);
    return fromWall(monthStart(date.getUTCFullYear() * 12 + date.getUTCMonth() + step.months * count), zone);
  }
  return fromWall(wall + ("ms" in step ? step.ms : step.days * DAY) * count, zone);
}

/** Days from a Monday to 1970-01-01, so that steps of weeks begin on Mondays. */
const WEEK_OFFSET = 3;

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

function monthFloor(year: number, month: number, step: number): number {
  const months = year * 12 + month;
  return months - modulo(months, step);
}

function monthStart(months: number): number {
  const date = new Date(0);
  date.setUTCFullYear(Math.floor(months / 12), modulo(months, 12), 1);
  return date.getTime();
}

/** The parts of a time, as texts. */
interface TimeParts {
  year: string;
  date: string;
  clock: string;
  seconds: string;
  nanoseconds: string;
}

function partsOf(ns: bigint, zone: string): TimeParts | undefined {
  const ms = Number(floorDivide(ns, NS_PER_MS));
  const date = new Date(toWall(ms, zone));
  if (Number.isNaN(date.getTime())) {
    return undefined;
  }
  const number = (value: number, digits = 2): string => String(value).padStart(digits, "0");
  const rest = Number(ns - floorDivide(ns, 1_000_000_000n) * 1_000_000_000n);
  return {
    year: number(date.getUTCFullYear(), 4),
    date: `${number(date.getUTCMonth() + 1)}-${number(date.getUTCDate())}`,
    clock: `${number(date.getUTCHours())}:${number(date.getUTCMinutes())}`,
    seconds: number(date.getUTCSeconds()),
    nanoseconds: String(rest).padStart(9, "0"),
  };
}

function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value % divisor < 0n ? quotient - 1n : quotient;
}

/** Returns a time in nanoseconds since 1970 as `2026-11-22 14:05:07.25`, without zeros at the end. */
export function formatTime(ns: bigint, zone: string): string {
  const parts = partsOf(ns, zone);
  if (parts === undefined) {
    return String(ns);
  }
  const fraction = parts.nanoseconds.replace(/0+$/, "");
  return `${parts.year}-${parts.date} ${parts.clock}:${parts.seconds}${fraction === "" ? "" : `.${fraction}`}`;
}

/**
 * Returns the texts of ticks. A text has a second line with the date at the first tick and where the date changes.
 */
export function tickLabels(base: bigint, { step, ticks }: TimeTicks, zone: string): string[] {
  let previous: TimeParts | undefined;
  return ticks.map((tick) => {
    const parts = partsOf(base + BigInt(Math.round(tick * 1e6)), zone);
    if (parts === undefined) {
      return "";
    }
    const label = labelOf(parts, step, previous);
    previous = parts;
    return label;
  });
}

function labelOf(parts: TimeParts, step: TickStep, previous: TimeParts | undefined): string {
  const isNewYear = parts.year !== previous?.year;
  if ("months" in step) {
    return step.months % 12 === 0 ? parts.year : withYear(parts.date.slice(0, 2), parts, isNewYear);
  }
  if ("days" in step) {
    return isNewYear ? `${parts.date}\n${parts.year}` : parts.date;
  }
  const isNewDay = isNewYear || parts.date !== previous?.date;
  const clock = clockOf(parts, step.ms);
  return isNewDay ? `${clock}\n${parts.year}-${parts.date}` : clock;
}

function withYear(month: string, parts: TimeParts, isNewYear: boolean): string {
  const name = MONTHS[Number(month) - 1] ?? month;
  return isNewYear ? `${name}\n${parts.year}` : name;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function clockOf(parts: TimeParts, stepMs: number): string {
  if (stepMs >= MINUTE) {
    return parts.clock;
  }
  if (stepMs >= SECOND) {
    return `${parts.clock}:${parts.seconds}`;
  }
  const digits = stepMs >= 1 ? 3 : stepMs >= 1e-3 ? 6 : 9;
  const fraction = parts.nanoseconds.slice(0, digits);
  return digits === 3 ? `${parts.clock}:${parts.seconds}.${fraction}` : `:${parts.seconds}.${fraction}`;
}
