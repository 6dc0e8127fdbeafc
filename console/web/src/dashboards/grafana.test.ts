import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Dashboard, emptyDashboard } from "./dashboard";
import { formatGrafana } from "./grafana-export";
import { builderStatement, fromGrafana, toGrafana } from "./grafana-query";
import { readDashboard } from "./import-file";
import { parseDashboard } from "./validate";

const PROVISIONED = join(import.meta.dirname, "../../../../infra/grafana/provisioning/dashboards");

function imported(panels: object[], more: object = {}) {
  return readDashboard(JSON.stringify({ title: "G", panels, ...more }));
}

const SQL = { datasource: { type: "influxdb" }, refId: "A", rawSql: "SELECT 1" };

describe("queries of Grafana", () => {
  const all = new Set(["host"]);

  it("get the parameters of this page instead of macros", () => {
    expect(
      fromGrafana(
        `SELECT $__dateBin(time) AS time, host FROM cpu WHERE $__timeFilter(time) AND host IN (\${host:singlequote}) AND rack = '$rack'`,
        "sql",
        all,
      ),
    ).toBe(
      "SELECT date_bin($interval, time) AS time, host FROM cpu WHERE time >= $from AND time < $to AND ($host IS NULL OR host = $host) AND rack = $rack",
    );
    expect(fromGrafana(`SELECT $__timeGroupAlias("at", '5m'), v FROM t WHERE "at" > $__timeFrom()`, "sql", all)).toBe(
      `SELECT date_bin(INTERVAL '5m', "at") AS time, v FROM t WHERE "at" > $from`,
    );
    expect(
      fromGrafana(
        `SELECT mean("v") FROM "m" WHERE "host" =~ /^[[host]]$/ AND $timeFilter GROUP BY time($__interval)`,
        "influxql",
        all,
      ),
    ).toBe(
      `SELECT mean("v") FROM "m" WHERE "host" =~ /^$host$/ AND time >= $from AND time < $to GROUP BY time($interval)`,
    );
    expect(fromGrafana(`rate(a{host=~"\${host:regex}"}[$__rate_interval])`, "promql", all)).toBe(
      `rate(a{host=~"$host"}[$rate_interval])`,
    );
  });

  it.each([
    [
      "sql",
      "SELECT date_bin($interval, time) AS time, v FROM t WHERE time >= $from AND time < $to AND ($host IS NULL OR host = $host)",
    ],
    ["sql", "SELECT max(v) AS v FROM t WHERE time > $from AND rack = $rack"],
    [
      "influxql",
      'SELECT mean("v") FROM m WHERE time >= $from AND time < $to AND rack = $rack GROUP BY time($interval)',
    ],
    ["promql", 'rate(a{host=~"$host"}[$interval]) / increase(b[$range])'],
  ] as const)("%s survives an export and an import", (language, query) => {
    const exported = toGrafana(query, language);
    expect(exported).not.toMatch(/\$(from|to|interval)\b/);
    expect(fromGrafana(exported, language, new Set(["host"]))).toBe(query);
  });

  it("of the editor of InfluxQL become statements", () => {
    const part = (type: string, ...params: string[]) => ({ type, params });
    expect(
      builderStatement({
        measurement: "cpu",
        policy: "default",
        select: [[part("field", "usage"), part("mean"), part("math", " * 8"), part("alias", "bits")]],
        tags: [
          { key: "host", operator: "=~", value: "/^$host$/", condition: "" },
          { key: "cpu", operator: "=", value: "it's", condition: "AND" },
        ],
        groupBy: [part("time", "$__interval"), part("tag", "host"), part("fill", "null")],
      }),
    ).toBe(
      `SELECT mean("usage") * 8 AS "bits" FROM "cpu" WHERE ("host" =~ /^$host$/ AND "cpu" = 'it\\'s') AND $timeFilter GROUP BY time($__interval), "host" fill(null)`,
    );
  });
});

