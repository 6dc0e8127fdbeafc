/** The parts of the schema that the tree and the completion have read. */

import { effect, signal } from "@preact/signals";
import { ApiError, getJson, messageOf } from "../api/client";
import { formatDuration, queryRows } from "../api/query";
import { INTERNAL_DATABASE, listSystemTables, listTables, type Table, tagCardinality } from "../api/schema";
import { isReachable, onForget } from "../api/token";
import type { QueryFunction } from "./keywords";

/** A cache of newest rows or of distinct values. */
export interface CacheInfo {
  name: string;
  table: string;
  kind: "last" | "distinct";
  /** The key columns of a last value cache, or the columns of a distinct value cache. */
  columns: string[];
}

/** What the page knows about a database. */
export interface DatabaseSchema {
  tables: Table[];
  systemTables: Table[];
  caches: CacheInfo[];
  /** The tables that views fill, with what they are. */
  views: ReadonlyMap<string, string>;
  /** The retention of tables, in nanoseconds. Tables that are kept for ever are missing. */
  retention: ReadonlyMap<string, number>;
}

/** A value that is loaded on demand. */
export type Loadable<T> = { state: "loading" } | { state: "failed"; error: string } | { state: "loaded"; value: T };

/** The schemas of databases, by name. */
export const schemas = signal<ReadonlyMap<string, Loadable<DatabaseSchema>>>(new Map());

/** The numbers of distinct values of tags, by `tagKey`. */
export const cardinalities = signal<ReadonlyMap<string, Loadable<number>>>(new Map());

/** The functions of SQL. */
export const functions = signal<readonly QueryFunction[]>([]);

onForget(() => {
  schemas.value = new Map();
  cardinalities.value = new Map();
});

/** An empty schema, until the schema is loaded. */
export const NO_SCHEMA: DatabaseSchema = {
  tables: [],
  systemTables: [],
  caches: [],
  views: new Map(),
  retention: new Map(),
};

/** Returns the key of a tag in `cardinalities`. */
export function tagKey(database: string, table: string, tag: string): string {
  return JSON.stringify([database, table, tag]);
}

/** Returns the schema of a database as far as it is loaded. */
export function loadedSchema(database: string): DatabaseSchema {
  const schema = schemas.value.get(database);
  return schema?.state === "loaded" ? schema.value : NO_SCHEMA;
}

/** Loads the schema of a database unless it is loaded. `isForced` loads it again; the old one stays until then. */
export async function loadSchema(database: string, isForced = false): Promise<void> {
  const known = schemas.peek().get(database);
  if (database === "" || known?.state === "loading" || (known?.state === "loaded" && !isForced)) {
    return;
  }
  if (known?.state !== "loaded") {
    setSchema(database, { state: "loading" });
  }
  try {
    setSchema(database, { state: "loaded", value: await readSchema(database) });
  } catch (error) {
    setSchema(database, { state: "failed", error: messageOf(error) });
  }
}

// Schemas that could not be read for want of a server are read when it is back.
effect(() => {
  if (isReachable.value) {
    for (const [database, schema] of schemas.peek()) {
      if (schema.state === "failed") {
        void loadSchema(database);
      }
    }
  }
});

/** Counts the distinct values of a tag. */
export async function loadCardinality(database: string, table: string, tag: string): Promise<void> {
  const key = tagKey(database, table, tag);
  const set = (value: Loadable<number>) => {
    cardinalities.value = new Map(cardinalities.peek()).set(key, value);
  };
  set({ state: "loading" });
  try {
    set({ state: "loaded", value: await tagCardinality(database, table, tag) });
  } catch (error) {
    set({ state: "failed", error: messageOf(error) });
  }
}

/** Loads the functions of SQL once. Completion works without them. */
export async function loadFunctions(database: string): Promise<void> {
  if (functions.peek().length > 0 || database === "") {
    return;
  }
  const text = `SELECT routine_name AS name, max(syntax_example) AS syntax, max(description) AS description,
    max(function_type) AS kind FROM information_schema.routines GROUP BY routine_name ORDER BY routine_name`;
  try {
    const rows = await queryRows<{ name: string; syntax?: string; description?: string; kind?: string }>(
      database,
      text,
    );
    functions.value = rows.map(({ name, syntax, description, kind }) => ({
      name,
      signature: signatureOf(name, syntax),
      description: description?.trim(),
      kind,
    }));
  } catch {
    // The next load tries again.
  }
}

/** Some functions share the example of another one, whose name it has. */
function signatureOf(name: string, syntax: string | undefined): string {
  const parameters = syntax === undefined ? undefined : /\([\s\S]*/.exec(syntax)?.[0];
  return `${name}${parameters ?? "(…)"}`;
}

function setSchema(database: string, schema: Loadable<DatabaseSchema>): void {
  schemas.value = new Map(schemas.peek()).set(database, schema);
}

async function readSchema(database: string): Promise<DatabaseSchema> {
  const [tables, systemTables, caches, retention, views] = await Promise.all([
    listTables(database),
    listSystemTables(database),
    database === INTERNAL_DATABASE ? [] : readCaches(database),
    database === INTERNAL_DATABASE ? new Map<string, number>() : readRetention(database),
    database === INTERNAL_DATABASE ? new Map<string, string>() : readViews(database),
  ]);
  // The table of a view that has no rows yet may be missing.
  const missing = [...views.keys()].filter((name) => tables.every((table) => table.name !== name));
  const all = [...tables, ...missing.map((name): Table => ({ name, columns: [] }))];
  return { tables: all, systemTables, caches, retention, views };
}

async function readCaches(database: string): Promise<CacheInfo[]> {
  const last = queryRows<{ table: string; name: string; columns?: string[] }>(
    database,
    `SELECT "table", name, key_column_names AS columns FROM system.last_caches ORDER BY "table", name`,
  );
  const distinct = queryRows<{ table: string; name: string; columns?: string[] }>(
    database,
    `SELECT "table", name, column_names AS columns FROM system.distinct_caches ORDER BY "table", name`,
  );
  const info = (kind: CacheInfo["kind"]) => (row: { table: string; name: string; columns?: string[] }) => {
    return { ...row, kind, columns: row.columns ?? [] };
  };
  return [...(await last).map(info("last")), ...(await distinct).map(info("distinct"))];
}

/** Returns the tables that views and continuous queries fill: `1 h of home`. */
async function readViews(database: string): Promise<Map<string, string>> {
  const text = `SELECT target_table, source_table, window_ns FROM system.materialized_views
    WHERE target_database IS NULL`;
  const rows = await queryRows<{ target_table: string; source_table: string; window_ns: number }>(database, text);
  return new Map(rows.map((row) => [row.target_table, `${formatDuration(row.window_ns)} of ${row.source_table}`]));
}

async function readRetention(database: string): Promise<Map<string, number>> {
  type Row = { table: string; retention_period_ns: number | null };
  try {
    const rows = await getJson<Row[]>("/api/v3/configure/retention", { query: { db: database } });
    const limited = rows.flatMap(({ table, retention_period_ns: ns }): [string, number][] => {
      return ns === null ? [] : [[table, ns]];
    });
    return new Map(limited);
  } catch (error) {
    // A token that may only read rows does not see the retention.
    if (error instanceof ApiError && error.status === 403) {
      return new Map();
    }
    throw error;
  }
}
