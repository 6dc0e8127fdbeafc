// Lines across a plot: thresholds, and moments with texts.

import type { ChartData } from "./chart-data";
import type { PlotArea, Scene } from "./scene";
import type { ChartSettings } from "./settings";

/** A moment that charts mark. */
export interface Moment {
  /** In nanoseconds since 1970. */
  ns: bigint;
  text: string;
}

/** The pattern of the lines, in CSS pixels. */
const DASH: readonly number[] = [4, 3];

/** Returns a scene with the thresholds of the settings and with moments above its data. */
export function withGuides(scene: Scene, data: ChartData, settings: ChartSettings, moments: readonly Moment[]): Scene {
  const thresholds = scene.rows === undefined ? (settings.thresholds ?? []) : [];
  const xs = moments.map((moment) => placeOf(data, moment));
  if (thresholds.length === 0 && xs.length === 0) {
    return scene;
  }
  return {
    ...scene,
    paint(area) {
      scene.paint(area);
      const { context, ratio, colours, left, top, width, height } = area;
      context.lineWidth = ratio;
      context.setLineDash(DASH.map((length) => length * ratio));
      context.strokeStyle = colours.warning;
      for (const y of thresholds.map(area.y)) {
        line(area, left, y, left + width, y);
      }
      context.strokeStyle = colours.accent;
      for (const x of xs.map(area.x)) {
        line(area, x, top, x, top + height);
      }
      context.setLineDash([]);
    },
  };
}

/** Returns the texts of the moments within a distance of a place. */
export function momentsAt(data: ChartData, moments: readonly Moment[], x: number, reach: number): string[] {
  return moments.filter((moment) => Math.abs(placeOf(data, moment) - x) <= reach).map(({ text }) => text);
}

/** Returns the place of a moment on the horizontal axis; `NaN` if the axis has none for it. */
function placeOf({ axis, base }: ChartData, { ns }: Moment): number {
  return axis === "time" ? Number(ns - base) / 1e6 : Number.NaN;
}

function line({ context }: PlotArea, x1: number, y1: number, x2: number, y2: number): void {
  if (Number.isFinite(x1 + y1)) {
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }
}
