/** Values of results as texts: times, durations, numbers. */

import { formatOffset, toWall, UTC, zone } from "../time/zone";
import type { ResultColumn } from "./query";

const NS_PER_SECOND = 1_000_000_000n;

/** Formats a time in nanoseconds since the Unix epoch as RFC 3339 in a zone, with a fraction of 0, 3, 6 or 9 digits. */
export function formatTime(ns: bigint, zoneName = UTC): string {
  const fraction = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const seconds = Number((ns - fraction) / NS_PER_SECOND);
  const date = new Date(toWall(seconds * 1000, zoneName));
  const text = Number.isNaN(date.getTime()) ? `${seconds}s` : date.toISOString().slice(0, -5);
  return `${text}${formatFraction(fraction)}${formatOffset(seconds * 1000, zoneName)}`;
}

/** Formats nanoseconds as text with a unit that fits: `1.5 s`, `20 ms`. */
export function formatDuration(ns: number): string {
  const units: [number, string][] = [
    [86_400e9, "d"],
    [3_600e9, "h"],
    [60e9, "min"],
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
  ];
  const [size, name] = units.find(([size]) => Math.abs(ns) >= size) ?? [1, "ns"];
  return `${Number((ns / size).toPrecision(3))} ${name}`;
}

/** Formats a value of a result for people. Null is the empty text. */
export function formatValue(column: ResultColumn, value: unknown): string {
  if (value === null || value === undefined) {
    return "";
  }
  if (typeof value === "bigint") {
    if (column.kind === "time") {
      return formatTime(value, zone.value);
    }
    return column.arrowType.startsWith("Duration") ? formatArrowDuration(value, column.arrowType) : value.toString();
  }
  if (typeof value === "number" && column.arrowType.startsWith("Date")) {
    return new Date(value).toISOString().slice(0, 10);
  }
  if (value instanceof Uint8Array) {
    return `0x${Array.from(value.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  return typeof value === "object" ? formatNested(value) : String(value);
}

function formatNested(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) => {
      if (typeof inner === "bigint") {
        return Number.isSafeInteger(Number(inner)) ? Number(inner) : inner.toString();
      }
      return ArrayBuffer.isView(inner) ? Array.from(inner as unknown as ArrayLike<unknown>) : inner;
    }) ?? ""
  );
}

function formatArrowDuration(value: bigint, arrowType: string): string {
  const factors: Record<string, number> = { "Duration(s)": 1e9, "Duration(ms)": 1e6, "Duration(µs)": 1e3 };
  return formatDuration(Number(value) * (factors[arrowType] ?? 1));
}

function formatFraction(ns: bigint): string {
  if (ns === 0n) {
    return "";
  }
  const digits = ns.toString().padStart(9, "0");
  const short = digits.replace(/(000){1,2}$/, "");
  return `.${short}`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Formats bytes with a binary unit: `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${formatRounded(value)} ${BYTE_UNITS[unit]}`;
}

/** Formats a number with three significant digits, or all digits of its integral part. */
export function formatRounded(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  if (value !== 0 && Math.abs(value) < 0.01) {
    return value.toLocaleString("en", { maximumSignificantDigits: 2 });
  }
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
