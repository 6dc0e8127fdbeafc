// Texts of places on the horizontal axis.

import type { ChartData } from "./chart-data";
import type { Zone } from "./settings";
import { formatTime } from "./time-ticks";
import { formatNumber } from "./units";

/** Returns the text of a place on the horizontal axis. */
export function formatX(data: ChartData, x: number, zone: Zone): string {
  switch (data.axis) {
    case "time":
      return formatTime(data.base + BigInt(Math.round(x * 1e6)), zone);
    case "category":
      return data.categories[Math.round(x)] ?? "";
    default:
      return formatNumber(x);
  }
}
