// The series of a chart, from a result and the choice of its columns.

import type { QueryResult, ResultColumn, Thinning } from "../api/query";
import { codesOf, firstTime, floatsOf } from "./column-data";
import type { ColumnChoice } from "./columns";
import type { Points } from "./decimate";
import { type Buckets, gapDistance } from "./gaps";
import type { Extent } from "./number-ticks";
import type { ChartSettings } from "./settings";
import { sortPoints } from "./sort-points";

/** Series of a chart at most. */
export const MAX_SERIES = 100;

/** Categories of an axis at most. */
export const MAX_CATEGORIES = 1000;

/** The length of the name of a series at most, in characters. */
const MAX_LABEL_LENGTH = 200;

/** A series. */
export interface Series {
  label: string;
  points: Points;
  /** The largest distance of neighbours that is no gap. */
  gap: number;
  /** Extent of the values; `min` is larger than `max` if there are none. */
  values: Extent;
}

/** The data of a chart. */
export interface ChartData {
  axis: "time" | "number" | "category";
  /** The time that is 0 on the axis, in nanoseconds since 1970. */
  base: bigint;
  /** The texts of an axis of categories. */
  categories: string[];
  /** Extent of the horizontal places of all series. */
  extent: Extent;
  xName: string;
  valueNames: string[];
  series: Series[];
  /** Series or categories that are left out because there are too many. */
  omittedSeries: number;
  omittedCategories: number;
  /** Points of all series, without nulls. */
  points: number;
}

/** Returns the data of a chart; `undefined` if the result has no column for an axis. */
export function chartData(result: QueryResult, choice: ColumnChoice, settings: ChartSettings): ChartData | undefined {
  const { x, values } = choice;
  if (values.length === 0) {
    return undefined;
  }
  const axis = xAxis(result, x);
  const groups = groupRows(result, choice.series);
  const shown = Math.max(1, Math.floor(MAX_SERIES / values.length));
  const sharedRows = rowsOfGroups(groups, axis.xs, shown);
  const series: Series[] = [];
  const labels = new Set<string>();
  for (const column of values) {
    const floats = floatsOf(result, column, 0n);
    const xs = column.times === undefined ? axis.xs : floatsOf(result, column.times, axis.base);
    const rows = column.times === undefined ? sharedRows : rowsOfGroups(groups, xs, shown);
    rows.forEach((indexes, group) => {
      const label = seriesLabel(column, values.length, groups.labels[group] ?? "", choice.series.length > 0);
      const points = seriesPoints(xs, floats, indexes, settings);
      const gap = seriesGap(points, settings, result.thinning, axis.base);
      series.push({ label: uniqueLabel(label, labels), points, gap, values: extentOf([points.ys]) });
    });
  }
  return {
    ...axis,
    xName: x?.name ?? "row",
    valueNames: values.map((column) => column.name),
    extent: extentOf(series.map((one) => one.points.xs)),
    series,
    omittedSeries: Math.max(0, groups.labels.length - shown) * values.length,
    points: series.reduce((sum, one) => sum + one.points.ys.length, 0),
  };
}

interface HorizontalAxis {
  axis: ChartData["axis"];
  base: bigint;
  categories: string[];
  omittedCategories: number;
  /** The place of each row; `NaN` leaves it out. */
  xs: Float64Array;
}

function xAxis(result: QueryResult, x: ResultColumn | undefined): HorizontalAxis {
  const none = { base: 0n, categories: [], omittedCategories: 0 };
  if (x === undefined) {
    return { ...none, axis: "number", xs: Float64Array.from({ length: result.rows }, (_, row) => row) };
  }
  if (x.kind === "time") {
    const base = firstTime(result, x);
    return { ...none, axis: "time", base, xs: floatsOf(result, x, base) };
  }
  if (x.kind === "number" || x.kind === "integer") {
    return { ...none, axis: "number", xs: floatsOf(result, x, 0n) };
  }
  const { codes, texts } = codesOf(result, x);
  const xs = new Float64Array(codes.length);
  codes.forEach((code, row) => {
    xs[row] = code >= 0 && code < MAX_CATEGORIES ? code : Number.NaN;
  });
  const categories = texts.slice(0, MAX_CATEGORIES);
  return { axis: "category", base: 0n, categories, omittedCategories: texts.length - categories.length, xs };
}

/** Rows by series. */
interface RowGroups {
  /** The group of each row; `undefined` if all are of one group. */
  ids: Int32Array | undefined;
  labels: string[];
}

function groupRows(result: QueryResult, columns: ResultColumn[]): RowGroups {
  let groups: RowGroups = { ids: undefined, labels: [""] };
  for (const column of columns) {
    groups = refineGroups(groups, result, column, columns.length > 1);
  }
  return sortGroups(groups);
}

