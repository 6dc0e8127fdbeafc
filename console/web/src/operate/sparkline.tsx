/** A small line of the history of a figure. */

import type { JSX } from "preact";

/** The size of the drawing, in units of its own; the style sheet scales it. */
const WIDTH = 160;
const HEIGHT = 36;
const MARGIN = 2;

/** The properties of a small line chart. */
export interface SparklineProps {
  /** The values, the oldest first. `null` is a gap. */
  values: readonly (number | null)[];
  /** What it shows, for screen readers. */
  label: string;
}

/** A small line chart from zero to the maximum, without axes. Gaps stay gaps. */
export function Sparkline({ values, label }: SparklineProps): JSX.Element {
  return (
    <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={linePath(values)} />
    </svg>
  );
}

/** Returns the outline of the line as an SVG path. */
export function linePath(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null && Number.isFinite(value)) as number[];
  const maximum = Math.max(...known, 0);
  const step = values.length > 1 ? (WIDTH - 2 * MARGIN) / (values.length - 1) : 0;
  let path = "";
  let isDrawing = false;
  values.forEach((value, at) => {
    if (value === null || !Number.isFinite(value)) {
      isDrawing = false;
      return;
    }
    const x = MARGIN + at * step;
    const share = maximum === 0 ? 0 : value / maximum;
    const y = HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN);
    // `h0` makes a point between two gaps visible, as a dot.
    path += isDrawing ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
    isDrawing = true;
  });
  return path;
}
