/** Triggers, their logs and dry runs of plugins. */

import { getJson, request } from "../api/client";
import { queryRows } from "../api/query";
import { listTables, quoteIdentifier, quoteText } from "../api/schema";
import { columnType } from "../write/existing-tables";
import { escapeMeasurement, escapeName, quoteString } from "../write/line-protocol";
import { ownValue } from "../write/own-value";
import { durationSeconds, formatDurationNs } from "./durations";

const TRIGGER = "/api/v3/configure/processing_engine_trigger";

/** A dry run takes at most the time limit of a plugin, and the time until a process is free. */
const RUN_TIMEOUT_MS = 6 * 60_000;

export type TriggerKind = "rows" | "schedule" | "request";

export interface Trigger {
  name: string;
  plugin: string;
  /** As on the command line: `table:cpu`, `every:5m`, … */
  specification: string;
  kind: TriggerKind;
  isDisabled: boolean;
  errorBehavior: string;
  arguments: Record<string, string>;
}

interface TriggerRow {
  trigger_name: string;
  plugin_filename: string;
  trigger_specification: string;
  disabled: boolean;
  error_behavior: string;
}

/** Lists the triggers of a database with their arguments. */
export async function listTriggers(database: string): Promise<Trigger[]> {
  const [rows, given] = await Promise.all([
    queryRows<TriggerRow>(database, "SELECT * FROM system.processing_engine_triggers ORDER BY trigger_name"),
    queryRows<{ trigger_name: string; argument_key: string; argument_value: string }>(
      database,
      "SELECT * FROM system.processing_engine_trigger_arguments ORDER BY trigger_name, argument_key",
    ),
  ]);
  return rows.map((row) => {
    const specification = specificationText(row.trigger_specification);
    const own = given.filter((entry) => entry.trigger_name === row.trigger_name);
    return {
      name: row.trigger_name,
      plugin: row.plugin_filename,
      specification,
      kind: kindOf(specification),
      isDisabled: row.disabled,
      errorBehavior: row.error_behavior,
      arguments: Object.fromEntries(own.map((entry) => [entry.argument_key, entry.argument_value])),
    };
  });
}

/** Returns a specification as on the command line. */
export function specificationText(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (value === "all_tables_wal_write") {
      return "all_tables";
    }
    const { single_table_wal_write, schedule, every, request_path } = value as {
      single_table_wal_write?: { table_name: string };
      schedule?: { schedule: string };
      every?: { duration: { secs: number; nanos: number } };
      request_path?: { path: string };
    };
    if (single_table_wal_write) {
      return `table:${single_table_wal_write.table_name}`;
    }
    if (schedule) {
      return `cron:${schedule.schedule}`;
    }
    if (every) {
      const nanoseconds = BigInt(every.duration.secs) * 1_000_000_000n + BigInt(every.duration.nanos);
      return `every:${formatDurationNs(nanoseconds)}`;
    }
    return request_path ? `request:${request_path.path}` : json;
  } catch {
    return json;
  }
}

/** Returns what starts the runs of a trigger. */
export function kindOf(specification: string): TriggerKind {
  if (specification.startsWith("request:")) {
    return "request";
  }
  return specification.startsWith("cron:") || specification.startsWith("every:") ? "schedule" : "rows";
}

/** Returns why a specification is wrong; `undefined` if it is right as far as the page can tell. */
export function specificationError(text: string): string | undefined {
  const [kind = "", ...rest] = text.split(":");
  const value = rest.join(":").trim();
  if (text === "all_tables") {
    return undefined;
  }
  if (!["table", "every", "cron", "request"].includes(kind) || value === "") {
    return "One of table:NAME, all_tables, every:5m, cron:0 30 7 * * 1-5 and request:PATH.";
  }
  if (kind === "every" && durationSeconds(value) === undefined && !/^\d+\s*ms$/.test(value)) {
    return "every: needs a duration such as 30s, 5m or 1h.";
  }
  const fields = value.replace(/^TZ=\S+\s+/, "").split(/\s+/).length;
  if (kind === "cron" && fields !== 6 && fields !== 7) {
    return "cron: needs 6 or 7 fields: second, minute, hour, day, month, day of the week, and a year if wanted.";
  }
  return undefined;
}

