/** The queries of logs and traces. The tables are those of OpenTelemetry; columns that a table lacks are left out. */

import { queryRows } from "../api/query";
import { quoteIdentifier, type Table } from "../api/schema";

/** Rows of a list at most. */
export const MAX_LOGS = 500;
export const MAX_TRACES = 100;

/** Spans of a trace at most, and the newest spans that a list of traces is made of. */
export const MAX_SPANS = 2_000;
const LISTED_SPANS = 50_000;

/** Services that a filter offers at most. */
const MAX_SERVICES = 200;

/** What a list shows. */
export interface SignalFilter {
  /** Words that must occur. */
  text: string;
  service: string;
  /** Only errors. */
  isError: boolean;
}

/** A query and its parameters. */
export interface SignalQuery {
  text: string;
  params: Record<string, string>;
}

/** A log record, or an event of a span. */
export interface LogRow {
  time: string;
  service?: string;
  severity?: string;
  severity_number?: number;
  body?: string;
  event?: string;
  trace_id?: string;
  span_id?: string;
  attributes?: string;
}

/** A trace in a list. */
export interface TraceRow {
  trace_id: string;
  start: string;
  duration_nano: number;
  spans: number;
  errors: number;
  name?: string;
  service?: string;
}

/** The severity from which a record is an error, in the numbers of OpenTelemetry. */
const ERROR_SEVERITY = 17;

/** Runs a query and returns its rows. */
export function readRows<T>(database: string, { text, params }: SignalQuery, signal?: AbortSignal): Promise<T[]> {
  return queryRows<T>(database, text, "sql", { params, signal });
}

/** Returns the query of the newest log records. `$from` and `$to` are the time range. */
export function logsQuery(table: Table, filter: SignalFilter, range: { from: string; to: string }): SignalQuery {
  const has = columnsOf(table);
  const words = wordsOf(filter.text);
  const places = ["body", "event.name", "attributes"].filter(has).map(quoteIdentifier);
  const conditions = [
    "time >= $from AND time < $to",
    ...words.map((_, at) => anyOf(places.map((place) => `strpos(lower(${place}), $word${at}) > 0`))),
    ...serviceCondition(filter, has),
    ...(filter.isError && has("severity_number") ? [`severity_number >= ${ERROR_SEVERITY}`] : []),
  ];
  return {
    text: `SELECT ${logColumns(has)} FROM ${quoteIdentifier(table.name)}\nWHERE ${conditions.join("\n  AND ")}\nORDER BY time DESC LIMIT ${MAX_LOGS}`,
    params: { ...range, ...wordParams(words), ...serviceParam(filter, has) },
  };
}

/** Returns the query of the log records and events of a trace. */
export function traceLogsQuery(table: Table, traceId: string): SignalQuery {
  const name = quoteIdentifier(table.name);
  const text = `SELECT ${logColumns(columnsOf(table))} FROM ${name}\nWHERE trace_id = $trace ORDER BY time LIMIT ${MAX_LOGS}`;
  return { text, params: { trace: traceId } };
}

/** Returns the query of the newest traces. It reads a bounded number of spans. */
export function tracesQuery(table: Table, filter: SignalFilter, range: { from: string; to: string }): SignalQuery {
  const has = columnsOf(table);
  const words = wordsOf(filter.text);
  const places = ["trace_id", "span.name", "attributes"].filter(has).map(quoteIdentifier);
  const conditions = [
    ...words.map((_, at) => anyOf(places.map((place) => `strpos(lower(${place}), $word${at}) > 0`))),
    ...serviceCondition(filter, has),
  ];
  const error = has("otel.status_code") ? `"otel.status_code" = 'Error'` : "false";
  const matches = conditions.length === 0 ? "true" : conditions.join(" AND ");
  const having = [`count(*) FILTER (WHERE ${matches}) > 0`, ...(filter.isError ? ["errors > 0"] : [])];
  const rows = `SELECT * FROM ${quoteIdentifier(table.name)} WHERE time >= $from AND time < $to ORDER BY time DESC LIMIT ${LISTED_SPANS}`;
  const text = [
    "SELECT trace_id, min(time) AS start,",
    '  max(CAST(time AS BIGINT) + coalesce("duration_nano", 0)) - CAST(min(time) AS BIGINT) AS duration_nano,',
    `  count(*) AS spans, count(*) FILTER (WHERE ${error}) AS errors,`,
    `  ${firstOf("span.name", has)} AS name, ${firstOf("service.name", has)} AS service`,
    `FROM (${rows})`,
    `GROUP BY trace_id HAVING ${having.join(" AND ")}`,
    `ORDER BY start DESC LIMIT ${MAX_TRACES}`,
  ].join("\n");
  return { text, params: { ...range, ...wordParams(words), ...serviceParam(filter, has) } };
}

