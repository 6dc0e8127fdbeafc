// The text of a chart for those who don't see it.

import type { ChartData } from "./chart-data";
import { formatX } from "./format-x";
import type { ChartKind, ChartSettings } from "./settings";
import { unitOf } from "./units";

/** The names of the kinds of charts. */
export const KIND_NAMES: Record<ChartKind, string> = {
  line: "Line",
  bar: "Bar",
  scatter: "Scatter",
  heatmap: "Heat map",
  value: "Single value",
};

/** Series that a summary names. */
const NAMED_SERIES = 5;

/** Returns a sentence about a chart. */
export function chartSummary(data: ChartData, settings: ChartSettings, title: string | undefined): string {
  const unit = unitOf(settings.unit);
  const names = data.series.slice(0, NAMED_SERIES).map(({ label, values }) => {
    const range =
      values.min <= values.max ? ` from ${unit.format(values.min)} to ${unit.format(values.max)}` : " empty";
    return `${label}${range}`;
  });
  const more = data.series.length > NAMED_SERIES ? `, and ${data.series.length - NAMED_SERIES} more` : "";
  const { min, max } = data.extent;
  const place = min <= max ? `, ${data.xName} from ${formatX(data, min)} to ${formatX(data, max)}` : "";
  const head = `${title ? `${title}: ` : ""}${KIND_NAMES[settings.kind]} chart of ${data.valueNames.join(", ")}`;
  return `${head}${place}. ${data.series.length} series: ${names.join("; ")}${more}.`;
}
