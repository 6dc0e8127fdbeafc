// Bar charts.

import { layoutBars } from "./bar-stacks";
import { axisExtent, logarithmicExtent } from "./number-ticks";
import { seriesStyle } from "./palette";
import { emptyExtent, type PlotArea, type Scene, type SceneInput } from "./scene";

/** The part of the distance of bars that they fill. */
const FILL = 0.8;

/** The width of a single bar as a part of the plot. */
const SINGLE_WIDTH = 0.1;

/** Builds a bar chart. */
export function barScene({ shown, view, width, settings }: SceneInput): Scene {
  const isStacked = settings.stacked === true;
  const isLogarithmic = settings.logarithmic === true;
  const layout = layoutBars(shown, view, isStacked, (view.max - view.min) / Math.max(1, width));
  const extent = emptyExtent();
  for (const { from, to } of layout.bars) {
    for (const end of isLogarithmic ? [to] : [from, to]) {
      if (!isLogarithmic || end > 0) {
        extent.min = Math.min(extent.min, end);
        extent.max = Math.max(extent.max, end);
      }
    }
  }
  return {
    extent: isLogarithmic ? logarithmicExtent(extent) : axisExtent(extent, true),
    paint(area) {
      paintBars(area, layout, view.max - view.min);
    },
  };
}

function paintBars(area: PlotArea, { bars, slots, distance }: ReturnType<typeof layoutBars>, span: number): void {
  const { context } = area;
  const perX = area.width / span;
  const group = Number.isFinite(distance) ? distance * perX * FILL : area.width * SINGLE_WIDTH;
  const width = Math.max(1, group / slots);
  const bottom = area.top + area.height;
  for (const { x, from, to, index, slot } of bars) {
    const left = area.x(x) - group / 2 + slot * width;
    const start = area.y(from);
    const end = area.y(to);
    if (Number.isNaN(end)) {
      continue;
    }
    const base = Number.isNaN(start) ? bottom : start;
    context.fillStyle = seriesStyle(area.colours, index).colour;
    const room = width > 4 ? 0.5 : 0;
    context.fillRect(left + room, Math.min(base, end), width - 2 * room, Math.max(1, Math.abs(end - base)));
  }
}
