/** The lines of the schema tree. */

import { formatDuration } from "../api/query";
import { type Column, type Database, INTERNAL_DATABASE, type Table } from "../api/schema";
import type { IconName } from "../ui";
import { type CacheInfo, type DatabaseSchema, type Loadable, tagKey } from "./schema-store";

/** A line of the tree. */
export interface TreeNode {
  /** Unique in the tree. */
  id: string;
  /** The depth, from 1. */
  level: number;
  label: string;
  /** A few words after the label. */
  detail?: string;
  icon?: IconName;
  /** Whether the line has lines below it. `undefined`: it can't have any. */
  isExpanded?: boolean;
  /** What a click does, beside expanding. */
  target?: TreeTarget;
  isError?: boolean;
}

/** The thing that a line stands for. */
export type TreeTarget =
  | { kind: "database"; database: string }
  | { kind: "table"; database: string; table: string; isSystem: boolean }
  | { kind: "column"; database: string; table: string; column: Column; isSystem: boolean }
  | { kind: "cache"; database: string; cache: CacheInfo };

/** The state that the lines depend on. */
export interface TreeState {
  databases: readonly Database[];
  schemas: ReadonlyMap<string, Loadable<DatabaseSchema>>;
  cardinalities: ReadonlyMap<string, Loadable<number>>;
  expanded: ReadonlySet<string>;
  /** Shows only tables and columns whose name contains this text. */
  filter: string;
}

/** The maximum number of tables of one database that the tree shows. The filter finds the others. */
export const MAX_TABLES = 300;

/** The maximum number of columns of one table that the tree shows. */
const MAX_COLUMNS = 500;

/** Returns the id of the line of a database. */
export function databaseId(database: string): string {
  return JSON.stringify(["database", database]);
}

/** Returns the lines of the tree that are visible, from top to bottom. */
export function treeNodes(state: TreeState): TreeNode[] {
  return state.databases.flatMap((database) => databaseNodes(database, state));
}

function databaseNodes(database: Database, state: TreeState): TreeNode[] {
  const { name, retentionNs } = database;
  const id = databaseId(name);
  const isExpanded = state.expanded.has(id);
  const head: TreeNode = {
    id,
    level: 1,
    label: name,
    detail: retentionNs === undefined ? undefined : `keeps ${formatDuration(Number(retentionNs))}`,
    icon: name === INTERNAL_DATABASE ? "system" : "database",
    isExpanded,
    target: { kind: "database", database: name },
  };
  return isExpanded ? [head, ...schemaNodes(name, state)] : [head];
}

function schemaNodes(database: string, state: TreeState): TreeNode[] {
  const schema = state.schemas.get(database);
  if (schema === undefined || schema.state === "loading") {
    return [{ id: `${databaseId(database)} loading`, level: 2, label: "Loading…" }];
  }
  if (schema.state === "failed") {
    return [{ id: `${databaseId(database)} failed`, level: 2, label: schema.error, icon: "error", isError: true }];
  }
  const { tables, systemTables, caches } = schema.value;
  const nodes = tableNodes(database, tables, 2, false, state);
  if (tables.length === 0 && database !== INTERNAL_DATABASE) {
    nodes.push({ id: `${databaseId(database)} empty`, level: 2, label: "No tables yet" });
  }
  const cacheNodes = caches
    .filter(({ name, table }) => matches(state, name, table))
    .map((cache) => cacheNode(database, cache));
  return [
    ...nodes,
    ...group(database, "Caches", cacheNodes, state),
    ...group(database, "System tables", tableNodes(database, systemTables, 3, true, state), state),
  ];
}

function group(database: string, label: string, children: TreeNode[], state: TreeState): TreeNode[] {
  if (children.length === 0) {
    return [];
  }
  const id = JSON.stringify(["group", database, label]);
  const isExpanded = state.expanded.has(id);
  const count = children.filter(({ level }) => level === 3).length;
  const icon = label === "Caches" ? "clock" : "system";
  const head: TreeNode = { id, level: 2, label, detail: String(count), icon, isExpanded };
  return isExpanded ? [head, ...children] : [head];
}

function tableNodes(database: string, tables: readonly Table[], level: number, isSystem: boolean, state: TreeState) {
  const found = tables.filter((table) => matches(state, table.name, ...table.columns.map(({ name }) => name)));
  const nodes = found.slice(0, MAX_TABLES).flatMap((table) => tableNode(database, table, level, isSystem, state));
  if (found.length > MAX_TABLES) {
    const label = `${(found.length - MAX_TABLES).toLocaleString("en")} more: use the filter`;
    nodes.push({ id: `${databaseId(database)} more`, level, label });
  }
  return nodes;
}

function tableNode(database: string, table: Table, level: number, isSystem: boolean, state: TreeState): TreeNode[] {
  const id = JSON.stringify(["table", database, isSystem, table.name]);
  const isExpanded = state.expanded.has(id);
  const schema = state.schemas.get(database);
  const retention = schema?.state === "loaded" && !isSystem ? schema.value.retention.get(table.name) : undefined;
  const view = schema?.state === "loaded" && !isSystem ? schema.value.views.get(table.name) : undefined;
  const kept = retention === undefined ? undefined : `keeps ${formatDuration(retention)}`;
  const head: TreeNode = {
    id,
    level,
    label: table.name,
    detail: [view && `view: ${view}`, kept].filter((part) => part !== undefined).join(", ") || undefined,
    icon: view === undefined ? "table" : "view",
    isExpanded,
    target: { kind: "table", database, table: table.name, isSystem },
  };
  if (!isExpanded) {
    return [head];
  }
  const columns = table.columns.slice(0, MAX_COLUMNS).map((column): TreeNode => {
    const target: TreeTarget = { kind: "column", database, table: table.name, column, isSystem };
    const detail = columnDetail(database, table.name, column, state);
    return { id: `${id} ${column.name}`, level: level + 1, label: column.name, detail, icon: column.role, target };
  });
  return [head, ...columns];
}

function columnDetail(database: string, table: string, column: Column, state: TreeState): string {
  if (column.role !== "tag") {
    return column.type;
  }
  const cardinality = state.cardinalities.get(tagKey(database, table, column.name));
  switch (cardinality?.state) {
    case "loaded":
      return `${cardinality.value.toLocaleString("en")} ${cardinality.value === 1 ? "value" : "values"}`;
    case "loading":
      return "counting…";
    case "failed":
      return "not counted";
    default:
      return "tag";
  }
}

function cacheNode(database: string, cache: CacheInfo): TreeNode {
  const id = JSON.stringify(["cache", database, cache.kind, cache.table, cache.name]);
  const detail = `${cache.kind} values of ${cache.table}`;
  return { id, level: 3, label: cache.name, detail, icon: "clock", target: { kind: "cache", database, cache } };
}

function matches({ filter }: TreeState, ...names: string[]): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || names.some((name) => name.toLowerCase().includes(wanted));
}
