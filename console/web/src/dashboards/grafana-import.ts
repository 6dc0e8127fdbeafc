// Dashboards of Grafana as dashboards of this page. What has no equal here is named in a note.

import { durationSeconds } from "../admin/durations";
import type { QueryLanguage } from "../api/query";
import { refreshOf } from "../time/refresh";
import {
  GRID_COLUMNS,
  MAX_CELL_HEIGHT,
  MAX_CELLS,
  MAX_LIST_VALUES,
  MAX_NAME_LENGTH,
  MAX_NOTE_LENGTH,
  MAX_QUERY_LENGTH,
  type Variable,
} from "./dashboard";
import { type BuilderQuery, builderStatement, fromGrafana } from "./grafana-query";
import { UNIT_IDS } from "./grafana-units";
import { type NamedDashboard, parseDashboard } from "./validate";
import { variableNameError } from "./variable-names";

type Fields = Record<string, unknown>;

/** A row of a grid of Grafana, in rows of this grid. */
const ROW_HEIGHT = 38 / 66;

/** Columns of a grid of Grafana. */
const GRAFANA_COLUMNS = 24;

/** Returns whether a document is a dashboard of Grafana. */
export function isGrafana(document: unknown): boolean {
  const fields = dashboardOf(document);
  return Array.isArray(fields.panels) || Array.isArray(fields.rows);
}

/** Returns the dashboard of a document of Grafana. Throws `DashboardError` if it has more than a dashboard can have. */
export function importGrafana(document: unknown): NamedDashboard {
  const fields = dashboardOf(document);
  const omitted: string[] = [];
  const variables = list(at(fields, "templating", "list")).flatMap((variable) => variableOf(variable, omitted));
  const all = new Set(variables.filter(({ hasAll }) => hasAll).map(({ name }) => name));
  const found = panelsOf(fields).flatMap((panel) => cellsOf(panel, all, omitted));
  const cells = found.slice(0, MAX_CELLS - 1);
  if (found.length > cells.length) {
    omitted.push(`The last ${found.length - cells.length} cells: a dashboard has at most ${MAX_CELLS}.`);
  }
  if (omitted.length > 0) {
    const bottom = Math.max(0, ...cells.map(({ place }) => place.y + place.height));
    const note = omitted.join("\n").slice(0, MAX_NOTE_LENGTH);
    cells.push({
      title: "Not imported",
      view: "note",
      place: { x: 0, y: bottom, width: GRID_COLUMNS, height: 4 },
      note,
    });
  }
  const dashboard = parseDashboard({
    cells,
    variables,
    range: fields.time,
    refreshSeconds: refreshOf(durationSeconds(text(fields.refresh)) ?? 0),
    annotations: annotationsOf(fields, all, omitted),
  });
  return { name: text(fields.title).slice(0, MAX_NAME_LENGTH) || "Imported dashboard", dashboard };
}

/** The API of Grafana puts a dashboard into an object with its state. */
function dashboardOf(document: unknown): Fields {
  const inner = at(document, "dashboard");
  return fieldsOf(inner ?? document);
}

/** Returns the panels, also those of rows. */
function panelsOf(fields: Fields): Fields[] {
  const rows = list(fields.rows).flatMap((row) => list(fieldsOf(row).panels));
  return [...list(fields.panels), ...rows].map(fieldsOf).flatMap((panel) => {
    return panel.type === "row" ? list(panel.panels).map(fieldsOf) : [panel];
  });
}

interface RawCell extends Fields {
  place: { x: number; y: number; width: number; height: number };
}

const CHARTS: ReadonlyMap<string, string> = new Map([
  ["timeseries", "line"],
  ["graph", "line"],
  ["barchart", "bar"],
  ["histogram", "bar"],
  ["stat", "value"],
  ["singlestat", "value"],
  ["gauge", "value"],
  ["bargauge", "value"],
  ["heatmap", "heatmap"],
  ["xychart", "scatter"],
]);

const TABLES: readonly string[] = ["table", "table-old", "logs"];

