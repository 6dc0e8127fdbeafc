// The visible part of the horizontal axis.

import type { ChartData } from "./chart-data";
import type { Extent } from "./number-ticks";
import type { ChartSettings } from "./settings";

/** Nanoseconds of a millisecond. */
const NS_PER_MS = 1e6;

/** The least span of a view, in milliseconds on an axis of times: 10 ns. */
const MIN_SPAN = 1e-5;

/** A part of a time axis or of an axis of numbers, which stays the same if the data of the chart change. */
export interface Zoom {
  base: bigint;
  extent: Extent;
}

/** A time range in nanoseconds since 1970. */
export interface NsRange {
  from: bigint;
  to: bigint;
}

/** Returns the part that a chart shows: the zoom, the given range, or all of its data. */
export function visibleExtent(data: ChartData, settings: ChartSettings, zoom?: Zoom, range?: NsRange): Extent {
  if (zoom !== undefined) {
    const shift = Number(zoom.base - data.base) / NS_PER_MS;
    return { min: zoom.extent.min + shift, max: zoom.extent.max + shift };
  }
  if (data.axis === "time" && range !== undefined && range.to > range.from) {
    return { min: Number(range.from - data.base) / NS_PER_MS, max: Number(range.to - data.base) / NS_PER_MS };
  }
  if (data.axis === "category") {
    return { min: -0.5, max: Math.max(0.5, data.categories.length - 0.5) };
  }
  const { min, max } = data.extent;
  if (!(min < max)) {
    const middle = min <= max ? min : 0;
    const room = data.axis === "time" ? 1000 : 1;
    return { min: middle - room, max: middle + room };
  }
  const room = marginOf(data, settings) * (max - min);
  return { min: min - room, max: max + room };
}

/** Returns the room on each side of the data, as a part of their extent. */
function marginOf(data: ChartData, settings: ChartSettings): number {
  switch (settings.kind) {
    case "bar": {
      const most = Math.max(1, ...data.series.map(({ points }) => points.xs.length));
      return Math.min(0.25, 0.6 / most);
    }
    case "scatter":
      return 0.02;
    default:
      return 0;
  }
}

/** Returns a view that is `factor` times as wide and keeps the place of `at`. */
export function zoomAround(view: Extent, at: number, factor: number): Extent {
  const span = Math.max(MIN_SPAN, (view.max - view.min) * factor);
  const part = (at - view.min) / (view.max - view.min);
  const min = at - part * span;
  return { min, max: min + span };
}

/** Returns a view that is moved by a part of its width. */
export function pan(view: Extent, part: number): Extent {
  const shift = (view.max - view.min) * part;
  return { min: view.min + shift, max: view.max + shift };
}

/** Returns an extent of a time axis as times in nanoseconds since 1970. */
export function toRange(data: ChartData, extent: Extent): NsRange {
  return {
    from: data.base + BigInt(Math.round(extent.min * NS_PER_MS)),
    to: data.base + BigInt(Math.round(extent.max * NS_PER_MS)),
  };
}
