// Texts of places on the horizontal axis.

import { zone } from "../time/zone";
import type { ChartData } from "./chart-data";
import { formatTime } from "./time-ticks";
import { formatNumber } from "./units";

/** The digits of a time that tell places of an extent apart: a thousandth of it. */
const PLACES = 1000;

/** Returns the text of a place on the horizontal axis. With the length of an extent, times are rounded to what it shows. */
export function formatX(data: ChartData, x: number, span = 0): string {
  switch (data.axis) {
    case "time":
      return formatTime(roundedTime(data.base + BigInt(Math.round(x * 1e6)), span * 1e6), zone.value);
    case "category":
      return data.categories[Math.round(x)] ?? "";
    default:
      return formatNumber(x);
  }
}

function roundedTime(ns: bigint, spanNs: number): bigint {
  const digits = Math.floor(Math.log10(Math.max(1, spanNs / PLACES)));
  const step = 10n ** BigInt(Math.min(9, digits));
  return ((ns + step / 2n) / step) * step;
}
