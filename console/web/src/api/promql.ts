/** Queries in PromQL: over the HTTP interface of Prometheus, as results with columns. */

import { ApiError, connectionError, messageOf, request } from "./client";
import type { QueryRequest, QueryResult, ResultColumn } from "./query";
import { queryHeaders, queryPath } from "./query";

/** The range of a query whose range is open: what Prometheus shows at first. */
const DEFAULT_RANGE_S = 3_600;

/** Points of a series at most. */
const MAX_POINTS = 300;

/** Steps that people read easily, in seconds. */
const STEPS: readonly number[] = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400];

/** The usual distance of samples, in seconds. A rate needs several of them. */
const SCRAPE_S = 15;

/** The time limit of a query, in milliseconds. The server's own limit is shorter by default. */
const TIMEOUT_MS = 30 * 60_000;

/** The maximum size of an answer, in bytes. Its JSON takes several times as much memory when it is parsed. */
const MAX_BYTES = 64 * 1024 * 1024;

/** A request to the interface of Prometheus. */
export interface PromqlRequest {
  path: string;
  parameters: Record<string, string>;
}

/** An answer of the interface of Prometheus. */
export interface PromqlAnswer {
  resultType: "matrix" | "vector" | "scalar" | "string";
  result: unknown;
}

interface PromqlSeries {
  metric: Record<string, string>;
  values?: [number, string][];
  value?: [number, string];
}

/** Returns the request for a query: its values at many times of the range that `$from` and `$to` name. */
export function promqlRequest({ database, text, parameters = {} }: QueryRequest, nowMs: number): PromqlRequest {
  const { start, end } = rangeOf(parameters, nowMs);
  const step = stepOf(end - start);
  const query = fillParameters(text, {
    ...parameters,
    interval: `${step}s`,
    rate_interval: `${Math.max(step + SCRAPE_S, 4 * SCRAPE_S)}s`,
    range: `${Math.ceil(end - start)}s`,
  });
  return {
    path: queryPath("promql"),
    parameters: { db: database, query, start: String(start), end: String(end), step: String(step) },
  };
}

/** Returns the distance of the points of a range, in seconds. */
export function stepOf(rangeS: number): number {
  const least = rangeS / MAX_POINTS;
  return STEPS.find((step) => step >= least) ?? Math.ceil(least / 86_400) * 86_400;
}

function rangeOf(parameters: Record<string, unknown>, nowMs: number): { start: number; end: number } {
  const seconds = (value: unknown): number => Date.parse(String(value)) / 1000;
  const from = seconds(parameters.from);
  const to = seconds(parameters.to);
  // The ends of an open range are the limits of what can be stored.
  const end = to > 0 && to < 9e9 ? to : nowMs / 1000;
  return { start: from > -9e9 && from < end ? from : end - DEFAULT_RANGE_S, end };
}

/** Replaces `$name` by its value. PromQL has no parameters. All of a variable, null, is `.*`, for `=~`. */
export function fillParameters(text: string, values: Record<string, unknown>): string {
  return text.replace(/\$([\p{L}\p{N}_]+)|\$\{([\p{L}\p{N}_]+)\}/gu, (whole, plain?: string, braced?: string) => {
    const name = plain ?? braced ?? "";
    if (!Object.hasOwn(values, name)) {
      return whole;
    }
    const value = values[name];
    return value === null ? ".*" : String(value).replace(/[\\"]/g, "\\$&");
  });
}

/** Runs a query. Throws `ApiError` if it fails, or if its answer is too large, because half of an answer can't be parsed. */
export async function runPromql(query: QueryRequest): Promise<QueryResult> {
  const startedMs = performance.now();
  const { path, parameters } = promqlRequest(query, Date.now());
  const response = await request(path, {
    method: "POST",
    body: new URLSearchParams(parameters),
    headers: queryHeaders(query.asOf),
    signal: query.signal,
    timeoutMs: TIMEOUT_MS,
  });
  const body = await readBody(response, Math.min(query.maxBytes ?? MAX_BYTES, MAX_BYTES), query.signal);
  try {
    const { data } = JSON.parse(await body.text()) as { data: PromqlAnswer };
    return {
      ...toColumns(data),
      bytes: body.size,
      elapsedMs: performance.now() - startedMs,
      headers: response.headers,
    };
  } catch (error) {
    throw new ApiError(`The server's answer can't be read: ${messageOf(error)}`, 0, "malformed");
  }
}

async function readBody(response: Response, maxBytes: number, signal?: AbortSignal): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  try {
    for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
      bytes += part.value.byteLength;
      if (bytes > maxBytes) {
        await reader?.cancel();
        const message = `The answer is larger than ${maxBytes.toLocaleString("en")} bytes. Shorten the range, or aggregate the series.`;
        throw new ApiError(message, 0, "too large");
      }
      chunks.push(part.value);
    }
  } catch (error) {
    throw connectionError(error, signal);
  }
  return new Blob(chunks);
}

/** Returns an answer as columns: the time, the labels and the value. */
export function toColumns({ resultType, result }: PromqlAnswer): Pick<QueryResult, "columns" | "rows"> {
  const isSeries = resultType === "matrix" || resultType === "vector";
  const series = isSeries ? (result as PromqlSeries[]) : [{ metric: {}, value: result as [number, string] }];
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort(byLabel);
  const owners: number[] = [];
  const times: bigint[] = [];
  const values: (number | string)[] = [];
  series.forEach(({ values: points, value }, owner) => {
    for (const [seconds, text] of points ?? (value === undefined ? [] : [value])) {
      owners.push(owner);
      times.push(BigInt(Math.round(seconds * 1000)) * 1_000_000n);
      values.push(resultType === "string" ? text : numberOf(text));
    }
  });
  const label = (name: string): ResultColumn => ({
    name: name === "__name__" ? "metric" : name,
    kind: "tag",
    arrowType: "Utf8",
    get: (row) => series[owners[row] ?? -1]?.metric[name] ?? null,
  });
  const column = (name: string, kind: ResultColumn["kind"], arrowType: string, data: readonly unknown[]) => {
    return { name, kind, arrowType, get: (row: number) => data[row] ?? null };
  };
  const columns: ResultColumn[] = [
    column("time", "time", "Timestamp(ms)", times),
    ...labels.map(label),
    resultType === "string" ? column("value", "text", "Utf8", values) : column("value", "number", "Float64", values),
  ];
  return { columns, rows: times.length };
}

function byLabel(left: string, right: string): number {
  return Number(right === "__name__") - Number(left === "__name__") || (left < right ? -1 : 1);
}

function numberOf(text: string): number {
  const special: Record<string, number> = { "+Inf": Number.POSITIVE_INFINITY, "-Inf": Number.NEGATIVE_INFINITY };
  return special[text] ?? Number(text);
}
