/** Figures as texts: bytes, counts, rates, durations and amounts. */

import { formatBytes, formatRounded } from "../api/format-value";
import type { Unit } from "./overview";

/** Formats a duration with the unit that fits: `12 ms`, `3 h 20 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) {
    return seconds === 0 ? "0 s" : `${formatRounded(seconds * 1_000)} ms`;
  }
  if (seconds < 60) {
    return `${formatRounded(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min ${Math.floor(seconds % 60)} s`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Formats US dollars, small amounts with the digits that tell them apart from nothing. */
export function formatDollars(dollars: number): string {
  if (dollars === 0) {
    return "$0.00";
  }
  if (Math.abs(dollars) < 0.000_01) {
    return "< $0.00001";
  }
  const digits = Math.abs(dollars) < 0.01 ? 5 : Math.abs(dollars) < 1 ? 4 : 2;
  const fraction = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return dollars.toLocaleString("en", { style: "currency", currency: "USD", ...fraction });
}

/** Formats a value of the overview. */
export function formatFigure(value: number, unit: Unit): string {
  switch (unit) {
    case "count":
      return formatRounded(value);
    case "per-second":
      return `${formatRounded(value)}/s`;
    case "bytes":
      return formatBytes(value);
    case "bytes-per-second":
      return `${formatBytes(value)}/s`;
    case "seconds":
      return formatSeconds(value);
    case "ratio":
      return `${formatRounded(value * 100)} %`;
    case "cores":
      return formatRounded(value);
  }
}
