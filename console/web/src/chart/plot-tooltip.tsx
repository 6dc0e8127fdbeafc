/** The values below the cursor of a chart. */

import type { JSX } from "preact";
import type { ChartData } from "./chart-data";
import { formatX } from "./format-x";
import type { ChartColours } from "./palette";
import { seriesStyle } from "./palette";
import type { FrameCursor } from "./plot-frame";
import type { Reading } from "./readings";
import type { ChartSettings } from "./settings";
import { unitOf } from "./units";

/** Series that a tooltip names. */
const MAX_ENTRIES = 10;

/** The properties of a tooltip. */
export interface PlotTooltipProps {
  cursor: FrameCursor;
  /** Where the plot begins, and its size, in CSS pixels. */
  plot: { left: number; top: number; width: number };
  data: ChartData;
  settings: ChartSettings;
  colours: ChartColours;
  /** The values of the series, nearest first. */
  readings: readonly Reading[];
  /** What a chart without readings, and moments say about the place. */
  lines: string[];
}

/** The values at the cursor. */
export function PlotTooltip(props: PlotTooltipProps): JSX.Element | null {
  const { cursor, plot, data, settings, colours, readings, lines } = props;
  if (readings.length === 0 && lines.length === 0) {
    return null;
  }
  const isRight = cursor.left > plot.width / 2;
  const unit = unitOf(settings.unit);
  const style = {
    top: `${plot.top + 8}px`,
    ...(isRight
      ? { right: `calc(100% - ${plot.left + cursor.left - 12}px)` }
      : { left: `${plot.left + cursor.left + 12}px` }),
  };
  return (
    <div class="chart-tooltip" style={style} aria-hidden="true">
      <p class="chart-tooltip-head">
        <bdi>{formatX(data, readings[0]?.x ?? cursor.x)}</bdi>
      </p>
      {lines.map((line) => (
        <p key={line}>{line}</p>
      ))}
      {readings.slice(0, MAX_ENTRIES).map(({ index, label, y }) => (
        <p key={label} class="chart-tooltip-entry">
          <span class="chart-tooltip-mark" style={{ background: seriesStyle(colours, index).colour }} />
          <bdi class="chart-legend-label">{label}</bdi>
          <span class="chart-tooltip-value">{unit.format(y, settings.decimals)}</span>
        </p>
      ))}
      {readings.length > MAX_ENTRIES && <p>and {readings.length - MAX_ENTRIES} more</p>}
    </div>
  );
}

/** Returns a sentence of the values at a place, for screen readers. */
export function readingText(data: ChartData, settings: ChartSettings, readings: readonly Reading[]): string {
  const first = readings[0];
  if (first === undefined) {
    return "";
  }
  const unit = unitOf(settings.unit);
  const values = readings.slice(0, MAX_ENTRIES).map(({ label, y }) => `${label} ${unit.format(y, settings.decimals)}`);
  return `${formatX(data, first.x)}: ${values.join(", ")}`;
}
