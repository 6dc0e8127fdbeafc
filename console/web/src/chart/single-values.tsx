/** A chart of single values, each with a small line of its past. */

import type { JSX } from "preact";
import type { ChartData, Series } from "./chart-data";
import { decimate } from "./decimate";
import { type ChartColours, seriesStyle } from "./palette";
import { reducePoints } from "./reduce";
import type { ChartSettings } from "./settings";
import { unitOf } from "./units";

/** The size of the small line below a value, in units of its drawing. */
const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 28;

/** Values that are shown at most. */
const MAX_VALUES = 24;

/** The text of a series as a single value. */
export interface SingleValue {
  label: string;
  text: string;
  /** Whether the value has reached the lowest threshold. */
  isOver: boolean;
}

/** Returns the single values of the series. */
export function singleValues(data: ChartData, settings: ChartSettings): SingleValue[] {
  const reducer = settings.reduce ?? "last";
  const unit = unitOf(reducer === "count" ? "none" : settings.unit);
  const limit = Math.min(...(settings.thresholds ?? []));
  return data.series.slice(0, MAX_VALUES).map(({ label, points }) => {
    const value = reducePoints(points, reducer);
    return { label, text: unit.format(value, settings.decimals), isOver: value >= limit };
  });
}

/** Large numbers: one for each series. */
export function SingleValues(props: { data: ChartData; settings: ChartSettings; colours: ChartColours }): JSX.Element {
  const { data, settings, colours } = props;
  const values = singleValues(data, settings);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: many values scroll by keyboard.
    <div class="single-values-scroll" role="group" aria-label="Values" tabIndex={0}>
      <dl class={values.length === 1 ? "single-values single-values-one" : "single-values"}>
        {values.map(({ label, text, isOver }, index) => {
          const series = data.series[index];
          return (
            <div key={label} class="single-value">
              <dt>
                <bdi>{label === "" ? "∅" : label}</bdi>
              </dt>
              <dd>
                <span class={isOver ? "single-value-number single-value-over" : "single-value-number"}>{text}</span>
                {series && <Sparkline series={series} colour={seriesStyle(colours, index).colour} />}
              </dd>
            </div>
          );
        })}
      </dl>
      {data.series.length > values.length && (
        <p class="chart-note">{data.series.length - values.length} further series are not shown.</p>
      )}
    </div>
  );
}

function Sparkline({ series, colour }: { series: Series; colour: string }): JSX.Element | null {
  const { xs } = series.points;
  const first = xs[0];
  const last = xs[xs.length - 1];
  const { min, max } = series.values;
  if (first === undefined || last === undefined || !(last > first) || !(max >= min)) {
    return null;
  }
  const points = decimate(series.points, first, last, SPARK_WIDTH, series.gap);
  const perX = SPARK_WIDTH / (last - first);
  const perY = max > min ? (SPARK_HEIGHT - 4) / (max - min) : 0;
  let path = "";
  let isDrawing = false;
  for (let i = 0; i < points.xs.length; i++) {
    const y = points.ys[i] as number;
    if (Number.isNaN(y)) {
      isDrawing = false;
      continue;
    }
    const left = (((points.xs[i] as number) - first) * perX).toFixed(1);
    const top = (SPARK_HEIGHT - 2 - (perY === 0 ? SPARK_HEIGHT / 2 - 2 : (y - min) * perY)).toFixed(1);
    path += `${isDrawing ? "L" : "M"}${left} ${top}`;
    isDrawing = true;
  }
  return (
    <svg class="sparkline" viewBox={`0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} fill="none" stroke={colour} stroke-width="1.5" vector-effect="non-scaling-stroke" />
    </svg>
  );
}