function cellsOf(panel: Fields, all: ReadonlySet<string>, omitted: string[]): RawCell[] {
  const kind = text(panel.type);
  const title = text(panel.title).slice(0, MAX_NAME_LENGTH);
  const head = { title, place: placeOf(panel) };
  if (kind === "text") {
    return [
      { ...head, view: "note", note: text(at(panel, "options", "content") ?? panel.content).slice(0, MAX_NOTE_LENGTH) },
    ];
  }
  if (!CHARTS.has(kind) && !TABLES.includes(kind)) {
    omitted.push(`The panel “${title}”: its kind is ${kind || "unknown"}.`);
    return [];
  }
  const targets = list(panel.targets)
    .map(fieldsOf)
    .filter((target) => target.hide !== true);
  const queries = targets.flatMap((target): TargetQuery[] => {
    const query = queryOf(target, panel, all);
    if (query === undefined) {
      omitted.push(`The query ${text(target.refId)} of “${title}”: it is not SQL, InfluxQL or PromQL.`);
      return [];
    }
    return [{ ...query, legend: text(target.legendFormat).includes("{{") ? "" : text(target.legendFormat) }];
  });
  if (targets.length === 0) {
    omitted.push(`The panel “${title}”: it has no query of its own.`);
  }
  const view = TABLES.includes(kind) ? "table" : "chart";
  return united(queries).map(({ language, query }) => ({
    ...head,
    language,
    query,
    view,
    chart: chartOf(panel, kind),
  }));
}

interface TargetQuery {
  language: QueryLanguage;
  query: string;
  /** The text that tells its series from those of the others; may be empty. */
  legend: string;
}

/** Returns the queries of a panel, of which those in PromQL become one. */
function united(queries: TargetQuery[]): TargetQuery[] {
  const promql = queries.filter(({ language }) => language === "promql");
  if (promql.length < 2) {
    return queries;
  }
  const named = promql.map(({ query, legend }, index) => {
    return `label_replace(${query}, "query", ${JSON.stringify(legend || String(index + 1))}, "", "")`;
  });
  const one: TargetQuery = { language: "promql", query: named.join("\nor "), legend: "" };
  return [one, ...queries.filter(({ language }) => language !== "promql")];
}

function placeOf(panel: Fields): RawCell["place"] {
  const number = (name: string, value: number): number => {
    const given = Number(at(panel, "gridPos", name) ?? value);
    return Number.isFinite(given) ? Math.max(0, given) : value;
  };
  const scale = GRID_COLUMNS / GRAFANA_COLUMNS;
  const x = Math.min(GRID_COLUMNS - 1, Math.floor(number("x", 0) * scale));
  return {
    x,
    y: Math.min(1_900, Math.round(number("y", 0) * ROW_HEIGHT)),
    width: Math.min(GRID_COLUMNS - x, Math.max(1, Math.round(number("w", GRAFANA_COLUMNS / 2) * scale))),
    height: Math.min(MAX_CELL_HEIGHT, Math.max(2, Math.round(number("h", 8) * ROW_HEIGHT))),
  };
}

/** Returns the query of a target; `undefined` if its language is another one. */
function queryOf(target: Fields, panel: Fields, all: ReadonlySet<string>): Omit<TargetQuery, "legend"> | undefined {
  const source = text(at(target, "datasource", "type") ?? at(panel, "datasource", "type"));
  const query = (language: QueryLanguage, statement: string) => ({
    language,
    // A longer one is refused when the dashboard is read.
    query: fromGrafana(statement.slice(0, MAX_QUERY_LENGTH + 1), language, all),
  });
  if (typeof target.expr === "string" && (source === "" || /prometheus|mimir/.test(source))) {
    return query("promql", target.expr);
  }
  const sql = target.rawSql ?? target.queryText;
  if (typeof sql === "string" && sql !== "") {
    return query("sql", sql);
  }
  if (Array.isArray(target.select) && target.rawQuery !== true) {
    return query("influxql", builderStatement(builderOf(target)));
  }
  const statement = text(target.query);
  return /^\s*(SELECT|SHOW)\b/i.test(statement) ? query("influxql", statement) : undefined;
}

function builderOf(target: Fields): BuilderQuery {
  const part = (value: unknown) => ({ type: text(at(value, "type")), params: list(at(value, "params")).map(String) });
  return {
    measurement: text(target.measurement),
    policy: text(target.policy),
    select: list(target.select).map((parts) => list(parts).map(part)),
    tags: list(target.tags).map((tag) => {
      const { key, operator, value, condition } = fieldsOf(tag);
      return { key: text(key), operator: text(operator), value: text(value), condition: text(condition) };
    }),
    groupBy: list(target.groupBy).map(part),
  };
}

const REDUCERS: Record<string, string> = { lastNotNull: "last", firstNotNull: "first" };

