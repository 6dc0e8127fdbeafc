// Dashboards of this page as files that Grafana imports.

import { LANGUAGE_NAMES, type QueryLanguage } from "../api/query";
import { type Cell, GRID_COLUMNS, type Variable } from "./dashboard";
import { toGrafana } from "./grafana-query";
import { grafanaUnit } from "./grafana-units";
import type { NamedDashboard } from "./validate";
import { valuesQuery } from "./variables";

/** The version of the format, which newer versions of Grafana read, too. */
const SCHEMA_VERSION = 39;

/** The data source of each language. Grafana asks for them when it imports the file. */
const SOURCES: Record<QueryLanguage, { type: string; uid: string }> = {
  sql: { type: "influxdb", uid: `$\{DS_SQL}` },
  influxql: { type: "influxdb", uid: `$\{DS_INFLUXQL}` },
  promql: { type: "prometheus", uid: `$\{DS_PROMQL}` },
};

const PANELS: Record<string, string> = {
  line: "timeseries",
  bar: "timeseries",
  scatter: "timeseries",
  heatmap: "heatmap",
  value: "stat",
};

/** Rows of Grafana's grid in a row of this one. */
const ROWS = 66 / 38;

/** Returns the text of a file for Grafana. */
export function formatGrafana({ name, dashboard }: NamedDashboard): string {
  const { cells, variables, range, refreshSeconds, annotations } = dashboard;
  const languages = new Set<QueryLanguage>(cells.filter(({ view }) => view !== "note").map(({ language }) => language));
  if (variables.length > 0 || annotations !== "") {
    languages.add("sql");
  }
  const document = {
    __inputs: [...languages].map((language) => ({
      name: `DS_${language.toUpperCase()}`,
      label: `Neap (${LANGUAGE_NAMES[language]})`,
      type: "datasource",
      pluginId: SOURCES[language].type,
    })),
    title: name,
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    // Panels show the same moment.
    graphTooltip: 1,
    time: range.from === "" ? undefined : { from: range.from, to: range.to || "now" },
    refresh: typeof refreshSeconds === "number" && refreshSeconds > 0 ? `${refreshSeconds}s` : "",
    templating: { list: variables.map(variableOf) },
    annotations: { list: annotations === "" ? [] : [annotationOf(annotations)] },
    panels: cells.map(panelOf),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function panelOf(cell: Cell, index: number): object {
  const { title, view, place, chart, language, note } = cell;
  const scale = 24 / GRID_COLUMNS;
  const head = {
    id: index + 1,
    title,
    gridPos: {
      x: place.x * scale,
      y: Math.round(place.y * ROWS),
      w: place.width * scale,
      h: Math.round(place.height * ROWS),
    },
  };
  if (view === "note") {
    return { ...head, type: "text", options: { mode: "markdown", content: note } };
  }
  const steps = (chart.thresholds ?? []).map((value) => ({ color: "red", value }));
  const custom = {
    drawStyle: { bar: "bars", scatter: "points" }[chart.kind as string] ?? "line",
    spanNulls: chart.gaps === "connect",
    stacking: { mode: chart.stacked ? "normal" : "none" },
    ...(chart.logarithmic ? { scaleDistribution: { type: "log", log: 10 } } : {}),
    ...(steps.length > 0 ? { thresholdsStyle: { mode: "line" } } : {}),
  };
  return {
    ...head,
    type: view === "table" ? "table" : PANELS[chart.kind],
    datasource: SOURCES[language],
    fieldConfig: {
      defaults: {
        unit: grafanaUnit(chart.unit),
        decimals: chart.decimals,
        min: chart.yMin,
        max: chart.yMax,
        thresholds: { mode: "absolute", steps: [{ color: "green", value: null }, ...steps] },
        custom,
      },
      overrides: [],
    },
    options: optionsOf(cell),
    targets: [targetOf(cell)],
  };
}

function optionsOf({ view, chart }: Cell): object {
  if (view === "chart" && chart.kind === "value") {
    return {
      reduceOptions: { calcs: [chart.reduce === undefined || chart.reduce === "last" ? "lastNotNull" : chart.reduce] },
    };
  }
  return { legend: { showLegend: chart.legend ?? true }, tooltip: { mode: "multi" } };
}

function targetOf({ view, language, query }: Cell): object {
  const text = toGrafana(query, language);
  const head = { refId: "A", datasource: SOURCES[language] };
  const format = view === "table" ? "table" : "time_series";
  switch (language) {
    case "sql":
      return { ...head, rawQuery: true, rawSql: text, editorMode: "code", format };
    case "influxql":
      return { ...head, rawQuery: true, query: text, resultFormat: format };
    case "promql":
      return { ...head, expr: text, range: true };
  }
}

function variableOf({ name, source, hasAll, initial }: Variable): object {
  const value = initial ?? (hasAll ? "$__all" : "");
  const head = { name, includeAll: hasAll, current: { text: initial ?? "All", value } };
  switch (source.kind) {
    case "tag": {
      const rawSql = toGrafana(valuesQuery(source.table, source.column), "sql");
      return { ...head, type: "query", datasource: SOURCES.sql, query: { refId: "A", rawQuery: true, rawSql } };
    }
    case "list":
      return { ...head, type: "custom", query: source.values.map((one) => one.replaceAll(",", "\\,")).join(",") };
    case "text":
      return { ...head, type: "textbox", query: initial ?? "" };
  }
}

function annotationOf(query: string): object {
  const rawSql = toGrafana(query, "sql");
  const target = { refId: "A", rawQuery: true, rawSql, editorMode: "code", format: "table" };
  return { name: "Annotations", enable: true, iconColor: "blue", datasource: SOURCES.sql, target };
}
