/** Runs queries and reads their results as Arrow streams. */

import type { Column } from "@uwdata/flechette";
import { type ArrowMessage, MessageSplitter } from "./arrow-stream";
import { ApiError, connectionError, getJson, type RequestOptions, request } from "./client";
import { fillInfluxql } from "./influxql";

export { formatDuration, formatTime, formatValue } from "./format-value";

/** What a column contains, as far as charts and formats need to know it. */
export type ColumnKind = "time" | "number" | "integer" | "boolean" | "text" | "tag" | "other";

/** A column of a result. */
export interface ResultColumn {
  name: string;
  kind: ColumnKind;
  /** The Arrow type, as text: `Timestamp(ns)`. */
  arrowType: string;
  /** Returns a value: null, number, bigint, string, boolean or an object. A time is a bigint in nanoseconds. */
  get(row: number): unknown;
  /** The Arrow data that the values come from, for those who read the whole column. */
  vector?: Column<unknown>;
  /** The times of the values, if they are not those of the other columns. */
  times?: ResultColumn;
}

/** The parts of equal duration from which the server has chosen the points of each line with `m4`. */
export interface Thinning {
  buckets: number;
  /** Their ends, in nanoseconds since 1970; those of each line if absent. */
  range?: { from: bigint; to: bigint };
}

/** A result, in memory. */
export interface QueryResult {
  columns: ResultColumn[];
  rows: number;
  /** The size of the Arrow stream, in bytes. */
  bytes: number;
  /** The `maxBytes` at which the result was cut, in bytes; absent if it is complete. */
  truncatedAt?: number;
  /** Whether `isEnough` ended the read before the last row. */
  isPartial?: boolean;
  /** How the server has thinned the rows; absent if they are those of the statement. */
  thinning?: Thinning;
  /** The time from the request to the last row, in milliseconds. */
  elapsedMs: number;
  headers: Headers;
}

/** The languages of queries. */
export const QUERY_LANGUAGES = ["sql", "influxql", "promql"] as const;

export type QueryLanguage = (typeof QUERY_LANGUAGES)[number];

/** The names of the languages. */
export const LANGUAGE_NAMES: Record<QueryLanguage, string> = { sql: "SQL", influxql: "InfluxQL", promql: "PromQL" };

/** Returns the language that a stored value or a link names: SQL if it is none. */
export function languageOf(value: unknown): QueryLanguage {
  return QUERY_LANGUAGES.find((language) => language === value) ?? "sql";
}

/** A query. */
export interface QueryRequest {
  database: string;
  text: string;
  language: QueryLanguage;
  /** The values of placeholders, by name without `$`. */
  parameters?: Record<string, unknown>;
  /** The time (RFC 3339) or stamp as of which to answer; the present if absent. */
  asOf?: string;
  signal?: AbortSignal;
  /**
   * Whether the server refuses statements that change data. For queries that run without being asked for, such as those
   * of dashboards.
   */
  isReadOnly?: boolean;
  /** The maximum size of the Arrow stream; the result is cut there. */
  maxBytes?: number;
  onProgress?(rows: number, bytes: number): void;
  /** Returns whether the rows that have arrived are enough. `read` returns them. */
  isEnough?(rows: number, read: () => Promise<QueryResult>): Promise<boolean>;
}

/** The default maximum size of a result, in bytes. */
export const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;

/** The time limit of a query, in milliseconds. The server's own limit is shorter by default. */
const QUERY_TIMEOUT_MS = 30 * 60_000;

/** Returns the path of the queries of a language. */
export function queryPath(language: QueryLanguage): string {
  const paths: Record<QueryLanguage, string> = {
    sql: "/api/v3/query_sql",
    influxql: "/api/v3/query_influxql",
    promql: "/prometheus/api/v1/query_range",
  };
  return paths[language];
}

/** Returns the headers of a query. */
export function queryHeaders(asOf?: string): Record<string, string> {
  return asOf === undefined || asOf === "" ? {} : { "x-neap-as-of": asOf };
}

