// The choice of the columns of a chart: by the settings, and by type for what they leave open.

import type { QueryResult, ResultColumn } from "../api/query";
import type { ChartKind, ChartSettings } from "./settings";

/** Columns of values that a chart takes without being told. */
const DEFAULT_VALUES = 4;

/** Rows that are looked at to find out whether a text tells few or many things apart. */
const SAMPLE_ROWS = 2000;

/** Texts of a column that tells series apart without being told, at most. */
const MAX_SAMPLE_TEXTS = 50;

/** Multiples of this have fractions that are spread evenly and without a period. */
const GOLDEN_RATIO = 0.6180339887498949;

/** The columns of a chart. */
export interface ColumnChoice {
  x: ResultColumn | undefined;
  values: ResultColumn[];
  series: ResultColumn[];
}

/** Returns the columns that can be the horizontal axis of a chart. */
export function xCandidates(result: QueryResult, kind: ChartKind): ResultColumn[] {
  const order = kind === "scatter" ? ["time", "number", "integer"] : ["time", "tag", "text", "integer", "number"];
  const allowed = kind === "line" || kind === "heatmap" ? ["time", "number", "integer"] : order;
  return result.columns.filter((column) => allowed.includes(column.kind));
}

/** Returns the columns that can be values. */
export function valueCandidates(result: QueryResult): ResultColumn[] {
  return result.columns.filter(({ kind }) => kind === "number" || kind === "integer" || kind === "boolean");
}

/** Returns the columns that can tell series apart. */
export function seriesCandidates(result: QueryResult): ResultColumn[] {
  return result.columns.filter(({ kind }) => kind === "tag" || kind === "text" || kind === "boolean");
}

/** Returns the columns of a chart. Names of the settings that the result does not have are ignored. */
export function chooseColumns(result: QueryResult, settings: ChartSettings): ColumnChoice {
  const x = find(xCandidates(result, settings.kind), settings.x) ?? defaultX(result, settings.kind);
  const numbers = valueCandidates(result).filter((column) => column !== x);
  const chosen = findAll(numbers, settings.values);
  const values = chosen.length > 0 ? chosen : defaultValues(numbers);
  const others = seriesCandidates(result).filter((column) => column !== x && !values.includes(column));
  const series = settings.series === undefined ? defaultSeries(result, others) : findAll(others, settings.series);
  return { x, values, series };
}

/** Returns the columns that tell series apart in a result, or in the rows of it that have not arrived yet. */
export function possibleSeries(part: QueryResult, settings: ChartSettings, chosen: ColumnChoice): ResultColumn[] {
  const others = seriesCandidates(part).filter((column) => column !== chosen.x && !chosen.values.includes(column));
  const isPossible = (column: ResultColumn) => column.kind === "tag" || distinct(part, column) <= MAX_SAMPLE_TEXTS;
  return settings.series === undefined
    ? others.filter((column) => column.kind !== "boolean" && isPossible(column))
    : chosen.series;
}

function find(columns: ResultColumn[], name: string | undefined): ResultColumn | undefined {
  return name === undefined ? undefined : columns.find((column) => column.name === name);
}

function findAll(columns: ResultColumn[], names: string[] | undefined): ResultColumn[] {
  return columns.filter((column) => names?.includes(column.name) ?? false);
}

function defaultX(result: QueryResult, kind: ChartKind): ResultColumn | undefined {
  const candidates = xCandidates(result, kind);
  const times = candidates.filter((column) => column.kind === "time");
  const time = times.find((column) => column.name === "time") ?? times[0];
  if (time !== undefined) {
    return time;
  }
  // The last text of a table such as `region, host, value` tells its rows apart best.
  const texts = candidates.filter((column) => column.kind === "tag" || column.kind === "text");
  const text = texts.findLast((column) => distinct(result, column) > 1) ?? texts[0];
  // A single column of numbers is a column of values.
  return text ?? (valueCandidates(result).length > 1 ? candidates[0] : undefined);
}

function defaultValues(numbers: ResultColumn[]): ResultColumn[] {
  const real = numbers.filter((column) => column.kind !== "boolean");
  return (real.length > 0 ? real : numbers).slice(0, DEFAULT_VALUES);
}

function defaultSeries(result: QueryResult, candidates: ResultColumn[]): ResultColumn[] {
  return candidates.filter((column) => {
    if (column.kind === "boolean") {
      return false;
    }
    const texts = distinct(result, column);
    return texts > 1 && (column.kind === "tag" || texts <= MAX_SAMPLE_TEXTS);
  });
}

/** Returns the number of different values of a column in a sample of its rows. */
function distinct(result: QueryResult, column: ResultColumn): number {
  const values = new Set<unknown>();
  const count = Math.min(result.rows, SAMPLE_ROWS);
  for (let i = 0; i < count; i++) {
    // Half of the sample are the first rows. The others are at irregular places, because rows often repeat regularly.
    const isFirst = i < SAMPLE_ROWS / 2 || result.rows <= SAMPLE_ROWS;
    values.add(column.get(isFirst ? i : Math.floor(((i * GOLDEN_RATIO) % 1) * result.rows)));
  }
  return values.size;
}
