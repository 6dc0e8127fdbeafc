// Texts of places on the horizontal axis.

import { zone } from "../time/zone";
import type { ChartData } from "./chart-data";
import { formatTime } from "./time-ticks";
import { formatNumber } from "./units";

/** Returns the text of a place on the horizontal axis. */
export function formatX(data: ChartData, x: number): string {
  switch (data.axis) {
    case "time":
      return formatTime(data.base + BigInt(Math.round(x * 1e6)), zone.value);
    case "category":
      return data.categories[Math.round(x)] ?? "";
    default:
      return formatNumber(x);
  }
}
