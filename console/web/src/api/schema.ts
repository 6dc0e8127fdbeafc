/** The databases, tables and columns of the server, and quotes for their names in queries. */

import { effect, signal } from "@preact/signals";
import { route, setParams } from "../router";
import { getJson } from "./client";
import { queryRows } from "./query";
import { isAdmin } from "./session";
import { onForget } from "./token";

/** The role of a column in a table. */
export type ColumnRole = "tag" | "field" | "time";

/** A column of a table. */
export interface Column {
  name: string;
  /** The Arrow type, as text. */
  type: string;
  role: ColumnRole;
}

/** A table of a database. */
export interface Table {
  name: string;
  columns: Column[];
}

/** A database. */
export interface Database {
  name: string;
  /** How long rows are kept, in nanoseconds. `undefined`: for ever, or unknown. */
  retentionNs?: bigint;
  isDeleted?: boolean;
}

/** The database that describes the cluster itself. */
export const INTERNAL_DATABASE = "_internal";

/** The databases that the caller sees, as of the last listing. */
export const databases = signal<Database[]>([]);

/** The name of the chosen database, or the empty text. Part of the URL's hash (`db`). */
export const currentDatabase = signal(route.value.params.get("db") ?? "");

// A place without a database is a place in the present one.
effect(() => {
  const database = route.value.params.get("db");
  if (database !== null) {
    currentDatabase.value = database;
  } else if (currentDatabase.peek() !== "") {
    setParams({ db: currentDatabase.peek() });
  }
});

effect(() => {
  const database = currentDatabase.value;
  if (database !== (route.peek().params.get("db") ?? "")) {
    setParams({ db: database });
  }
});

onForget(() => {
  databases.value = [];
});

/** Lists the databases, and stores the list in `databases`. If none is chosen, chooses the first one. */
export async function listDatabases(): Promise<Database[]> {
  const names = await getJson<Record<string, string>[]>("/api/v3/configure/database", { query: { format: "json" } });
  const retention = isAdmin.value ? await readRetention() : new Map<string, bigint>();
  const listed = names.flatMap((row): Database[] => {
    const name = row["iox::database"];
    return name === undefined ? [] : [{ name, retentionNs: retention.get(name) }];
  });
  // The database of the cluster itself comes last.
  listed.sort((left, right) => Number(left.name === INTERNAL_DATABASE) - Number(right.name === INTERNAL_DATABASE));
  databases.value = listed;
  const chosen = currentDatabase.value;
  if (chosen === "") {
    currentDatabase.value = listed.find(({ name }) => name !== INTERNAL_DATABASE)?.name ?? "";
  }
  return listed;
}

/** Lists the tables of a database with their columns, by name. The tables of `system` are not among them. */
export async function listTables(database: string): Promise<Table[]> {
  return tablesOf(database, "iox");
}

/** Lists the system tables of a database with their columns, by name. */
export async function listSystemTables(database: string): Promise<Table[]> {
  return tablesOf(database, "system");
}

/** Returns the number of distinct values of a tag. Reads the table, unless a distinct value cache has the values. */
export async function tagCardinality(database: string, table: string, tag: string): Promise<number> {
  const column = quoteIdentifier(tag);
  const text = `SELECT count(DISTINCT ${column}) AS n FROM ${quoteIdentifier(table)}`;
  const rows = await queryRows<{ n: number }>(database, text);
  return rows[0]?.n ?? 0;
}

/** Quotes a name for SQL statements. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a name for InfluxQL statements, which escape by backslash. */
export function quoteInfluxQlIdentifier(name: string): string {
  return `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

/** Quotes a text for SQL statements. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function readRetention(): Promise<Map<string, bigint>> {
  const text = `SELECT database_name, CAST(retention_period_ns AS VARCHAR) AS ns FROM system.databases
    WHERE NOT deleted AND retention_period_ns IS NOT NULL`;
  const rows = await queryRows<{ database_name: string; ns: string }>(INTERNAL_DATABASE, text);
  return new Map(rows.map((row) => [row.database_name, BigInt(row.ns)]));
}

async function tablesOf(database: string, schema: "iox" | "system"): Promise<Table[]> {
  const text = `SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = ${quoteText(schema)} ORDER BY table_name, column_name`;
  const rows = await queryRows<{ table_name: string; column_name: string; data_type: string }>(database, text);
  const tables = new Map<string, Table>();
  for (const row of rows) {
    const table = tables.get(row.table_name) ?? { name: row.table_name, columns: [] };
    table.columns.push({ name: row.column_name, type: row.data_type, role: roleOf(row.column_name, row.data_type) });
    tables.set(row.table_name, table);
  }
  return [...tables.values()];
}

function roleOf(name: string, type: string): ColumnRole {
  if (name === "time") {
    return "time";
  }
  return type.startsWith("Dictionary") ? "tag" : "field";
}
