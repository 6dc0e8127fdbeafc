// Heat maps.

import { distributionGrid, type HeatGrid, heatColumns, heatFraction, seriesGrid } from "./heat-grid";
import { axisExtent, type Extent } from "./number-ticks";
import { heatColour } from "./palette";
import { emptyExtent, type PlotArea, type Scene, type SceneInput, widen } from "./scene";
import { formatNumber, unitOf } from "./units";

/** The height of a row of a distribution, in device pixels. */
const ROW_HEIGHT = 8;

/** Rows of a distribution at most. */
const MAX_ROWS = 80;

/** Returns whether a heat map has a row for each series. */
export function isHeatBySeries({ data, settings }: Pick<SceneInput, "data" | "settings">): boolean {
  return (settings.heat ?? (data.series.length > 1 ? "series" : "distribution")) === "series";
}

/** Builds a heat map. */
export function heatScene(input: SceneInput): Scene {
  const series = input.shown.map(({ series }) => series);
  const columns = heatColumns(series, input.view, input.width);
  const unit = unitOf(input.settings.unit);
  if (isHeatBySeries(input)) {
    const grid = seriesGrid(series, input.view, columns);
    const extent = { min: 0, max: Math.max(1, grid.rows) };
    return {
      extent,
      rows: series.map(({ label }) => label),
      heat: { extent: grid.extent, isCount: false },
      describe: (x, y) => {
        const value = cellAt(grid, input.view, extent, x, y);
        const row = series[grid.rows - 1 - Math.floor(y)];
        return value === undefined || row === undefined ? undefined : [`${row.label}: ${unit.format(value)}`];
      },
      paint: (area) => paintGrid(area, grid, false),
    };
  }
  const values = emptyExtent();
  for (const one of series) {
    widen(values, one.points.ys, false);
  }
  const extent = axisExtent(values, false);
  const rows = Math.max(1, Math.min(MAX_ROWS, Math.floor(input.height / ROW_HEIGHT)));
  const perColumn = Math.max(8, Math.floor(input.width / 6));
  const grid = distributionGrid(series, input.view, extent, Math.min(columns, perColumn), rows);
  return {
    extent,
    heat: { extent: grid.extent, isCount: true },
    describe: (x, y) => {
      const value = cellAt(grid, input.view, extent, x, y);
      const height = (extent.max - extent.min) / rows;
      const low = extent.min + Math.floor((y - extent.min) / height) * height;
      return value === undefined
        ? undefined
        : [`${unit.format(low)} to ${unit.format(low + height)}`, `${formatNumber(value)} rows`];
    },
    paint: (area) => paintGrid(area, grid, true),
  };
}

/** Returns the number of the cell at a place; `undefined` if it is empty. */
function cellAt(grid: HeatGrid, view: Extent, extent: Extent, x: number, y: number): number | undefined {
  const column = Math.floor(((x - view.min) / (view.max - view.min)) * grid.columns);
  const row = Math.floor(((y - extent.min) / (extent.max - extent.min)) * grid.rows);
  const isInside = column >= 0 && column < grid.columns && row >= 0 && row < grid.rows;
  const value = isInside ? grid.cells[row * grid.columns + column] : undefined;
  return value === undefined || Number.isNaN(value) ? undefined : value;
}

/** Paints a grid as an image of one pixel per cell, which the canvas enlarges. */
function paintGrid(area: PlotArea, grid: HeatGrid, isCount: boolean): void {
  if (grid.rows === 0) {
    return;
  }
  const image = document.createElement("canvas");
  image.width = grid.columns;
  image.height = grid.rows;
  const context = image.getContext("2d");
  if (context === null) {
    return;
  }
  const pixels = context.createImageData(grid.columns, grid.rows);
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const value = grid.cells[row * grid.columns + column] as number;
      if (!Number.isNaN(value)) {
        const [red, green, blue] = heatColour(heatFraction(value, grid.extent, isCount));
        pixels.data.set([red, green, blue, 255], ((grid.rows - 1 - row) * grid.columns + column) * 4);
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  area.context.imageSmoothingEnabled = false;
  area.context.drawImage(image, area.left, area.top, area.width, area.height);
}
