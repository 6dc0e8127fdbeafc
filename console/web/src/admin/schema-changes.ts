/** The requests that rename databases, tables and columns, and change columns. */

import { request } from "../api/client";
import { queryRows } from "../api/query";
import type { AutoCreate, NewField } from "./server";

const CONFIGURE = "/api/v3/configure";

/** The types of new columns. */
export type ColumnType = NewField["type"] | "tag";

/** A change is answered when every process knows it: after five seconds, unless the process is alone on its store. */
const TIMEOUT_MS = 120_000;

/** A database, a table of it, or a column of the table. */
export interface SchemaObject {
  db: string;
  table?: string | undefined;
  column?: string | undefined;
}

function pathOf({ table, column }: SchemaObject): string {
  const kind = column !== undefined ? "table/column" : table !== undefined ? "table" : "database";
  return `${CONFIGURE}/${kind}`;
}

/** Renames something. Its former name stands for it from then on. */
export async function rename(object: SchemaObject, name: string): Promise<void> {
  const query = { ...object, name };
  await request(`${pathOf(object)}/rename`, { method: "POST", query, timeoutMs: TIMEOUT_MS });
}

interface AliasRow {
  table_name?: string;
  column_name?: string;
  alias: string;
}

/** Lists the former names of something. */
export async function listAliases({ db, table, column }: SchemaObject): Promise<string[]> {
  const rows = await queryRows<AliasRow>(
    db,
    "SELECT table_name, column_name, alias FROM system.aliases ORDER BY alias",
  );
  return rows.filter((row) => row.table_name === table && row.column_name === column).map(({ alias }) => alias);
}

/** Deletes a former name. A write that uses it creates something else. */
export async function deleteAlias({ db, table, column }: SchemaObject, alias: string): Promise<void> {
  const query = table === undefined ? { alias } : { db, table: column === undefined ? undefined : table, alias };
  await request(`${pathOf({ db, table, column })}/alias`, { method: "DELETE", query, timeoutMs: TIMEOUT_MS });
}

/** Adds a column. */
export async function addColumn(db: string, table: string, column: string, type: ColumnType): Promise<void> {
  await request(`${CONFIGURE}/table/column`, { method: "POST", json: { db, table, column, type } });
}

/** Makes a float of an integer. */
export async function widenColumn(db: string, table: string, column: string): Promise<void> {
  const json = { db, table, column, type: "float64" };
  await request(`${CONFIGURE}/table/column`, { method: "PUT", json, timeoutMs: TIMEOUT_MS });
}

/** Drops a field. Its values can't be restored. */
export async function dropColumn(db: string, table: string, column: string): Promise<void> {
  const query = { db, table, column };
  await request(`${CONFIGURE}/table/column`, { method: "DELETE", query, timeoutMs: TIMEOUT_MS });
}

/** Sets what writes create. */
export async function setAutoCreate(db: string, autoCreate: AutoCreate): Promise<void> {
  const json = { db, auto_create: autoCreate };
  await request(`${CONFIGURE}/database`, { method: "PUT", json, timeoutMs: TIMEOUT_MS });
}
