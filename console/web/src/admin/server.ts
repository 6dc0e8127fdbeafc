/** The requests that change databases, tables, tokens, caches, triggers and rows. */

import { getJson, request } from "../api/client";
import { queryRows } from "../api/query";
import { INTERNAL_DATABASE, quoteIdentifier, quoteText } from "../api/schema";

const CONFIGURE = "/api/v3/configure";

/** A drop is answered when every process knows it: after five seconds, unless the process is alone on its store. */
const DROP_TIMEOUT_MS = 120_000;

/** What writes create in a database. */
export type AutoCreate = "all" | "columns" | "none";

/** When dropped data is deleted: a keyword, or a time as RFC 3339. */
export type HardDelete = "default" | "never" | "now" | (string & {});

/** A database as the cluster lists it. */
export interface DatabaseEntry {
  name: string;
  retentionNs: bigint | undefined;
  /** What writes create; `undefined`: not known. */
  autoCreate: AutoCreate | undefined;
  isDeleted: boolean;
  /** When the data of a dropped database is deleted; `undefined`: never, or not known. */
  deletedAt: string | undefined;
}

interface DatabaseRow {
  database_name: string;
  retention: string | undefined;
  auto_create?: AutoCreate;
  deleted: boolean;
  hard_deletion_time?: string;
}

/** Lists all databases, also dropped ones. Administrators only. */
export async function listAllDatabases(): Promise<DatabaseEntry[]> {
  const text = `SELECT database_name, CAST(retention_period_ns AS VARCHAR) AS retention, auto_create, deleted, hard_deletion_time
    FROM system.databases ORDER BY deleted, database_name`;
  const rows = await queryRows<DatabaseRow>(INTERNAL_DATABASE, text);
  return rows.map((row) => ({
    name: row.database_name,
    retentionNs: row.retention === undefined ? undefined : BigInt(row.retention),
    autoCreate: row.auto_create,
    isDeleted: row.deleted,
    deletedAt: row.hard_deletion_time,
  }));
}

/** Lists the databases that the caller sees, also dropped ones, without their retention. */
export async function listVisibleDatabases(): Promise<DatabaseEntry[]> {
  const query = { format: "json", show_deleted: true };
  const rows = await getJson<{ "iox::database": string; deleted: boolean }[]>(`${CONFIGURE}/database`, { query });
  return rows.map((row) => ({
    name: row["iox::database"],
    retentionNs: undefined,
    autoCreate: undefined,
    isDeleted: row.deleted,
    deletedAt: undefined,
  }));
}

/** A table of a database. */
export interface TableEntry {
  name: string;
  columns: number | undefined;
  tags: string;
  retentionNs: bigint | undefined;
  /** Whether the retention is that of the database or of the table itself. */
  retentionSource: "database" | "table" | undefined;
  isDeleted: boolean;
  deletedAt: string | undefined;
}

interface RetentionRow {
  table: string;
  retention_period_ns: number | null;
  source: "database" | "table" | null;
}

interface TableRow {
  table_name: string;
  column_count: number;
  series_key_columns: string;
  deleted: boolean;
  hard_deletion_time?: string;
}

/** Lists the tables of a database. Only administrators see dropped tables and the numbers of columns. */
export async function listTableEntries(database: string, isAdmin: boolean): Promise<TableEntry[]> {
  const kept = await getJson<RetentionRow[]>(`${CONFIGURE}/retention`, { query: { db: database } });
  const retention = new Map(kept.map((row) => [row.table, row]));
  const details = isAdmin ? await tableRows(database) : kept.map((row) => liveTable(row.table));
  return details.map((table) => {
    const row = table.deleted ? undefined : retention.get(table.table_name);
    return {
      name: table.table_name,
      columns: isAdmin ? table.column_count : undefined,
      tags: table.series_key_columns,
      retentionNs: row?.retention_period_ns == null ? undefined : BigInt(Math.round(row.retention_period_ns)),
      retentionSource: row?.source ?? undefined,
      isDeleted: table.deleted,
      deletedAt: table.hard_deletion_time,
    };
  });
}

async function tableRows(database: string): Promise<TableRow[]> {
  const text = `SELECT table_name, column_count, series_key_columns, deleted, hard_deletion_time FROM system.tables
    WHERE database_name = ${quoteText(database)} ORDER BY deleted, table_name`;
  return queryRows<TableRow>(INTERNAL_DATABASE, text);
}

function liveTable(name: string): TableRow {
  return { table_name: name, column_count: 0, series_key_columns: "", deleted: false };
}

/** Creates a database. `retention`: a duration such as `30d`; empty: for ever. */
export async function createDatabase(db: string, retention: string, isStrict: boolean): Promise<void> {
  const body = { db, retention_period: retention || null, ...(isStrict ? { order: "strict" } : {}) };
  await request(`${CONFIGURE}/database`, { method: "POST", json: body });
}

/** Sets how long the rows of a database or a table are kept. Empty: no limit of its own. */
export async function setRetention(db: string, table: string | undefined, duration: string): Promise<void> {
  const path = table === undefined ? `${CONFIGURE}/database/retention_period` : `${CONFIGURE}/table/retention_period`;
  const method = duration === "" ? "DELETE" : "POST";
  await request(path, { method, query: { db, table, duration: duration || undefined } });
}

