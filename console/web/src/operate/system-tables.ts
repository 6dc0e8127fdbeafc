/** Reads the system tables that the view shows. */

import { ApiError, getJson } from "../api/client";
import { INTERNAL_DATABASE } from "../api/schema";
import { parseAnswerTime } from "../time/zone";
import type { RequestCount } from "./bill";

/**
 * Runs a query of system tables and returns its rows.
 *
 * The query may use a snapshot of the database that is a minute old, because reading a newer one costs requests to the
 * store. The state of the process itself is always the present one.
 */
export async function querySystem<T>(database: string, text: string, signal?: AbortSignal): Promise<T[]> {
  const json = { db: database, q: text, format: "json" };
  return getJson<T[]>("/api/v3/query_sql", { json, headers: { "x-neap-max-staleness": "60s" }, signal });
}

/** A process of the cluster. */
export interface ClusterNode {
  node_id: string;
  instance_id: string;
  mode: string[];
  core_count: number;
  state: string;
  updated_at: string;
  cli_params?: string;
}

/** Lists the processes that reported in the last 24 hours. */
export async function listNodes(signal?: AbortSignal): Promise<ClusterNode[]> {
  const text = `SELECT node_id, instance_id, mode, core_count, state, updated_at, cli_params
    FROM system.nodes ORDER BY state, node_id`;
  return querySystem(INTERNAL_DATABASE, text, signal);
}

/** A query of the process that answers. Times are in nanoseconds. */
export interface LoggedQuery {
  id: string;
  phase: string;
  issue_time: string;
  query_type: string;
  query_text: string;
  partitions?: number;
  parquet_files?: number;
  plan_ns?: number;
  permit_ns?: number;
  execute_ns?: number;
  end2end_ns?: number;
  compute_ns?: number;
  max_memory?: number;
  running: boolean;
  cancelled: boolean;
  success: boolean;
  trace_id?: string;
}

/** The maximum number of queries that are shown. */
const MAX_QUERIES = 200;

/** Matches the text of queries of schemas and states, most of which pages like this one send. */
const SYSTEM_QUERY = String.raw`\b(system\.|information_schema\.)`;

/**
 * Lists queries of a database: running ones first, then the slowest ones. `hasSystem`: those of system tables, too, but
 * not the ones that this function sends.
 */
export async function listQueries(database: string, hasSystem: boolean, signal?: AbortSignal): Promise<LoggedQuery[]> {
  const durations = ["plan", "permit", "execute", "end2end", "compute"];
  const columns = durations.map((name) => `CAST(${name}_duration AS BIGINT) AS ${name}_ns`).join(", ");
  const text = `SELECT id, phase, issue_time, query_type, query_text, partitions, parquet_files, ${columns}, max_memory,
    running, cancelled, success, trace_id FROM system.queries
    WHERE ${hasSystem ? "query_text NOT LIKE '%FROM system.queries%'" : `NOT regexp_like(query_text, '${SYSTEM_QUERY}')`}
    ORDER BY running DESC, end2end_duration DESC NULLS FIRST LIMIT ${MAX_QUERIES}`;
  return querySystem(database, text, signal);
}

/** Returns the plan of a query as text. With `isRun`, the query runs, and the plan contains what its operators did. */
export async function explain(
  database: string,
  query: LoggedQuery,
  isRun: boolean,
  abort?: AbortSignal,
): Promise<string> {
  const path = query.query_type === "influxql" ? "/api/v3/query_influxql" : "/api/v3/query_sql";
  const text = `EXPLAIN ${isRun ? "ANALYZE " : ""}${query.query_text.replace(/;\s*$/, "")}`;
  const rows = await getJson<Record<string, unknown>[]>(path, {
    json: { db: database, q: text, format: "json" },
    signal: abort,
    timeoutMs: 10 * 60_000,
  });
  const wanted = rows.filter((row) => isRun || row.plan_type === "physical_plan");
  return wanted.map((row) => String(row.plan ?? row.Plan ?? "")).join("\n");
}

/** A job on the files of a database. */
export interface CompactionJob {
  id: string;
  kind: string;
  table_name?: string;
  state: string;
  inputs?: number;
  outputs?: number;
  rows?: number;
  bytes_in?: number;
  bytes_out?: number;
  duration_ms?: number;
  finished?: string;
}

/** Lists recent and running jobs of a database, the newest first. */
export async function listJobs(database: string, signal?: AbortSignal): Promise<CompactionJob[]> {
  const text = `SELECT * FROM system.compactions ORDER BY finished DESC NULLS FIRST LIMIT 100`;
  return querySystem(database, text, signal);
}

/** What the sections of a table occupy. */
export interface TableSize {
  table_name: string;
  sections: number;
  row_count: number;
  size_bytes: number;
}

/** Measures the sections of a database, the largest table first. May read pages of the manifest from the store. */
export async function measureTables(database: string, signal?: AbortSignal): Promise<TableSize[]> {
  const text = `SELECT table_name, count(*) AS sections, sum(row_count) AS row_count, sum(size_bytes) AS size_bytes
    FROM system.parquet_files GROUP BY table_name ORDER BY size_bytes DESC LIMIT 500`;
  return querySystem(database, text, signal);
}

interface StoreRequestRow {
  database_name?: string | null;
  operation: string;
  class: string;
  requests: number;
  bytes: number;
  since: string;
}

/**
 * Counts the requests of the process to the store by database, since `sinceMs`, in milliseconds since the Unix epoch.
 * Only administrators may.
 */
export async function countStoreRequests(signal?: AbortSignal): Promise<{ counts: RequestCount[]; sinceMs: number }> {
  const text = `SELECT database_name, operation, class, requests, bytes, since FROM system.store_requests`;
  const rows = await querySystem<StoreRequestRow>(INTERNAL_DATABASE, text, signal);
  if (rows.length === 0) {
    throw new ApiError("The process has sent no request to the store yet.", 0);
  }
  const counts = rows.map((row) => ({
    database: row.database_name ?? null,
    operation: row.operation,
    objectClass: row.class,
    requests: row.requests,
    bytes: row.bytes,
  }));
  const since = rows.map((row) => parseAnswerTime(row.since)).filter((time) => !Number.isNaN(time));
  return { counts, sinceMs: Math.min(...since, Date.now()) };
}