/** Returns the query of the spans of a trace. */
export function traceQuery(table: Table, traceId: string): SignalQuery {
  const has = columnsOf(table);
  const columns = [
    "span_id",
    "CAST(time AS BIGINT) - min(CAST(time AS BIGINT)) OVER () AS offset_nano",
    ...named(has, [
      ["parent_span_id", "parent_span_id"],
      ["duration_nano", "duration_nano"],
      ["span.name", "name"],
      ["service.name", "service"],
      ["span.kind", "kind"],
      ["otel.status_code", "status"],
      ["otel.status_description", "status_description"],
      ["attributes", "attributes"],
    ]),
  ];
  const name = quoteIdentifier(table.name);
  const text = `SELECT ${columns.join(", ")} FROM ${name}\nWHERE trace_id = $trace ORDER BY time LIMIT ${MAX_SPANS}`;
  return { text, params: { trace: traceId } };
}

/** Returns the query of the names of services in a range; `undefined` if the table has none. */
export function servicesQuery(table: Table, range: { from: string; to: string }): SignalQuery | undefined {
  if (!columnsOf(table)("service.name")) {
    return undefined;
  }
  const name = quoteIdentifier(table.name);
  const text = `SELECT DISTINCT "service.name" AS service FROM ${name} WHERE time >= $from AND time < $to ORDER BY 1 LIMIT ${MAX_SERVICES}`;
  return { text, params: range };
}

type HasColumn = (name: string) => boolean;

function columnsOf(table: Table): HasColumn {
  const names = new Set(table.columns.map(({ name }) => name));
  return (name) => names.has(name);
}

function logColumns(has: HasColumn): string {
  return [
    "time",
    ...named(has, [
      ["service.name", "service"],
      ["severity_text", "severity"],
      ["severity_number", "severity_number"],
      ["body", "body"],
      ["event.name", "event"],
      ["trace_id", "trace_id"],
      ["span_id", "span_id"],
      ["attributes", "attributes"],
    ]),
  ].join(", ");
}

function named(has: HasColumn, columns: readonly (readonly [string, string])[]): string[] {
  return columns.filter(([name]) => has(name)).map(([name, alias]) => `${quoteIdentifier(name)} AS ${alias}`);
}

/** The first value of a trace in the order of times, which is that of its root. */
function firstOf(name: string, has: HasColumn): string {
  return has(name) ? `first_value(${quoteIdentifier(name)} ORDER BY time)` : "NULL";
}

function anyOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? "false" : `(${conditions.join(" OR ")})`;
}

/** Words of a filter at most. */
const MAX_WORDS = 10;

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "")
    .slice(0, MAX_WORDS);
}

function wordParams(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word, at) => [`word${at}`, word]));
}

function serviceCondition({ service }: SignalFilter, has: HasColumn): string[] {
  return service !== "" && has("service.name") ? [`"service.name" = $service`] : [];
}

function serviceParam({ service }: SignalFilter, has: HasColumn): Record<string, string> {
  return service !== "" && has("service.name") ? { service } : {};
}
