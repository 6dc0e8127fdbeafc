// Reading of dashboards that others wrote: from the bucket or from a file. Everything that is not expected is refused
// or left out, and new objects are made of what remains.

import { QUERY_LANGUAGES } from "../api/query";
import { CHART_KINDS, type ChartSettings, GAP_MODES, HEAT_MODES, MAX_THRESHOLDS, REDUCERS } from "../chart/settings";
import { UNITS } from "../chart/units";
import { rangeError, type TimeRange } from "../time/range";
import { refreshOf } from "../time/refresh";
import {
  CELL_VIEWS,
  type Cell,
  type CellPlace,
  type Dashboard,
  DEFAULT_RANGE,
  FILE_FORMAT,
  FORMAT_VERSION,
  GRID_COLUMNS,
  MAX_CELL_HEIGHT,
  MAX_CELLS,
  MAX_LIST_VALUES,
  MAX_NAME_LENGTH,
  MAX_NOTE_LENGTH,
  MAX_QUERY_LENGTH,
  MAX_ROWS,
  MAX_VARIABLES,
  newCellId,
  type Variable,
  type VariableSource,
} from "./dashboard";
import { arrange } from "./layout";
import { variableNameError } from "./variable-names";

/** Why a dashboard can't be read. The message names the place in the document. */
export class DashboardError extends Error {}

/** The names of tables and columns, and values of variables: characters at most. */
const MAX_IDENTIFIER_LENGTH = 64 * 1024;

/** Columns that a chart names at most. */
const MAX_CHOSEN_COLUMNS = 100;

type Fields = Record<string, unknown>;

/**
 * Returns the dashboard that a document contains.
 *
 * Throws `DashboardError` if it is none.
 */
export function parseDashboard(document: unknown): Dashboard {
  const fields = objectOf(document, "the dashboard");
  const cells = listOf(fields.cells, "cells", MAX_CELLS);
  const parsed: Cell[] = [];
  cells.forEach((cell, index) => {
    parsed.push(parseCell(cell, `cells[${index}]`, parsed));
  });
  const variables = listOf(fields.variables ?? [], "variables", MAX_VARIABLES).map((variable, index) =>
    parseVariable(variable, `variables[${index}]`),
  );
  const names = new Set(variables.map(({ name }) => name));
  if (names.size !== variables.length) {
    throw new DashboardError("Two variables have the same name.");
  }
  return {
    cells: arrange(parsed),
    variables,
    range: parseRange(fields.range),
    refreshSeconds: refreshOf(fields.refreshSeconds),
    annotations: optionalText(fields.annotations, "annotations", MAX_QUERY_LENGTH),
  };
}

/** A dashboard with its name, as a file contains it. */
export interface NamedDashboard {
  name: string;
  dashboard: Dashboard;
}

/**
 * Returns the dashboard of an exported file.
 *
 * Throws `DashboardError` if the document is none.
 */
export function parseDashboardFile(document: unknown): NamedDashboard {
  const fields = objectOf(document, "the file");
  if (fields.format !== FILE_FORMAT) {
    throw new DashboardError(`The file is not a dashboard of Neap or Grafana: its "format" is not "${FILE_FORMAT}".`);
  }
  if (fields.version !== FORMAT_VERSION) {
    throw new DashboardError(
      `The file has a version of the format that this page can't read; it reads ${FORMAT_VERSION}.`,
    );
  }
  const name = textOf(fields.name, "name", MAX_NAME_LENGTH).trim();
  return { name: name === "" ? "Imported dashboard" : name, dashboard: parseDashboard(fields.dashboard) };
}

/** Returns the text of the file of a dashboard. */
export function formatDashboardFile({ name, dashboard }: NamedDashboard): string {
  return `${JSON.stringify({ format: FILE_FORMAT, version: FORMAT_VERSION, name, dashboard }, null, 2)}\n`;
}

function parseCell(value: unknown, place: string, others: readonly Cell[]): Cell {
  const fields = objectOf(value, place);
  const id = optionalText(fields.id, `${place}.id`, MAX_NAME_LENGTH);
  const isFree = /^[\w-]+$/.test(id) && others.every((other) => other.id !== id);
  return {
    id: isFree ? id : newCellId(others),
    title: optionalText(fields.title, `${place}.title`, MAX_NAME_LENGTH),
    view: oneOf(CELL_VIEWS, fields.view, `${place}.view`),
    place: parsePlace(fields.place, `${place}.place`),
    database: optionalText(fields.database, `${place}.database`, MAX_IDENTIFIER_LENGTH),
    language: oneOf(QUERY_LANGUAGES, fields.language ?? "sql", `${place}.language`),
    query: optionalText(fields.query, `${place}.query`, MAX_QUERY_LENGTH),
    chart: parseChart(fields.chart ?? { kind: "line" }, `${place}.chart`),
    note: optionalText(fields.note, `${place}.note`, MAX_NOTE_LENGTH),
  };
}

function parsePlace(value: unknown, place: string): CellPlace {
  const fields = objectOf(value, place);
  const width = integerOf(fields.width, `${place}.width`, 1, GRID_COLUMNS);
  return {
    x: integerOf(fields.x, `${place}.x`, 0, GRID_COLUMNS - width),
    y: integerOf(fields.y, `${place}.y`, 0, MAX_ROWS),
    width,
    height: integerOf(fields.height, `${place}.height`, 1, MAX_CELL_HEIGHT),
  };
}

