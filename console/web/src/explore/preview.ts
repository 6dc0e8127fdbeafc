/** The queries that preview a table, a column or a cache. */

import { type Column, currentDatabase, quoteText } from "../api/schema";
import { run } from "./execution";
import { resultView } from "./explore-state";
import { quoteIfNeeded } from "./names";
import { openTab } from "./query-tabs";
import type { CacheInfo } from "./schema-store";

/** The number of rows of a preview. */
const PREVIEW_ROWS = 100;

/** Shows and runs a query for the newest rows of a table. */
export function previewTable(database: string, table: string, isSystem: boolean): void {
  show(database, table, tableQuery(table, isSystem));
}

/** Shows and runs a query that fits a column: the values of a tag, or a field over time. */
export function previewColumn(database: string, table: string, column: Column, isSystem: boolean): void {
  show(database, column.name, isSystem ? tableQuery(table, true, column.name) : columnQuery(table, column));
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
  const bin = "date_bin(INTERVAL '1 minute', time) AS time";
  const values = `avg(${name}) AS average, min(${name}) AS lowest, max(${name}) AS highest`;
  return `SELECT ${bin}, ${values}\n${source}\nGROUP BY 1\nORDER BY 1 DESC\nLIMIT 1000`;
}

function show(database: string, name: string, text: string): void {
  currentDatabase.value = database;
  resultView.value = "table";
  const tab = openTab({ name: name.slice(0, 60), text, language: "sql", isPreview: true });
  void run(tab, { text, start: 0 });
}
