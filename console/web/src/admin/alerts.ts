/** The rules of a database: those of rule files, and alerts that are made from queries. */

import { getJson, request } from "../api/client";
import { fillParameters } from "../api/promql";
import { type QueryLanguage, type QueryResult, queryRows, runQuery } from "../api/query";
import { quoteIdentifier, quoteInfluxQlIdentifier } from "../api/schema";
import { durationSeconds } from "./durations";

const CONFIGURATION = "/prometheus/config/v1/rules";

/** The namespace of the alerts that this page creates. Each alert is a group of its own. */
const NAMESPACE = "console";

/** The state of an alert or of its rule. */
export type AlertPhase = "inactive" | "pending" | "firing";

/** An alert that is pending or fires. */
export interface ActiveAlert {
  labels: Record<string, string>;
  state: AlertPhase;
  activeAt: string;
  /** A number as text, which may be `+Inf` or `NaN`. */
  value: string;
}

/** A rule with its state. */
export interface Rule {
  type: "alerting" | "recording";
  name: string;
  query: string;
  health: "ok" | "err" | "unknown";
  lastError?: string;
  lastEvaluation: string;
  state?: AlertPhase;
  /** How long the expression has results before the alert fires, in seconds. */
  duration?: number;
  alerts?: ActiveAlert[];
}

/** Rules that are evaluated together. */
export interface RuleGroup {
  name: string;
  /** The namespace. */
  file: string;
  /** In seconds. */
  interval: number;
  rules: Rule[];
}

/** Returns the value of an alert with at most six digits. */
export function shownValue(value: string): string {
  const number = Number(value);
  return Number.isFinite(number) && value.trim() !== "" ? String(Number(number.toPrecision(6))) : value;
}

/** Lists the groups of rules. */
export async function listRuleGroups(database: string): Promise<RuleGroup[]> {
  const { data } = await getJson<{ data: { groups: RuleGroup[] } }>("/prometheus/api/v1/rules", {
    query: { db: database },
  });
  return data.groups;
}

/** Deletes a group with its rules. Their alerts end without a notification. */
export async function deleteGroup(database: string, { file, name }: RuleGroup): Promise<void> {
  const path = [CONFIGURATION, encodeURIComponent(file), encodeURIComponent(name)].join("/");
  await request(path, { method: "DELETE", query: { db: database } });
}

/** When an alert fires: at a limit of the last value, at a change, or if a series has ended. */
export type AlertKind = "above" | "below" | "change" | "missing";

/** An alert that is made from a query. */
export interface AlertDraft {
  name: string;
  language: QueryLanguage;
  query: string;
  kind: AlertKind;
  limit: number;
  /** The query reads the rows of this time before each evaluation, such as `10m`. A series without rows in it is missing. */
  window: string;
  /** The condition is true for this time before the alert fires; empty: at once. */
  hold: string;
  summary: string;
  severity: string;
}

/** How far back a series is known that may be missing, in seconds. */
const KNOWN_S = 86_400;

/** How much of a result is read to know its columns, in bytes. */
const COLUMNS_BYTES = 1024 * 1024;

/**
 * Creates an alert. Returns the number of series for which its expression is true now.
 *
 * Throws `ApiError` if the query or the expression fails, because the server checks them at the first evaluation only.
 */
export async function createAlert(database: string, draft: AlertDraft): Promise<number> {
  const { name, language, hold, summary, severity } = draft;
  const text = windowQuery(draft);
  const query = { database, text, language, isReadOnly: true, maxBytes: COLUMNS_BYTES };
  const columns = language === "promql" ? [] : (await runQuery(query)).columns;
  const expr = alertExpression(draft, text, columns);
  const count = await countResults(database, expr, language);
  const rule = {
    alert: name,
    language,
    expr,
    ...(hold === "" ? {} : { for: hold }),
    ...(severity === "" ? {} : { labels: { severity } }),
    annotations: { summary },
  };
  // JSON is YAML.
  const body = { name, interval: "1m", rules: [rule] };
  await request(`${CONFIGURATION}/${NAMESPACE}`, { query: { db: database }, json: body });
  return count;
}

async function countResults(database: string, text: string, language: QueryLanguage): Promise<number> {
  if (language !== "promql") {
    return (await queryRows(database, text, language)).length;
  }
  const { data } = await getJson<{ data: { resultType: string; result: unknown[] } }>("/prometheus/api/v1/query", {
    method: "POST",
    body: new URLSearchParams({ db: database, query: text }),
  });
  return data.resultType === "vector" ? data.result.length : 1;
}

