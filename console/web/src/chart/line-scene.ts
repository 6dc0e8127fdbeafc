// Line charts.

import { decimate, type Points } from "./decimate";
import { axisExtent, logarithmicExtent } from "./number-ticks";
import { seriesStyle } from "./palette";
import { emptyExtent, type PlotArea, type Scene, type SceneInput, widen } from "./scene";

/** The distance of points from which they are marked, in CSS pixels. */
const MARKED_DISTANCE = 12;

/** The width of a line and the radius of a point, in CSS pixels. */
const LINE_WIDTH = 1.5;
const POINT_RADIUS = 2.5;

/** Builds a line chart. */
export function lineScene({ shown, view, width, settings }: SceneInput): Scene {
  const extent = emptyExtent();
  const lines = shown.map(({ index, series }) => {
    const points = decimate(series.points, view.min, view.max, width, series.gap);
    widen(extent, points.ys, settings.logarithmic === true);
    return { index, points };
  });
  return {
    extent: settings.logarithmic ? logarithmicExtent(extent) : axisExtent(extent, false),
    paint(area) {
      for (const { index, points } of lines) {
        paintLine(area, points, index);
      }
    },
  };
}

function paintLine(area: PlotArea, points: Points, index: number): void {
  const { context, ratio, colours } = area;
  const { colour, dash } = seriesStyle(colours, index);
  const { xs, ys } = points;
  const isMarked = xs.length * MARKED_DISTANCE * ratio < area.width;
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = LINE_WIDTH * ratio;
  context.lineJoin = "round";
  context.setLineDash(dash.map((length) => length * ratio));
  context.beginPath();
  const marks = new Path2D();
  let isDrawing = false;
  for (let i = 0; i < xs.length; i++) {
    const y = area.y(ys[i] as number);
    if (Number.isNaN(y)) {
      isDrawing = false;
      continue;
    }
    const x = area.x(xs[i] as number);
    if (isDrawing) {
      context.lineTo(x, y);
    } else {
      context.moveTo(x, y);
    }
    const next = area.y(ys[i + 1] ?? Number.NaN);
    if (isMarked || (!isDrawing && Number.isNaN(next))) {
      marks.moveTo(x + POINT_RADIUS * ratio, y);
      marks.arc(x, y, POINT_RADIUS * ratio, 0, 2 * Math.PI);
    }
    isDrawing = true;
  }
  context.stroke();
  context.setLineDash([]);
  context.fill(marks);
}
