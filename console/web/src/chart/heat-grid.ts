// The cells of a heat map.

import type { Series } from "./chart-data";
import { lowerBound } from "./decimate";
import type { Extent } from "./number-ticks";

/** A grid of numbers, row by row from below. `NaN` is an empty cell. */
export interface HeatGrid {
  columns: number;
  rows: number;
  cells: Float64Array;
  /** Extent of the numbers of all cells. */
  extent: Extent;
}

/** Counts the points of all series by place and value. */
export function distributionGrid(series: Series[], x: Extent, y: Extent, columns: number, rows: number): HeatGrid {
  const cells = new Float64Array(columns * rows);
  const perX = columns / (x.max - x.min);
  const perY = rows / (y.max - y.min);
  for (const { points } of series) {
    const end = lowerBound(points.xs, x.max);
    for (let i = lowerBound(points.xs, x.min); i < end; i++) {
      const value = points.ys[i] as number;
      if (value >= y.min && value <= y.max) {
        const column = Math.min(columns - 1, Math.floor(((points.xs[i] as number) - x.min) * perX));
        const row = Math.min(rows - 1, Math.floor((value - y.min) * perY));
        const cell = row * columns + column;
        cells[cell] = (cells[cell] as number) + 1;
      }
    }
  }
  for (let i = 0; i < cells.length; i++) {
    if (cells[i] === 0) {
      cells[i] = Number.NaN;
    }
  }
  return { columns, rows, cells, extent: gridExtent(cells) };
}

/** Returns the means of the values by place and series: the first series is the upper row. */
export function seriesGrid(series: Series[], x: Extent, columns: number): HeatGrid {
  const rows = series.length;
  const sums = new Float64Array(columns * rows);
  const counts = new Uint32Array(columns * rows);
  const perX = columns / (x.max - x.min);
  series.forEach(({ points }, index) => {
    const offset = (rows - 1 - index) * columns;
    const end = lowerBound(points.xs, x.max);
    for (let i = lowerBound(points.xs, x.min); i < end; i++) {
      const value = points.ys[i] as number;
      if (!Number.isNaN(value)) {
        const cell = offset + Math.min(columns - 1, Math.floor(((points.xs[i] as number) - x.min) * perX));
        sums[cell] = (sums[cell] as number) + value;
        counts[cell] = (counts[cell] as number) + 1;
      }
    }
  });
  const cells = sums.map((sum, cell) => (counts[cell] === 0 ? Number.NaN : sum / (counts[cell] as number)));
  return { columns, rows, cells, extent: gridExtent(cells) };
}

function gridExtent(cells: Float64Array): Extent {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const cell of cells) {
    if (cell < min) {
      min = cell;
    }
    if (cell > max) {
      max = cell;
    }
  }
  return { min, max };
}

/** Returns the fraction of a cell's colour between the smallest and the largest number of a grid. */
export function heatFraction(value: number, { min, max }: Extent, isCount: boolean): number {
  if (isCount) {
    return max > 0 ? Math.sqrt(value / max) : 0;
  }
  return max > min ? (value - min) / (max - min) : 0.5;
}

/** Returns the number of columns of a heat map: not more than there are distances between points of the densest series. */
export function heatColumns(series: Series[], x: Extent, pixels: number): number {
  const most = Math.max(1, Math.floor(pixels / 4));
  let densest = 1;
  for (const { points } of series) {
    const start = lowerBound(points.xs, x.min);
    const end = lowerBound(points.xs, x.max);
    const first = points.xs[start];
    const last = points.xs[end - 1];
    if (first !== undefined && last !== undefined && end - start > 1) {
      const filled = (last - first) / (x.max - x.min);
      densest = Math.max(densest, filled > 0 ? Math.floor((end - start) / filled) : 1);
    }
  }
  return Math.min(most, densest);
}