/** Numbers groups by their names, so that a series has the same colour whatever the order of the rows. */
function sortGroups({ ids, labels }: RowGroups): RowGroups {
  if (ids === undefined) {
    return { ids, labels };
  }
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const order = labels.map((_, id) => id).sort((a, b) => compare(labels[a] ?? "", labels[b] ?? "") || a - b);
  const ranks = new Int32Array(labels.length);
  order.forEach((id, rank) => {
    ranks[id] = rank;
  });
  return { ids: ids.map((id) => ranks[id] as number), labels: order.map((id) => labels[id] ?? "") };
}

function refineGroups(groups: RowGroups, result: QueryResult, column: ResultColumn, isNamed: boolean): RowGroups {
  const { codes, texts } = codesOf(result, column);
  const ids = new Int32Array(codes.length);
  const labels: string[] = [];
  const known = new Map<number, number>();
  for (let row = 0; row < codes.length; row++) {
    const outer = groups.ids?.[row] ?? 0;
    const code = codes[row] as number;
    const key = outer * (texts.length + 1) + code + 1;
    let id = known.get(key);
    if (id === undefined) {
      id = labels.length;
      known.set(key, id);
      labels.push(joinLabels(groups.labels[outer] ?? "", column.name, texts[code] ?? "∅", isNamed));
    }
    ids[row] = id;
  }
  return { ids, labels };
}

function joinLabels(outer: string, column: string, text: string, isNamed: boolean): string {
  const label = isNamed ? `${column}=${text}` : text;
  return (outer === "" ? label : `${outer}, ${label}`).slice(0, MAX_LABEL_LENGTH);
}

/** Returns the indexes of the rows of the first `limit` groups that have a place on the axis. */
function rowsOfGroups({ ids, labels }: RowGroups, xs: Float64Array, limit: number): Uint32Array[] {
  const shown = Math.min(limit, labels.length);
  const counts = new Uint32Array(shown);
  const isShown = (row: number): boolean => {
    const x = xs[row] as number;
    return !Number.isNaN(x) && (ids === undefined || (ids[row] as number) < shown);
  };
  for (let row = 0; row < xs.length; row++) {
    if (isShown(row)) {
      const group = ids === undefined ? 0 : (ids[row] as number);
      counts[group] = (counts[group] as number) + 1;
    }
  }
  const groups = Array.from(counts, (count) => new Uint32Array(count));
  counts.fill(0);
  for (let row = 0; row < xs.length; row++) {
    if (isShown(row)) {
      const group = ids === undefined ? 0 : (ids[row] as number);
      const at = counts[group] as number;
      (groups[group] as Uint32Array)[at] = row;
      counts[group] = at + 1;
    }
  }
  return groups;
}

function seriesLabel(column: ResultColumn, valueCount: number, group: string, hasGroups: boolean): string {
  if (!hasGroups) {
    return column.name;
  }
  return valueCount === 1 ? group : `${column.name} · ${group}`;
}

/** Returns the label, or one with a number if it was shortened to that of another series. */
function uniqueLabel(label: string, known: Set<string>): string {
  let unique = label;
  for (let number = 2; known.has(unique); number++) {
    unique = `${label} (${number})`;
  }
  known.add(unique);
  return unique;
}

function seriesPoints(xs: Float64Array, values: Float64Array, rows: Uint32Array, settings: ChartSettings): Points {
  const points: Points = { xs: new Float64Array(rows.length), ys: new Float64Array(rows.length) };
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    points.xs[i] = xs[row] as number;
    const value = values[row] as number;
    points.ys[i] = Number.isFinite(value) ? value : Number.NaN;
  }
  return sortPoints(settings.gaps === "connect" ? withoutNulls(points) : points);
}

function seriesGap({ xs }: Points, settings: ChartSettings, thinning: Thinning | undefined, base: bigint): number {
  if (!hasGaps(settings)) {
    return Number.POSITIVE_INFINITY;
  }
  return gapDistance(xs, settings.gaps ?? "auto", thinning && bucketsOf(thinning, xs, base));
}

function bucketsOf({ buckets, range }: Thinning, xs: Float64Array, base: bigint): Buckets {
  const start = range === undefined ? (xs[0] ?? 0) : Number(range.from - base) / 1e6;
  const end = range === undefined ? (xs.at(-1) ?? 0) : Number(range.to - base) / 1e6;
  return { start, width: (end - start) / buckets };
}

/** Returns whether a chart draws lines, which have gaps. */
export function hasGaps({ kind }: ChartSettings): boolean {
  return kind === "line" || kind === "value";
}

function withoutNulls({ xs, ys }: Points): Points {
  const kept = { xs: new Float64Array(xs.length), ys: new Float64Array(xs.length) };
  let length = 0;
  for (let i = 0; i < xs.length; i++) {
    const y = ys[i] as number;
    if (!Number.isNaN(y)) {
      kept.xs[length] = xs[i] as number;
      kept.ys[length] = y;
      length += 1;
    }
  }
  return { xs: kept.xs.subarray(0, length), ys: kept.ys.subarray(0, length) };
}

/** Returns the extent of all numbers but `NaN`. */
export function extentOf(arrays: Float64Array[]): Extent {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const values of arrays) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      if (value < min) {
        min = value;
      }
      if (value > max) {
        max = value;
      }
    }
  }
  return { min, max };
}
