/** The queries that preview a table, a column or a cache. */

import { queryRows } from "../api/query";
import { type Column, currentDatabase, quoteText, type Table } from "../api/schema";
import { type ResolvedRange, rangeParameters } from "../time/range";
import { parseAnswerTime } from "../time/zone";
import { run } from "./execution";
import { range, resultView } from "./explore-state";
import { firstChart, sampleQuery } from "./first-chart";
import { quoteIfNeeded } from "./names";
import { openTab, type QueryTab } from "./query-tabs";
import { type CacheInfo, loadedSchema } from "./schema-store";

/** The number of rows of a preview. */
const PREVIEW_ROWS = 100;

/** The number of the newest preview. A click while the sample of another table is read replaces it. */
let newest = 0;

/** The time limit of what is read about a table before its first chart, in milliseconds. */
const SAMPLE_TIMEOUT_MS = 5_000;

/** Shows and runs a query for the newest rows of a table. */
export function previewRows(database: string, table: string, isSystem: boolean): void {
  show(database, table, tableQuery(table, isSystem));
}

/** Draws a table over the visible range. A table without numbers shows its newest rows. */
export async function previewTable(database: string, table: string, isSystem: boolean): Promise<void> {
  newest += 1;
  const number = newest;
  const found = isSystem ? undefined : loadedSchema(database).tables.find(({ name }) => name === table);
  if (found === undefined || firstChart(found, new Map()) === undefined) {
    previewRows(database, table, isSystem);
    return;
  }
  const { from, to } = rangeParameters(range.peek(), Date.now());
  const isOpen = range.peek().from === "" || range.peek().to === "";
  const [tags, extent] = await Promise.all([
    readTags(database, found, { from, to }),
    isOpen ? readExtent(database, table) : undefined,
  ]);
  const chart = firstChart(found, tags);
  if (number === newest && chart !== undefined) {
    show(database, table, chart.text, { note: chart.note, table, extent });
  }
}

async function readTags(database: string, table: Table, params: Record<string, string>): Promise<Map<string, number>> {
  const text = sampleQuery(table);
  const rows = text === undefined ? [] : await readSample<Record<string, number>>(database, text, params);
  return new Map(Object.entries(rows[0] ?? {}));
}

async function readExtent(database: string, table: string): Promise<ResolvedRange | undefined> {
  const text = `SELECT min(time) AS first, max(time) AS last FROM ${quoteIfNeeded(table, "sql")}`;
  const [row] = await readSample<{ first: string | null; last: string | null }>(database, text);
  const fromMs = parseAnswerTime(row?.first ?? "");
  const toMs = parseAnswerTime(row?.last ?? "") + 1;
  return Number.isNaN(fromMs) || Number.isNaN(toMs) ? undefined : { fromMs, toMs };
}

/** Reads what a chart can do without: a failure is an empty answer. */
async function readSample<T>(database: string, text: string, params?: Record<string, string>): Promise<T[]> {
  return queryRows<T>(database, text, "sql", { params, timeoutMs: SAMPLE_TIMEOUT_MS }).catch(() => []);
}

/** Shows and runs a query that fits a column: the values of a tag, or a field over time. */
export async function previewColumn(database: string, table: string, column: Column, isSystem: boolean): Promise<void> {
  const text = isSystem ? tableQuery(table, true, column.name) : columnQuery(table, column);
  if (!text.includes("$interval")) {
    show(database, column.name, text);
    return;
  }
  newest += 1;
  const number = newest;
  const extent = await readExtent(database, table);
  if (number === newest) {
    show(database, column.name, text, { table, extent });
  }
}

/** Shows and runs a query for the rows of a cache. */
export function previewCache(database: string, cache: CacheInfo): void {
  const name = `${cache.kind}_cache`;
  const text = `SELECT * FROM ${name}(${quoteText(cache.table)}, ${quoteText(cache.name)})\nLIMIT ${PREVIEW_ROWS}`;
  show(database, cache.name, text);
}

/** Returns a query for the newest rows of a table. */
export function tableQuery(table: string, isSystem: boolean, column = "*"): string {
  const columns = column === "*" ? column : quoteIfNeeded(column, "sql");
  if (isSystem) {
    return `SELECT ${columns} FROM system.${quoteIfNeeded(table, "sql")}\nLIMIT ${PREVIEW_ROWS}`;
  }
  return [
    `SELECT ${columns} FROM ${quoteIfNeeded(table, "sql")}`,
    "WHERE time >= $from AND time < $to",
    `ORDER BY time DESC\nLIMIT ${PREVIEW_ROWS}`,
  ].join("\n");
}

/** Returns a query that fits the role and the type of a column. */
export function columnQuery(table: string, column: Column): string {
  const name = quoteIfNeeded(column.name, "sql");
  const source = `FROM ${quoteIfNeeded(table, "sql")}\nWHERE time >= $from AND time < $to`;
  if (column.role === "tag" || /^(Utf8|Boolean|Large)/.test(column.type)) {
    return `SELECT ${name}, count(*) AS rows ${source}\nGROUP BY ${name}\nORDER BY rows DESC\nLIMIT 1000`;
  }
  if (column.role === "time") {
    return `SELECT min(time) AS first, max(time) AS last, count(*) AS rows ${source}`;
  }
  const bin = "date_bin($interval, time) AS time";
  const values = `avg(${name}) AS average, min(${name}) AS lowest, max(${name}) AS highest`;
  return `SELECT ${bin}, ${values}\n${source}\nGROUP BY 1\nORDER BY 1`;
}

function show(database: string, name: string, text: string, chart?: Partial<QueryTab>): void {
  newest += 1;
  currentDatabase.value = database;
  resultView.value = chart === undefined ? "table" : "chart";
  const tab = openTab({ name: name.slice(0, 60), text, language: "sql", isPreview: true, ...chart });
  void run(tab, { text, start: 0 });
}
