// The axes of a chart, in the words of uPlot.

import type uPlot from "uplot";
import { zone } from "../time/zone";
import type { ChartData } from "./chart-data";
import { type Extent, logarithmicTicks, numberTicks } from "./number-ticks";
import type { ChartColours } from "./palette";
import type { ChartSettings } from "./settings";
import { tickLabels, tickStep, timeTicks } from "./time-ticks";
import { formatNumber, unitOf } from "./units";

/** What the axes show at present. */
export interface AxisState {
  data: ChartData;
  settings: ChartSettings;
  colours: ChartColours;
  /** Texts of the rows of the vertical axis from above, if it is not one of numbers. */
  rows: string[] | undefined;
}

/** The fonts of axes. */
const FAMILY = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** The space of a tick as a multiple of the size of the font. */
const TIME_TICK_WIDTH = 7.5;
const NUMBER_TICK_WIDTH = 6.5;
const TICK_HEIGHT = 3;
const ROW_HEIGHT = 1.2;
const CATEGORY_WIDTH = 6;

/** Characters of the text of a category or row at most. */
const MAX_TEXT = 18;

/** The width of a character as a multiple of the size of the font. */
const CHARACTER_WIDTH = 0.58;

/** Returns the room above, right of, below and left of a plot and its axes, in CSS pixels. */
export function chartPadding(fontSize: number): [number, number, number, number] {
  return [Math.round(0.8 * fontSize), Math.round(3 * fontSize), 0, 0];
}

/** Returns the axes. They read `state` each time they are drawn. `fontSize` is in CSS pixels. */
export function chartAxes(state: () => AxisState, fontSize: number): uPlot.Axis[] {
  const font = `${Math.round(fontSize)}px ${FAMILY}`;
  const width = (plot: uPlot): number => plot.bbox.width / devicePixelRatio / fontSize;
  const height = (plot: uPlot): number => plot.bbox.height / devicePixelRatio / fontSize;
  const common = {
    font,
    labelFont: font,
    stroke: () => state().colours.muted,
    grid: { stroke: () => state().colours.grid, width: 1 },
    ticks: { stroke: () => state().colours.grid, width: 1, size: 4 },
    // The ticks are chosen here, also those of logarithmic axes.
    filter: (_plot: uPlot, splits: number[]) => splits,
  };
  return [
    {
      ...common,
      scale: "x",
      size: () => Math.round(8 + (state().data.axis === "time" ? 3 : 1.5) * fontSize),
      space: 40,
      splits: (plot, _axis, min, max) => horizontalTicks(state(), { min, max }, width(plot)),
      values: (plot, splits) => horizontalLabels(state(), splits, spanOf(plot), width(plot)),
    },
    {
      ...common,
      scale: "y",
      space: 20,
      splits: (plot, _axis, min, max) => verticalTicks(state(), { min, max }, height(plot)),
      values: (_plot, splits) => verticalLabels(state(), splits),
      size: (_plot, values) => axisWidth(values, fontSize),
    },
  ];
}

function horizontalTicks({ data }: AxisState, { min, max }: Extent, width: number): number[] {
  switch (data.axis) {
    case "time":
      return timeTicks(data.base, min, max, width / TIME_TICK_WIDTH, zone.peek()).ticks;
    case "category":
      return everyIndex(data.categories.length, { min, max }, width / CATEGORY_WIDTH);
    default:
      return numberTicks(min, max, width / NUMBER_TICK_WIDTH, 10);
  }
}

/** Returns the extent of the horizontal axis, from end to end. */
function spanOf(plot: uPlot): number {
  const { min, max } = plot.scales.x ?? {};
  return (max ?? 0) - (min ?? 0);
}

function horizontalLabels({ data }: AxisState, splits: number[], span: number, width: number): string[] {
  switch (data.axis) {
    case "time":
      return tickLabels(data.base, { step: tickStep(span, width / TIME_TICK_WIDTH), ticks: splits }, zone.peek());
    case "category":
      return splits.map((at) => shorten(data.categories[at] ?? ""));
    default:
      return splits.map((at) => formatNumber(at));
  }
}

function verticalTicks({ settings, rows }: AxisState, { min, max }: Extent, height: number): number[] {
  if (rows !== undefined) {
    const step = Math.max(1, Math.ceil((rows.length * ROW_HEIGHT) / Math.max(1, height)));
    return rows.flatMap((_, row) => (row % step === 0 ? [rows.length - row - 0.5] : [])).reverse();
  }
  const count = height / TICK_HEIGHT;
  if (settings.logarithmic === true && settings.kind !== "heatmap") {
    return logarithmicTicks(min, max, count);
  }
  return numberTicks(min, max, count, unitOf(settings.unit).base);
}

function verticalLabels({ settings, rows }: AxisState, splits: number[]): string[] {
  if (rows !== undefined) {
    return splits.map((at) => shorten(rows[Math.round(rows.length - at - 0.5)] ?? ""));
  }
  const unit = unitOf(settings.unit);
  return splits.map((at) => unit.format(at));
}

/** Returns the integers of an extent, or every second, third… of them if more than `count` are in it. */
function everyIndex(length: number, { min, max }: Extent, count: number): number[] {
  const first = Math.max(0, Math.ceil(min));
  const last = Math.min(length - 1, Math.floor(max));
  const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, count)));
  const indexes: number[] = [];
  for (let index = first; index <= last; index += step) {
    indexes.push(index);
  }
  return indexes;
}

function axisWidth(values: string[] | null, fontSize: number): number {
  const longest = Math.max(4, ...(values ?? []).map((text) => text.length));
  return Math.round(longest * CHARACTER_WIDTH * fontSize + 16);
}

/** Shortens a text for an axis. Control characters and line breaks become spaces. */
function shorten(text: string): string {
  const line = Array.from(text.replace(/[\p{Cc}\p{Cf}]+/gu, " "));
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 1).join("")}…` : line.join("");
}