/**
 * Runs a query and reads its result.
 *
 * Throws `ApiError` if the query fails. An abort of `signal` ends the query on the server and throws the reason.
 */
export async function runQuery(query: QueryRequest): Promise<QueryResult> {
  if (query.language === "promql") {
    const { runPromql } = await import("./promql");
    return runPromql(query);
  }
  const started = performance.now();
  import("./arrow-table").catch(() => {});
  const response = await request(queryPath(query.language), {
    ...queryContent(query),
    headers: queryHeaders(query.asOf),
    signal: query.signal,
    timeoutMs: QUERY_TIMEOUT_MS,
  });
  const resultOf = async ({ messages, ...stream }: MessageStream): Promise<QueryResult> => {
    const { decodeTable } = await import("./arrow-table");
    const table = decodeTable(messages.map((message) => message.bytes));
    return { ...table, ...stream, elapsedMs: performance.now() - started, headers: response.headers };
  };
  return resultOf(await readMessages(response, query, resultOf));
}

/** The values of placeholders, and how long the rows are waited for. */
export interface RowOptions extends Pick<RequestOptions, "signal" | "timeoutMs"> {
  params?: Record<string, string>;
}

/** Runs a query with a small result and returns its rows as JSON objects. For schema and state, not for data. */
export async function queryRows<T>(
  database: string,
  text: string,
  language: QueryLanguage = "sql",
  { params, ...options }: RowOptions = {},
): Promise<T[]> {
  return getJson<T[]>(queryPath(language), { json: { db: database, q: text, format: "json", params }, ...options });
}

/** Returns the text of a query as the server gets it. */
export function sentText(query: Pick<QueryRequest, "text" | "language" | "parameters">): string {
  const { text, language, parameters = {} } = query;
  return language === "influxql" ? fillInfluxql(text, parameters) : text;
}

/** Returns the content of a request. The server refuses changes of data in a GET, because clients may repeat it. */
function queryContent({ database, text, language, parameters = {}, isReadOnly }: QueryRequest): RequestOptions {
  const content = { db: database, q: sentText({ text, language, parameters }), format: "arrow" };
  return isReadOnly
    ? { method: "GET", query: { ...content, params: JSON.stringify(parameters) } }
    : { json: { ...content, params: parameters } };
}

interface MessageStream {
  messages: ArrowMessage[];
  bytes: number;
  truncatedAt?: number;
  isPartial?: boolean;
}

async function readMessages(
  response: Response,
  query: QueryRequest,
  resultOf: (stream: MessageStream) => Promise<QueryResult>,
): Promise<MessageStream> {
  const maxBytes = query.maxBytes ?? DEFAULT_MAX_BYTES;
  const splitter = new MessageSplitter();
  const messages: ArrowMessage[] = [];
  let bytes = 0;
  let rows = 0;
  const reader = response.body?.getReader();
  if (reader === undefined) {
    throw new ApiError("The server's answer is empty.", 0, "malformed");
  }
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      bytes += value.byteLength;
      for (const message of splitter.push(value)) {
        messages.push(message);
        rows += message.rows;
      }
      query.onProgress?.(rows, bytes);
      if (bytes > maxBytes) {
        await reader.cancel();
        return { messages, bytes, truncatedAt: maxBytes };
      }
      if (await query.isEnough?.(rows, () => resultOf({ messages, bytes }))) {
        await reader.cancel();
        return { messages, bytes, isPartial: true };
      }
    }
  } catch (error) {
    throw streamError(error, rows, query.signal);
  }
  if (splitter.isIncomplete || messages.length === 0) {
    throw streamError(undefined, rows, query.signal);
  }
  return { messages, bytes };
}

function streamError(error: unknown, rows: number, signal?: AbortSignal): unknown {
  const known = connectionError(error, signal);
  if (!(known instanceof ApiError) || known.code !== "unreachable") {
    return known;
  }
  const message = `The query ended early, after ${rows.toLocaleString("en")} rows. The server's log has the cause.`;
  return new ApiError(message, 0, "interrupted");
}
