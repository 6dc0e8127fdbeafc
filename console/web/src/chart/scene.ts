// What the kinds of charts have in common: a scene is the data of a chart reduced to a view, ready to paint.

import type { ChartData, Series } from "./chart-data";
import type { Extent } from "./number-ticks";
import type { ChartColours } from "./palette";
import type { ChartSettings } from "./settings";

/** A series with its index among all series, which chooses its colour. */
export interface IndexedSeries {
  index: number;
  series: Series;
}

/** The input of a scene. */
export interface SceneInput {
  data: ChartData;
  /** The series that are not switched off. */
  shown: IndexedSeries[];
  /** The horizontal extent that is visible. */
  view: Extent;
  /** The size of the plot, in device pixels. */
  width: number;
  height: number;
  settings: ChartSettings;
}

/** The area of a plot on its canvas, in device pixels. */
export interface PlotArea {
  context: CanvasRenderingContext2D;
  left: number;
  top: number;
  width: number;
  height: number;
  /** Device pixels of a CSS pixel. */
  ratio: number;
  colours: ChartColours;
  /** Returns the horizontal place of a value. */
  x(value: number): number;
  /** Returns the vertical place of a value; `NaN` if the axis has no place for it. */
  y(value: number): number;
}

/** The colours of a heat map. */
export interface HeatScale {
  extent: Extent;
  isCount: boolean;
}

/** Data reduced to a view. */
export interface Scene {
  /** Extent of the vertical axis. */
  extent: Extent;
  /** Texts of the rows of the vertical axis from above, if it is not one of numbers. */
  rows?: string[];
  heat?: HeatScale;
  /** Returns what a chart without points says about a place of its plot. */
  describe?(x: number, y: number): string[] | undefined;
  paint(area: PlotArea): void;
}

/** Widens an extent to contain another one. A logarithmic axis has no place for numbers that are not positive. */
export function widen(extent: Extent, values: Float64Array, isLogarithmic: boolean): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (isLogarithmic && value <= 0) {
      continue;
    }
    if (value < extent.min) {
      extent.min = value;
    }
    if (value > extent.max) {
      extent.max = value;
    }
  }
}

/** An extent of no numbers. */
export function emptyExtent(): Extent {
  return { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
}