describe("a dashboard of Grafana", () => {
  it.each(["home-assistant", "telegraf", "neap"])("%s is imported", (name) => {
    const text = readFileSync(join(PROVISIONED, `${name}.json`), "utf8");
    const { dashboard } = readDashboard(text);
    expect(dashboard.cells.length).toBeGreaterThan(3);
    expect(dashboard.cells.filter(({ title }) => title === "Not imported")).toEqual([]);
    for (const { query } of dashboard.cells) {
      expect(query).not.toContain("$__");
    }
  });

  it("keeps its place, kind, unit, limits, range and variables", () => {
    const panel = {
      type: "row",
      panels: [
        {
          type: "stat",
          title: "Heat",
          gridPos: { x: 12, y: 4, w: 12, h: 8 },
          fieldConfig: {
            defaults: { unit: "celsius", max: 40, thresholds: { steps: [{ value: null }, { value: 30 }] } },
          },
          options: { reduceOptions: { calcs: ["lastNotNull"] } },
          targets: [SQL, { ...SQL, refId: "B", hide: true }],
        },
      ],
    };
    const templating = {
      list: [
        { type: "query", name: "host", query: "label_values(up, instance)", includeAll: true },
        { type: "custom", name: "size", query: "small : s,l", current: { value: "s" } },
        { type: "datasource", name: "source" },
      ],
    };
    const { name, dashboard } = imported([panel], { templating, time: { from: "now-6h", to: "now" }, refresh: "30s" });
    expect(name).toBe("G");
    expect(dashboard.range.from).toBe("now-6h");
    expect(dashboard.refreshSeconds).toBe(30);
    expect(dashboard.cells).toMatchObject([
      { title: "Heat", place: { x: 6, y: 0, width: 6, height: 5 }, query: "SELECT 1", language: "sql" },
    ]);
    expect(dashboard.cells[0]?.chart).toEqual({
      kind: "value",
      unit: "celsius",
      yMax: 40,
      reduce: "last",
      thresholds: [30],
    });
    expect(dashboard.variables).toEqual([
      { name: "host", source: { kind: "tag", table: "up", column: "instance" }, hasAll: true, initial: null },
      { name: "size", source: { kind: "list", values: ["s", "l"] }, hasAll: false, initial: "s" },
    ]);
  });

  it("has one cell for the queries in PromQL of a panel", () => {
    const targets = [{ expr: "a", legendFormat: "in" }, { expr: "b", legendFormat: "{{host}}" }, SQL];
    const { dashboard } = imported([{ type: "timeseries", title: "Two", targets }]);
    expect(dashboard.cells.map(({ query }) => query)).toEqual([
      'label_replace(a, "query", "in", "", "")\nor label_replace(b, "query", "2", "", "")',
      "SELECT 1",
    ]);
  });

  it("names what it can't keep in a note", () => {
    const flux = { refId: "A", datasource: { type: "influxdb" }, query: 'from(bucket: "b")' };
    const { dashboard } = imported([
      { type: "geomap", title: "Map", targets: [SQL] },
      { type: "timeseries", title: "Flux", targets: [flux] },
      { type: "timeseries", title: "Library", libraryPanel: {} },
      { type: "text", title: "Words", options: { content: "<b>hello</b>" } },
    ]);
    expect(dashboard.cells.map(({ title, note }) => ({ title, note }))).toEqual([
      { title: "Words", note: "<b>hello</b>" },
      {
        title: "Not imported",
        note: "The panel “Map”: its kind is geomap.\nThe query A of “Flux”: it is not SQL, InfluxQL or PromQL.\nThe panel “Library”: it has no query of its own.",
      },
    ]);
  });

  it("of any other form neither fails nor changes objects", () => {
    const hostile =
      '{"panels": [null, 7, {"type": "__proto__", "targets": {"expr": 1}}, {"type": "constructor", "targets": [{"expr": "up"}]}, {"type": "stat", "gridPos": {"x": "a", "w": -1, "h": 1e99}, "targets": [{"expr": "up"}]}], "templating": {"list": [{"name": "__proto__"}]}, "time": 5, "__proto__": {"evil": 1}}';
    const { dashboard } = readDashboard(hostile);
    expect(dashboard.cells.map(({ query }) => query)).toEqual(["up", ""]);
    expect(({} as Record<string, unknown>).evil).toBeUndefined();
  });

  it("survives an export for Grafana and an import", () => {
    const dashboard: Dashboard = {
      ...emptyDashboard(),
      ...parseDashboard({
        cells: [
          {
            id: "a",
            title: "A",
            view: "chart",
            place: { x: 0, y: 0, width: 6, height: 5 },
            query: "SELECT v FROM t WHERE time >= $from AND time < $to AND ($host IS NULL OR host = $host)",
            chart: { kind: "bar", unit: "bytes", stacked: true, thresholds: [5] },
          },
          {
            id: "b",
            title: "B",
            view: "table",
            place: { x: 6, y: 0, width: 6, height: 5 },
            query: "up",
            language: "promql",
          },
          { id: "c", title: "C", view: "note", place: { x: 0, y: 5, width: 12, height: 2 }, note: "Words" },
        ],
        variables: [{ name: "host", source: { kind: "tag", table: "t", column: "host" }, hasAll: true, initial: null }],
        annotations: "SELECT time, kind FROM marks",
      }),
      range: { from: "now-6h", to: "now" },
      refreshSeconds: 60,
    };
    const again = readDashboard(formatGrafana({ name: "Round", dashboard }));
    const plain = ({ cells, ...rest }: Dashboard) => ({
      ...rest,
      cells: cells.map(({ id: _, chart: { legend: __, ...chart }, ...cell }) => ({ ...cell, chart })),
    });
    expect(again.name).toBe("Round");
    expect(plain(again.dashboard)).toEqual(plain(dashboard));
  });
});