/** Drops a database, or a table of it. */
export async function drop(db: string, table: string | undefined, hardDelete: HardDelete): Promise<void> {
  const path = table === undefined ? `${CONFIGURE}/database` : `${CONFIGURE}/table`;
  const query = { db, table, hard_delete_at: hardDelete };
  await request(path, { method: "DELETE", query, timeoutMs: DROP_TIMEOUT_MS });
}

/** Undoes a drop. Returns the name that the database or table has then. */
export async function undelete(db: string, table: string | undefined, name: string): Promise<string> {
  const path = table === undefined ? `${CONFIGURE}/database/undelete` : `${CONFIGURE}/table/undelete`;
  const query = { db, table, name: name || undefined };
  const answer = await getJson<{ name: string }>(path, { method: "POST", query, timeoutMs: DROP_TIMEOUT_MS });
  return answer.name;
}

/** The fields of a new table, with the types of the interface. */
export interface NewField {
  name: string;
  type: "float64" | "int64" | "uint64" | "utf8" | "bool";
}

/** Creates a table. */
export async function createTable(db: string, table: string, tags: string[], fields: NewField[]): Promise<void> {
  await request(`${CONFIGURE}/table`, { method: "POST", json: { db, table, tags, fields } });
}

/** Returns the number of rows of a table, and their first and last time. */
export async function countRows(database: string, table: string, condition: string): Promise<RowCount> {
  const where = condition === "" ? "" : ` WHERE ${condition}`;
  const text = `SELECT count(*) AS n, min(time) AS first, max(time) AS last FROM ${quoteIdentifier(table)}${where}`;
  const [row] = await queryRows<{ n: number; first?: string; last?: string }>(database, text);
  return { rows: row?.n ?? 0, first: row?.first, last: row?.last };
}

/** Maximum number of tables whose rows are counted at once. */
const MAX_COUNTED_TABLES = 200;

/**
 * Returns the number of rows that are older than some seconds, in a table or in the tables of a database that have no
 * retention of their own; `undefined` if these are too many to count.
 */
export async function countOlderRows(
  database: string,
  table: string | undefined,
  seconds: number,
): Promise<number | undefined> {
  const tables = table === undefined ? await tablesWithoutRetention(database) : [table];
  if (tables.length > MAX_COUNTED_TABLES) {
    return undefined;
  }
  if (tables.length === 0) {
    return 0;
  }
  const counts = tables.map(
    (name) => `SELECT count(*) AS n FROM ${quoteIdentifier(name)} WHERE time < now() - INTERVAL '${seconds} seconds'`,
  );
  const [row] = await queryRows<{ n?: number }>(database, `SELECT sum(n) AS n FROM (${counts.join(" UNION ALL ")})`);
  return row?.n ?? 0;
}

async function tablesWithoutRetention(database: string): Promise<string[]> {
  const entries = await listTableEntries(database, false);
  return entries.filter((entry) => entry.retentionSource !== "table").map(({ name }) => name);
}

/** Rows that a condition selects. */
export interface RowCount {
  rows: number;
  first: string | undefined;
  last: string | undefined;
}

/** Deletes the rows of a table that a condition selects. Returns a moment right before, as RFC 3339. */
export async function deleteRows(database: string, table: string, condition: string): Promise<string | undefined> {
  const [moment] = await queryRows<{ now: string }>(database, "SELECT now() AS now");
  const where = condition === "" ? "" : ` WHERE ${condition}`;
  const q = `DELETE FROM ${quoteIdentifier(table)}${where}`;
  await request("/api/v3/query_sql", { json: { db: database, q, format: "json" }, timeoutMs: DROP_TIMEOUT_MS });
  return moment && (/(Z|[+-]\d\d:\d\d)$/.test(moment.now) ? moment.now : `${moment.now}Z`);
}

/** A permission of a new token. */
export interface Permission {
  resource_type: "db" | "system" | "token" | "*";
  resource_names: string[];
  actions: string[];
}

/** The answer that contains a new token. Nothing else ever shows it. */
export interface CreatedToken {
  name: string;
  token: string;
  expiry: string | null;
}

/** Creates a token. Without permissions, it is one of an administrator. `expirySeconds`: `undefined` for ever. */
export async function createToken(
  name: string,
  permissions: Permission[] | undefined,
  expirySeconds: number | undefined,
): Promise<CreatedToken> {
  const path = permissions === undefined ? `${CONFIGURE}/token/named_admin` : `${CONFIGURE}/token`;
  const body = { token_name: name, permissions, expiry_secs: expirySeconds ?? null };
  return getJson<CreatedToken>(path, { method: "POST", json: body });
}

/** Replaces the operator token. The old one is not valid any more. */
export async function regenerateOperatorToken(): Promise<CreatedToken> {
  return getJson<CreatedToken>(`${CONFIGURE}/token/admin/regenerate`, { method: "POST" });
}

/** Revokes a token. */
export async function deleteToken(name: string): Promise<void> {
  await request(`${CONFIGURE}/token`, { method: "DELETE", query: { token_name: name } });
}

/** The kinds of caches. */
export type CacheKind = "last_cache" | "distinct_cache";

/** Creates a cache. */
export async function createCache(kind: CacheKind, body: Record<string, unknown>): Promise<void> {
  await request(`${CONFIGURE}/${kind}`, { method: "POST", json: body });
}

/** Deletes a cache. The rows of its table stay. */
export async function deleteCache(kind: CacheKind, db: string, table: string, name: string): Promise<void> {
  await request(`${CONFIGURE}/${kind}`, { method: "DELETE", query: { db, table, name } });
}
