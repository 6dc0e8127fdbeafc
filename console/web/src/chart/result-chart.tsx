/** The chart of a result: chooses its columns, and shows toolbar, plot and legend. */

import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { messageOf } from "../api/client";
import type { QueryResult } from "../api/query";
import { EmptyState, notify } from "../ui";
import "./chart.css";
import { type ChartData, chartData, hasGaps } from "./chart-data";
import { ChartToolbar } from "./chart-toolbar";
import { chooseColumns } from "./columns";
import type { Moment } from "./guides";
import { readColours, seriesStyle } from "./palette";
import { Plot, type PlotPicture } from "./plot";
import { type PictureEntry, pictureBlob } from "./png";
import { fileName, saveFile } from "./save-file";
import type { ChartSettings } from "./settings";
import { SingleValues, singleValues } from "./single-values";
import { useThemeVersion } from "./use-theme";
import type { NsRange } from "./view";

/** The properties of a chart. */
export interface ResultChartProps {
  result: QueryResult;
  settings: ChartSettings;
  /** Takes changed settings. With it, the chart has its controls. */
  onSettings?(settings: ChartSettings): void;
  /** Takes a time range that the user selected, in nanoseconds since 1970. */
  onBrush?(from: bigint, to: bigint): void;
  /** Whether a selection goes to `onBrush` at once instead of zooming first. */
  brushesAtOnce?: boolean;
  /** Shows the range before the last selection, if there was one. */
  onZoomOut?(): void;
  /** The time range that is shown, even if there are no points. */
  range?: NsRange;
  /** Moments that the chart marks. */
  moments?: readonly Moment[];
  title?: string;
  /** The height in CSS pixels. Without it, the chart fills its container. */
  height?: number;
  /** Gets a function that saves the chart as a picture. */
  pictureRef?: { current: (() => void) | undefined };
}

/** A result as a line, bar or scatter chart, heat map or large numbers. */
export function ResultChart(props: ResultChartProps): JSX.Element {
  const { result, settings, onSettings, title, pictureRef } = props;
  const root = useRef<HTMLDivElement>(null);
  const picture = useRef<PlotPicture | undefined>(undefined);
  const key = JSON.stringify(settings);
  // Settings are compared by their text, because those of dashboards are new objects after each change.
  const stable = useMemo(() => settings, [key]);
  const choice = useMemo(() => chooseColumns(result, stable), [result, stable]);
  const columnKey = JSON.stringify([hasGaps(stable), stable.gaps]);
  const data = useMemo(() => chartData(result, choice, stable), [result, namesOf(choice), columnKey]);
  const save = (): void => {
    if (data !== undefined && root.current !== null) {
      savePicture(root.current, data, stable, title, picture.current).catch((error) =>
        notify("error", `The picture can't be saved: ${messageOf(error)}`),
      );
    }
  };
  if (pictureRef !== undefined) {
    pictureRef.current = save;
  }
  return (
    <div
      class={props.height === undefined ? "result-chart result-chart-fill" : "result-chart"}
      ref={root}
      style={props.height === undefined ? undefined : { height: `${props.height}px` }}
    >
      {onSettings && (
        <ChartToolbar result={result} settings={settings} choice={choice} onSettings={onSettings} onPicture={save} />
      )}
      <ChartBody {...props} settings={stable} data={data} onFrame={(frame) => (picture.current = frame)} />
    </div>
  );
}

function namesOf({ x, values, series }: ReturnType<typeof chooseColumns>): string {
  return JSON.stringify([x?.name, values.map(({ name }) => name), series.map(({ name }) => name)]);
}

function ChartBody(
  props: ResultChartProps & { data: ChartData | undefined; onFrame(frame: PlotPicture | undefined): void },
): JSX.Element {
  const { data, result, settings } = props;
  const theme = useThemeVersion();
  const colours = useMemo(() => readColours(document.documentElement), [theme]);
  if (result.rows === 0) {
    return (
      <EmptyState icon="chart" title="No rows">
        <p>The query found nothing. If it depends on the time range, choose a longer one.</p>
      </EmptyState>
    );
  }
  if (data === undefined) {
    return (
      <EmptyState icon="chart" title="Nothing to draw">
        <p>A chart needs a column of numbers. Add one to the query, such as count(*) or avg(value).</p>
      </EmptyState>
    );
  }
  if (data.points === 0) {
    return (
      <EmptyState icon="chart" title="No points">
        <p>The chosen columns have no values. Choose other columns.</p>
      </EmptyState>
    );
  }
  return (
    <>
      <Remarks data={data} result={result} settings={settings} />
      {settings.kind === "value" ? (
        <SingleValues data={data} settings={settings} colours={colours} />
      ) : (
        <Plot {...props} data={data} />
      )}
    </>
  );
}

function Remarks({ data, result, settings }: { data: ChartData; result: QueryResult; settings: ChartSettings }) {
  const remarks: string[] = [];
  if (result.truncatedAt !== undefined) {
    remarks.push(`The result was too large: the chart shows its first ${result.rows.toLocaleString("en")} rows.`);
  }
  if (data.omittedSeries > 0) {
    const all = data.series.length + data.omittedSeries;
    remarks.push(`The chart shows ${data.series.length} of ${all.toLocaleString("en")} series.`);
  }
  if (data.omittedCategories > 0) {
    remarks.push(`${data.omittedCategories.toLocaleString("en")} categories are left out.`);
  }
  if (settings.logarithmic && data.series.some(({ values }) => values.min <= 0) && settings.kind !== "heatmap") {
    remarks.push("A logarithmic scale has no place for values that are not positive.");
  }
  return remarks.length === 0 ? null : <p class="chart-note chart-remark">{remarks.join(" ")}</p>;
}

async function savePicture(
  root: HTMLElement,
  data: ChartData,
  settings: ChartSettings,
  title: string | undefined,
  plot: PlotPicture | undefined,
): Promise<void> {
  const colours = readColours(root);
  const shown = plot?.shown() ?? [];
  const hasLegend = settings.kind !== "heatmap" && data.series.length > 1;
  const entries: PictureEntry[] = hasLegend
    ? shown.map(({ index, series }) => ({ label: series.label, colour: seriesStyle(colours, index).colour }))
    : [];
  const texts = singleValues(data, settings).map(({ label, text }, index) => ({
    label,
    value: text,
    colour: seriesStyle(colours, index).colour,
  }));
  const canvas = settings.kind === "value" ? undefined : plot?.canvas();
  const content = canvas === undefined ? { texts } : { canvas };
  const blob = await pictureBlob({ title, ...content, entries: settings.kind === "value" ? [] : entries, colours });
  saveFile(blob, fileName(title ?? data.valueNames.join(" "), "png"));
}
