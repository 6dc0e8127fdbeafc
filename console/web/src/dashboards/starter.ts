// A first dashboard, made from the tables of a database.

import { queryRows } from "../api/query";
import { type Column, quoteIdentifier, type Table } from "../api/schema";
import type { ChartSettings } from "../chart/settings";
import { formatMoment, type TimeRange } from "../time/range";
import type { Cell, Dashboard, Variable } from "./dashboard";
import { DEFAULT_RANGE, MAX_NAME_LENGTH } from "./dashboard";
import { arrange, freePlace } from "./layout";
import { variableNameError } from "./variable-names";

/** Tables that get a cell, and fields of a table. */
const MAX_TABLES = 6;
const MAX_FIELDS = 2;

/** Tags with names or texts longer than this make no good series. */
const MAX_TAG_LENGTH = 60;

/** Ranges that end now, of which a first dashboard takes the first one with data: their lengths in milliseconds. */
const RECENT_RANGES: readonly [number, string][] = [
  [3_600_000, "now-1h"],
  [6 * 3_600_000, "now-6h"],
  [86_400_000, "now-1d"],
  [7 * 86_400_000, "now-7d"],
];

/** The range of a first dashboard whose data are older, in milliseconds: it ends with the newest row. */
const OLD_RANGE_MS = 86_400_000;

/** Returns a time range with the newest of the rows, whose time is `newestMs`. */
export function rangeWithData(newestMs: number | undefined, nowMs: number): TimeRange {
  if (newestMs === undefined || newestMs > nowMs) {
    return DEFAULT_RANGE;
  }
  const recent = RECENT_RANGES.find(([length]) => newestMs > nowMs - 0.9 * length);
  if (recent !== undefined) {
    return { from: recent[1], to: "now" };
  }
  const end = Math.ceil((newestMs + 1) / 60_000) * 60_000;
  return { from: formatMoment(end - OLD_RANGE_MS), to: formatMoment(end) };
}

/** Returns the time of the newest row of the first tables, in milliseconds; `undefined` if they are empty. */
export async function newestTime(database: string, tables: readonly Table[]): Promise<number | undefined> {
  const reads = tables
    .filter((table) => numberFields(table).length > 0)
    .slice(0, MAX_TABLES)
    .map((table) => `SELECT max(time) AS newest FROM ${quoteIdentifier(table.name)}`);
  if (reads.length === 0) {
    return undefined;
  }
  const text = `SELECT max(newest) AS newest FROM (${reads.join(" UNION ALL ")})`;
  const rows = await queryRows<{ newest: string | null }>(database, text);
  const newest = Date.parse(`${rows[0]?.newest ?? ""}Z`);
  return Number.isNaN(newest) ? undefined : newest;
}

/** Returns a dashboard with a chart for each of the first tables that have numbers. */
export function starterDashboard(tables: readonly Table[], range = DEFAULT_RANGE): Dashboard {
  const plotted = tables
    .map((table) => ({ table, fields: numberFields(table) }))
    .filter(({ fields }) => fields.length > 0)
    .slice(0, MAX_TABLES);
  const cells: Cell[] = [];
  for (const { table, fields } of plotted) {
    for (const field of fields.slice(0, MAX_FIELDS)) {
      const chart: ChartSettings = { kind: "line" };
      cells.push(newChart(cells, shortName(`${field.name} of ${table.name}`), averageQuery(table, field), chart, 6, 5));
    }
  }
  const first = plotted[0];
  if (first !== undefined) {
    const query = `SELECT count(*) AS rows FROM ${quoteIdentifier(first.table.name)}\nWHERE time >= $from AND time < $to`;
    cells.push(newChart(cells, shortName(`Rows of ${first.table.name}`), query, { kind: "value" }, 6, 3));
  }
  return {
    cells: arrange(cells),
    variables: tagVariables(plotted.map(({ table }) => table)),
    range,
    refreshSeconds: 0,
    annotations: "",
  };
}

function newChart(
  cells: readonly Cell[],
  title: string,
  query: string,
  chart: ChartSettings,
  width: number,
  height: number,
): Cell {
  return {
    id: `cell-${cells.length + 1}`,
    title,
    view: "chart",
    place: freePlace(cells, width, height),
    database: "",
    language: "sql",
    query,
    chart,
    note: "",
  };
}

function numberFields(table: Table): Column[] {
  return table.columns.filter(({ role, type }) => role === "field" && /^(Float|Int|UInt)/.test(type));
}

function firstTag(table: Table): Column | undefined {
  return table.columns.find(({ role, name }) => role === "tag" && name.length <= MAX_TAG_LENGTH);
}

function averageQuery(table: Table, field: Column): string {
  const tag = firstTag(table);
  const value = `avg(${quoteIdentifier(field.name)}) AS ${quoteIdentifier(field.name)}`;
  const isFiltered = tag !== undefined && variableNameError(tag.name) === undefined;
  const tagName = tag === undefined ? "" : `${quoteIdentifier(tag.name)}, `;
  const filter = isFiltered ? `\n  AND ($${tag.name} IS NULL OR ${quoteIdentifier(tag.name)} = $${tag.name})` : "";
  return [
    `SELECT date_bin($interval, time) AS time, ${tagName}${value}`,
    `FROM ${quoteIdentifier(table.name)}`,
    `WHERE time >= $from AND time < $to${filter}`,
    `GROUP BY 1${tag === undefined ? "" : ", 2"} ORDER BY 1`,
  ].join("\n");
}

/** Returns a variable for the first tag of each table. Tables with a tag of the same name share its variable. */
function tagVariables(tables: readonly Table[]): Variable[] {
  const variables = new Map<string, Variable>();
  for (const table of tables) {
    const tag = firstTag(table);
    if (tag !== undefined && variableNameError(tag.name) === undefined && !variables.has(tag.name)) {
      const source = { kind: "tag", table: table.name, column: tag.name } as const;
      variables.set(tag.name, { name: tag.name, source, hasAll: true, initial: null });
    }
  }
  return [...variables.values()];
}

function shortName(name: string): string {
  return Array.from(name).slice(0, MAX_NAME_LENGTH).join("").slice(0, MAX_NAME_LENGTH);
}