/** Returns the query of a draft with times that move along instead of the parameters of a range. */
export function windowQuery({ query, language, kind, window }: AlertDraft): string {
  const seconds = kind === "missing" && language !== "promql" ? KNOWN_S : windowSeconds(window);
  const text = query.trim().replace(/;$/, "");
  if (language === "promql") {
    return fillParameters(text, { interval: `${seconds}s`, range: `${seconds}s` });
  }
  const [span, minute] =
    language === "sql" ? [`INTERVAL '${seconds} seconds'`, "INTERVAL '1 minute'"] : [`${seconds}s`, "1m"];
  const values: Record<string, string> = { from: `now() - ${span}`, to: "now()", interval: minute };
  return text.replace(/\$(from|to|interval)\b/g, (_, name: string) => values[name] ?? "");
}

function windowSeconds(window: string): number {
  return durationSeconds(window) ?? 0;
}

/** Returns the expression that has a result for each series that the alert is about. */
export function alertExpression(draft: AlertDraft, text: string, columns: QueryResult["columns"]): string {
  const { language, kind, limit } = draft;
  const seconds = windowSeconds(draft.window);
  const condition = kind === "below" ? `< ${limit}` : kind === "missing" ? `> ${seconds}` : `> ${limit}`;
  if (language === "promql") {
    return promqlExpression(text, kind, condition, seconds);
  }
  const value = valueColumn(columns);
  if (language === "influxql") {
    if (kind === "missing") {
      throw new Error("InfluxQL can't find series that are missing. Write the query in SQL.");
    }
    const reduced = `${kind === "change" ? "spread" : "last"}(${quoteInfluxQlIdentifier(value)})`;
    return `SELECT value FROM (SELECT ${reduced} AS value FROM (${text}) GROUP BY *) WHERE value ${condition} GROUP BY *`;
  }
  const labels = columns
    .filter(({ kind }) => kind === "tag" || kind === "text")
    .map(({ name }) => quoteIdentifier(name));
  const time = columns.find((column) => column.kind === "time");
  const reduced = sqlValue(kind, quoteIdentifier(value), time && quoteIdentifier(time.name));
  const groups = labels.length === 0 ? "" : ` GROUP BY ${labels.join(", ")}`;
  return `SELECT * FROM (SELECT ${[...labels, `${reduced} AS value`].join(", ")} FROM (${text})${groups}) WHERE value ${condition}`;
}

function promqlExpression(text: string, kind: AlertKind, condition: string, seconds: number): string {
  const range = `(${text})[${seconds}s:]`;
  switch (kind) {
    case "change":
      return `max_over_time(${range}) - min_over_time(${range}) ${condition}`;
    case "missing":
      return `last_over_time((${text})[${KNOWN_S}s:]) unless last_over_time(${range})`;
    default:
      return `(${text}) ${condition}`;
  }
}

function sqlValue(kind: AlertKind, value: string, time: string | undefined): string {
  if (kind === "change") {
    return `max(${value}) - min(${value})`;
  }
  if (kind === "missing") {
    if (time === undefined) {
      throw new Error("The query has no column of times.");
    }
    // A query without series has a row also if there is no other one.
    return `coalesce((CAST(now() AS BIGINT) - CAST(max(${time}) AS BIGINT)) / 1000000000, ${KNOWN_S})`;
  }
  return time === undefined ? `last_value(${value})` : `last_value(${value} ORDER BY ${time})`;
}

/** Returns the column whose value is compared: the one with the name `value`, or else the only one with numbers. */
function valueColumn(columns: QueryResult["columns"]): string {
  const numbers = columns.filter(({ kind }) => kind === "number" || kind === "integer").map(({ name }) => name);
  const [only] = numbers;
  if (numbers.includes("value")) {
    return "value";
  }
  if (numbers.length !== 1 || only === undefined) {
    throw new Error(
      numbers.length === 0
        ? "The query has no column of numbers."
        : "The query has several columns of numbers: give one of them the name value.",
    );
  }
  return only;
}

/** Returns the query of the history of alerts, for Explore. */
export function historyQuery(): string {
  return `SELECT * FROM "ALERTS"\nWHERE time >= $from AND time < $to\nORDER BY time DESC LIMIT 1000`;
}
