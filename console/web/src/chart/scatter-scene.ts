// Scatter charts.

import type { Series } from "./chart-data";
import { lowerBound } from "./decimate";
import { axisExtent, type Extent, logarithmicExtent } from "./number-ticks";
import { seriesStyle } from "./palette";
import { emptyExtent, type PlotArea, type Scene, type SceneInput, widen } from "./scene";

/** The radius of a point in CSS pixels: of few points, and of many. */
const LARGE_RADIUS = 3;
const SMALL_RADIUS = 1.25;

/** Points from which they are painted small. */
const MANY_POINTS = 5000;

/** The forms of points: one for each round through the colours, so that colour is not the only difference. */
const FORMS = ["circle", "square", "diamond", "cross"] as const;

/** Builds a scatter chart. */
export function scatterScene({ shown, view, settings, data }: SceneInput): Scene {
  const extent = emptyExtent();
  let count = 0;
  for (const { series } of shown) {
    const [start, end] = visibleRange(series, view);
    count += end - start;
    widen(extent, series.points.ys.subarray(start, end), settings.logarithmic === true);
  }
  const radius = count > MANY_POINTS ? SMALL_RADIUS : LARGE_RADIUS;
  return {
    extent: settings.logarithmic ? logarithmicExtent(extent) : axisExtent(extent, false),
    paint(area) {
      for (const { index, series } of shown) {
        const { colour } = seriesStyle(area.colours, index);
        const form = FORMS[Math.floor(index / area.colours.series.length) % FORMS.length] ?? "circle";
        area.context.fillStyle = colour;
        area.context.globalAlpha = data.series.length > 1 || count > MANY_POINTS ? 0.8 : 1;
        area.context.fill(pointsPath(area, series, view, radius * area.ratio, form));
        area.context.globalAlpha = 1;
      }
    },
  };
}

function visibleRange({ points }: Series, view: Extent): [number, number] {
  return [lowerBound(points.xs, view.min), lowerBound(points.xs, view.max + Number.EPSILON * Math.abs(view.max))];
}

/** Returns the forms of the points. Of points that cover each other, one is in the path. */
function pointsPath(area: PlotArea, series: Series, view: Extent, radius: number, form: string): Path2D {
  const path = new Path2D();
  const cell = Math.max(1, radius / 2);
  const columns = Math.ceil(area.width / cell) + 1;
  const rows = Math.ceil(area.height / cell) + 1;
  const isTaken = new Uint8Array(columns * rows);
  const [start, end] = visibleRange(series, view);
  for (let i = start; i < Math.min(end + 1, series.points.xs.length); i++) {
    const x = area.x(series.points.xs[i] as number);
    const y = area.y(series.points.ys[i] as number);
    const column = Math.floor((x - area.left) / cell);
    const row = Math.floor((y - area.top) / cell);
    if (!(column >= 0 && column < columns && row >= 0 && row < rows)) {
      continue;
    }
    const at = row * columns + column;
    if (isTaken[at] === 0) {
      isTaken[at] = 1;
      addForm(path, x, y, radius, form);
    }
  }
  return path;
}

function addForm(path: Path2D, x: number, y: number, radius: number, form: string): void {
  switch (form) {
    case "square":
      path.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      break;
    case "diamond":
      path.moveTo(x, y - 1.3 * radius);
      path.lineTo(x + 1.3 * radius, y);
      path.lineTo(x, y + 1.3 * radius);
      path.lineTo(x - 1.3 * radius, y);
      path.closePath();
      break;
    case "cross":
      path.rect(x - 1.3 * radius, y - radius / 3, 2.6 * radius, (2 * radius) / 3);
      path.rect(x - radius / 3, y - 1.3 * radius, (2 * radius) / 3, 2.6 * radius);
      break;
    default:
      path.moveTo(x + radius, y);
      path.arc(x, y, radius, 0, 2 * Math.PI);
  }
}