/** Returns the settings of a chart. Those of unknown values are left out when they are read. */
function chartOf(panel: Fields, kind: string): Fields {
  const defaults = fieldsOf(at(panel, "fieldConfig", "defaults"));
  const custom = fieldsOf(defaults.custom);
  const reduce = text(list(at(panel, "options", "reduceOptions", "calcs"))[0]);
  const isStacked = !["none", ""].includes(text(at(custom, "stacking", "mode"))) || panel.stack === true;
  const isBar = text(custom.drawStyle) === "bars" || panel.bars === true;
  const style = text(at(custom, "thresholdsStyle", "mode"));
  const hasThresholds = CHARTS.get(kind) === "value" || !["", "off"].includes(style);
  const steps = list(at(defaults, "thresholds", "steps")).map((step) => at(step, "value"));
  return {
    kind: isBar ? "bar" : (CHARTS.get(kind) ?? "line"),
    unit: UNIT_IDS[text(defaults.unit)],
    decimals: defaults.decimals,
    yMin: defaults.min,
    yMax: defaults.max,
    logarithmic: text(at(custom, "scaleDistribution", "type")) === "log" || undefined,
    stacked: isStacked || undefined,
    gaps: custom.spanNulls === true ? "connect" : undefined,
    reduce: REDUCERS[reduce] ?? reduce,
    legend: at(panel, "options", "legend", "showLegend") === false ? false : undefined,
    thresholds: hasThresholds ? steps.filter((value) => typeof value === "number") : undefined,
  };
}

function variableOf(value: unknown, omitted: string[]): Variable[] {
  const fields = fieldsOf(value);
  const name = text(fields.name);
  const kind = text(fields.type);
  if (kind === "datasource" || kind === "interval") {
    return []; // The database is chosen here, and the interval is that of the page.
  }
  if (variableNameError(name) !== undefined || kind === "adhoc") {
    omitted.push(`The variable ${name}: its kind is ${kind}, or its name is not possible here.`);
    return [];
  }
  const source = sourceOf(fields, kind);
  if (source === undefined) {
    omitted.push(`The values of the variable ${name}: its query is not known here, so type a value.`);
  }
  const present = at(fields, "current", "value");
  const [first] = Array.isArray(present) ? present : [present];
  const hasAll = fields.includeAll === true;
  const initial = hasAll && (first === "$__all" || first === undefined) ? null : text(first);
  return [{ name, source: source ?? { kind: "text" }, hasAll, initial }];
}

/** The queries of values that are known here: their groups are the table and the tag. */
const TAG_QUERIES: readonly { pattern: RegExp; table: number; column: number }[] = [
  { pattern: /^\s*label_values\(\s*([\w:]+)[^,]*,\s*(\w+)\s*\)\s*$/, table: 1, column: 2 },
  { pattern: /^\s*SHOW\s+TAG\s+VALUES\s+FROM\s+"?([^"\s]+)"?\s+WITH\s+KEY\s*=\s*"?([^"\s;]+)"?/i, table: 1, column: 2 },
  {
    pattern: /^\s*SELECT\s+DISTINCT\s*\(?\s*"?([^"\s,()]+)"?\s*\)?(?:\s+AS\s+\w+)?\s+FROM\s+"?([^"\s;]+)"?/i,
    table: 2,
    column: 1,
  },
];

function sourceOf(fields: Fields, kind: string): Variable["source"] | undefined {
  if (kind === "custom") {
    const values = text(fields.query)
      .split(",")
      .map((value) => value.split(" : ").at(-1)?.trim() ?? "");
    return { kind: "list", values: values.filter((value) => value !== "").slice(0, MAX_LIST_VALUES) };
  }
  if (kind === "textbox" || kind === "constant") {
    return { kind: "text" };
  }
  const asked = [fields.query, at(fields, "query", "query"), at(fields, "query", "rawSql"), fields.definition];
  for (const query of asked.map(text)) {
    for (const { pattern, table, column } of TAG_QUERIES) {
      const groups = pattern.exec(query);
      if (groups !== null) {
        return { kind: "tag", table: groups[table] ?? "", column: groups[column] ?? "" };
      }
    }
  }
  return undefined;
}

/** Returns the first query of annotations in SQL. */
function annotationsOf(fields: Fields, all: ReadonlySet<string>, omitted: string[]): string {
  const queries = list(at(fields, "annotations", "list"))
    .map(fieldsOf)
    .filter(({ builtIn }) => builtIn !== 1);
  const sql = queries.map((query) => text(at(query, "target", "rawSql") ?? query.rawQuery ?? query.rawSql));
  const chosen = sql.find((statement) => statement !== "") ?? "";
  for (const [index, { name }] of queries.entries()) {
    if (sql[index] !== chosen || chosen === "") {
      omitted.push(`The annotations ${text(name)}.`);
    }
  }
  return fromGrafana(chosen.slice(0, MAX_QUERY_LENGTH + 1), "sql", all);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Returns the value at a place in a document, if there is one. */
function at(value: unknown, ...path: string[]): unknown {
  return path.reduce((inner: unknown, name) => {
    const fields = fieldsOf(inner);
    return Object.hasOwn(fields, name) ? fields[name] : undefined;
  }, value);
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
