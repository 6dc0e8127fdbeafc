// The settings of a chart: plain JSON, because dashboards store them.

/** The kinds of charts. */
export const CHART_KINDS = ["line", "bar", "scatter", "heatmap", "value"] as const;

export type ChartKind = (typeof CHART_KINDS)[number];

/** What a heat map counts: rows by time and value, or the mean of a value by time and series. */
export const HEAT_MODES = ["distribution", "series"] as const;

export type HeatMode = (typeof HEAT_MODES)[number];

/** How the value of each series becomes a single number. */
export const REDUCERS = ["last", "first", "mean", "min", "max", "sum", "count"] as const;

export type Reducer = (typeof REDUCERS)[number];

/** How a missing interval is drawn: `auto` finds it from the usual distance of the points. */
export const GAP_MODES = ["auto", "nulls", "connect"] as const;

export type GapMode = (typeof GAP_MODES)[number];

/** Thresholds of a chart at most. */
export const MAX_THRESHOLDS = 10;

/** What a chart shows. Columns that are absent are chosen by type. */
export interface ChartSettings {
  kind: ChartKind;
  /** The column of the horizontal axis. */
  x?: string;
  /** The columns of the vertical axis. */
  values?: string[];
  /** The columns whose values tell series apart. */
  series?: string[];
  /** The id of a unit of `units.ts`. */
  unit?: string;
  decimals?: number;
  yMin?: number;
  yMax?: number;
  /** Limits that are drawn as lines. */
  thresholds?: number[];
  logarithmic?: boolean;
  stacked?: boolean;
  gaps?: GapMode;
  heat?: HeatMode;
  reduce?: Reducer;
  legend?: boolean;
}

/** The settings of a chart that chooses everything by type. */
export const DEFAULT_CHART: ChartSettings = { kind: "line" };