function parseChart(value: unknown, place: string): ChartSettings {
  const fields = objectOf(value, place);
  const names = (list: unknown, name: string): string[] | undefined =>
    list === undefined
      ? undefined
      : listOf(list, `${place}.${name}`, MAX_CHOSEN_COLUMNS).map((column, index) =>
          textOf(column, `${place}.${name}[${index}]`, MAX_IDENTIFIER_LENGTH),
        );
  return compact({
    kind: oneOf(CHART_KINDS, fields.kind, `${place}.kind`),
    x: fields.x === undefined ? undefined : textOf(fields.x, `${place}.x`, MAX_IDENTIFIER_LENGTH),
    values: names(fields.values, "values"),
    series: names(fields.series, "series"),
    unit: UNITS.find(({ id }) => id === fields.unit)?.id,
    decimals: optionalInteger(fields.decimals, 0, 12),
    yMin: optionalNumber(fields.yMin),
    yMax: optionalNumber(fields.yMax),
    thresholds: thresholdsOf(fields.thresholds),
    logarithmic: optionalBoolean(fields.logarithmic),
    stacked: optionalBoolean(fields.stacked),
    gaps: GAP_MODES.find((mode) => mode === fields.gaps),
    heat: HEAT_MODES.find((mode) => mode === fields.heat),
    reduce: REDUCERS.find((reducer) => reducer === fields.reduce),
    legend: optionalBoolean(fields.legend),
  });
}

function parseVariable(value: unknown, place: string): Variable {
  const fields = objectOf(value, place);
  const name = textOf(fields.name, `${place}.name`, MAX_NAME_LENGTH);
  const error = variableNameError(name);
  if (error !== undefined) {
    throw new DashboardError(`${place}.name: ${error}`);
  }
  const hasAll = fields.hasAll === true;
  const initial = fields.initial === null || fields.initial === undefined ? null : fields.initial;
  return {
    name,
    source: parseSource(fields.source, `${place}.source`),
    hasAll,
    initial: initial === null ? null : textOf(initial, `${place}.initial`, MAX_IDENTIFIER_LENGTH),
  };
}

function parseSource(value: unknown, place: string): VariableSource {
  const fields = objectOf(value, place);
  switch (fields.kind) {
    case "tag":
      return {
        kind: "tag",
        table: textOf(fields.table, `${place}.table`, MAX_IDENTIFIER_LENGTH),
        column: textOf(fields.column, `${place}.column`, MAX_IDENTIFIER_LENGTH),
      };
    case "list":
      return {
        kind: "list",
        values: listOf(fields.values, `${place}.values`, MAX_LIST_VALUES).map((text, index) =>
          textOf(text, `${place}.values[${index}]`, MAX_IDENTIFIER_LENGTH),
        ),
      };
    case "text":
      return { kind: "text" };
    default:
      throw new DashboardError(`${place}.kind is neither tag, list nor text.`);
  }
}

function parseRange(value: unknown): TimeRange {
  if (typeof value !== "object" || value === null) {
    return DEFAULT_RANGE;
  }
  const { from, to } = value as Fields;
  const range = { from: typeof from === "string" ? from : "", to: typeof to === "string" ? to : "" };
  return rangeError(range, Date.now()) === undefined ? range : DEFAULT_RANGE;
}

function objectOf(value: unknown, place: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DashboardError(`${capitalized(place)} is not an object.`);
  }
  return value as Fields;
}

function listOf(value: unknown, place: string, limit: number): unknown[] {
  if (!Array.isArray(value)) {
    throw new DashboardError(`${capitalized(place)} is not a list.`);
  }
  if (value.length > limit) {
    throw new DashboardError(`${capitalized(place)} has ${value.length} entries; ${limit} are allowed.`);
  }
  return value;
}

function textOf(value: unknown, place: string, limit: number): string {
  if (typeof value !== "string") {
    throw new DashboardError(`${capitalized(place)} is not a text.`);
  }
  if (value.length > limit) {
    throw new DashboardError(`${capitalized(place)} has ${value.length} characters; ${limit} are allowed.`);
  }
  return value;
}

function optionalText(value: unknown, place: string, limit: number): string {
  return value === undefined || value === null ? "" : textOf(value, place, limit);
}

function oneOf<T extends string>(allowed: readonly T[], value: unknown, place: string): T {
  const known = allowed.find((one) => one === value);
  if (known === undefined) {
    throw new DashboardError(`${capitalized(place)} is none of ${allowed.join(", ")}.`);
  }
  return known;
}

function integerOf(value: unknown, place: string, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new DashboardError(`${capitalized(place)} is no integer from ${min} to ${max}.`);
  }
  return value;
}

function optionalInteger(value: unknown, min: number, max: number): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
}

function optionalNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function thresholdsOf(value: unknown): number[] | undefined {
  const numbers = (Array.isArray(value) ? value : []).filter((one) => optionalNumber(one) !== undefined);
  return numbers.length === 0 ? undefined : numbers.slice(0, MAX_THRESHOLDS);
}

function optionalBoolean(value: unknown): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

/** Returns settings without those that are not set. */
function compact(settings: ChartSettings): ChartSettings {
  return Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value !== undefined),
  ) as unknown as ChartSettings;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