/** Returns the arguments of lines such as `limit=30`, or why a line is wrong. */
export function parseArguments(text: string): Record<string, string> | string {
  const parsed: [string, string][] = [];
  for (const line of text.split("\n").filter((part) => part.trim() !== "")) {
    const at = line.indexOf("=");
    if (at < 1) {
      return `Write each argument as name=value: ${line.trim()}`;
    }
    parsed.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return Object.fromEntries(parsed);
}

/** What a new trigger is. */
export interface NewTrigger {
  name: string;
  plugin: string;
  specification: string;
  arguments: Record<string, string>;
  isAsync: boolean;
  errorBehavior: string;
  isDisabled: boolean;
}

/** Creates a trigger. */
export async function createTrigger(db: string, trigger: NewTrigger): Promise<void> {
  const hasArguments = Object.keys(trigger.arguments).length > 0;
  await request(TRIGGER, {
    method: "POST",
    json: {
      db,
      plugin_filename: trigger.plugin,
      trigger_name: trigger.name,
      trigger_settings: { run_async: trigger.isAsync, error_behavior: trigger.errorBehavior },
      trigger_specification: trigger.specification,
      trigger_arguments: hasArguments ? trigger.arguments : null,
      disabled: trigger.isDisabled,
    },
  });
}

/** Enables or disables a trigger. */
export async function setEnabled(db: string, name: string, isEnabled: boolean): Promise<void> {
  const path = `${TRIGGER}/${isEnabled ? "enable" : "disable"}`;
  await request(path, { method: "POST", query: { db, trigger_name: name } });
}

/** Deletes a trigger, also one that runs. */
export async function deleteTrigger(db: string, name: string): Promise<void> {
  await request(TRIGGER, { method: "DELETE", query: { db, trigger_name: name, force: true } });
}

/** What the logs are searched for. */
export interface LogFilter {
  trigger: string;
  level: "" | "INFO" | "WARN" | "ERROR";
  text: string;
  /** Only lines of the last seconds; 0: all that are kept. */
  lastSeconds: number;
}

export interface LogLine {
  event_time: string;
  trigger_name: string;
  log_level: string;
  log_text: string;
}

/** Maximum number of lines that are read at once. */
export const MAX_LOG_LINES = 500;

/** Returns the statement that reads the newest lines of a filter. */
export function logQuery(filter: LogFilter): string {
  const conditions = [
    filter.trigger === "" ? "" : `trigger_name = ${quoteText(filter.trigger)}`,
    filter.level === "" ? "" : `log_level = ${quoteText(filter.level)}`,
    filter.text === "" ? "" : `strpos(lower(log_text), lower(${quoteText(filter.text)})) > 0`,
    filter.lastSeconds === 0 ? "" : `event_time >= now() - INTERVAL '${filter.lastSeconds} seconds'`,
  ].filter((condition) => condition !== "");
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  const columns = "event_time, trigger_name, log_level, log_text";
  return `SELECT ${columns} FROM system.processing_engine_logs${where} ORDER BY event_time DESC LIMIT ${MAX_LOG_LINES}`;
}

/** What a dry run would have done. */
export interface DryRun {
  trigger_time?: string | null;
  log_lines: string[];
  /** Lines by database. */
  database_writes: Record<string, string[]>;
  errors: string[];
}

/** Runs a plugin on rows without storing anything. */
export async function runOnRows(
  database: string,
  filename: string,
  lines: string,
  given: Record<string, string>,
): Promise<DryRun> {
  const json = { filename, database, input_lp: lines, cache_name: null, input_arguments: given };
  return getJson<DryRun>("/api/v3/plugin_test/wal", { method: "POST", json, timeoutMs: RUN_TIMEOUT_MS });
}

/** Runs a plugin as its schedule would, without storing anything. `cron`: 6 or 7 fields; empty: now. */
export async function runOnSchedule(
  database: string,
  filename: string,
  cron: string,
  given: Record<string, string>,
): Promise<DryRun> {
  const json = { filename, database, schedule: cron || null, cache_name: null, input_arguments: given };
  return getJson<DryRun>("/api/v3/plugin_test/schedule", { method: "POST", json, timeoutMs: RUN_TIMEOUT_MS });
}

/** Writes the lines of a dry run. Each database gets all of its lines, or none. */
export async function writeLines(writes: Record<string, string[]>): Promise<void> {
  for (const [db, lines] of Object.entries(writes)) {
    if (lines.length > 0) {
      const query = { db, precision: "nanosecond", accept_partial: false };
      await request("/api/v3/write_lp", { method: "POST", query, body: lines.join("\n") });
    }
  }
}

/** Returns the newest rows of a table as line protocol, for a run on rows. */
export async function newestLines(database: string, table: string, count: number): Promise<string> {
  const tables = await listTables(database);
  const columns = tables.find(({ name }) => name === table)?.columns ?? [];
  const text = `SELECT *, CAST(CAST(time AS BIGINT) AS VARCHAR) AS "time ns" FROM ${quoteIdentifier(table)}
    ORDER BY time DESC LIMIT ${count}`;
  const rows = await queryRows<Record<string, unknown>>(database, text);
  const types = columns.flatMap((column) => {
    const type = column.role === "time" ? undefined : columnType(column);
    return type === undefined ? [] : [{ name: column.name, type }];
  });
  return rows.map((row) => rowLine(table, types, row)).join("\n");
}

/** Returns a row as a line. */
export function rowLine(
  table: string,
  columns: readonly { name: string; type: string }[],
  row: Record<string, unknown>,
): string {
  const present = columns.flatMap(({ name, type }) => {
    const value = ownValue(row, name);
    const isAbsent = value === undefined || value === null || (type === "tag" && value === "");
    return isAbsent ? [] : [{ name: escapeName(name), type, value }];
  });
  const tags = present
    .filter(({ type }) => type === "tag")
    .map(({ name, value }) => `,${name}=${escapeName(String(value))}`);
  const fields = present
    .filter(({ type }) => type !== "tag")
    .map(({ name, type, value }) => `${name}=${fieldText(type, value)}`);
  return `${escapeMeasurement(table)}${tags.join("")} ${fields.join(",")} ${String(row["time ns"])}`;
}

function fieldText(type: string, value: unknown): string {
  switch (type) {
    case "integer":
      return `${value}i`;
    case "uinteger":
      return `${value}u`;
    case "string":
      return quoteString(String(value));
    default:
      return String(value);
  }
}
