import { describe, expect, it } from "vitest";
import { type Dashboard, emptyDashboard, MAX_CELLS } from "./dashboard";
import { readDashboard } from "./import-file";
import { formatDashboardFile, parseDashboard } from "./validate";

const cell = {
  id: "a",
  title: "CPU",
  view: "chart",
  place: { x: 0, y: 0, width: 6, height: 4 },
  query: "SELECT 1",
  language: "sql",
  chart: { kind: "line", unit: "percent", values: ["usage"], thresholds: [80, 95] },
};

function withCell(change: object): unknown {
  return { cells: [{ ...cell, ...change }] };
}

describe("a dashboard", () => {
  it("survives its export and import", () => {
    const dashboard: Dashboard = {
      ...emptyDashboard(),
      cells: parseDashboard(withCell({})).cells,
      variables: [{ name: "host", source: { kind: "tag", table: "cpu", column: "host" }, hasAll: true, initial: null }],
      range: { from: "now-6h", to: "now" },
      refreshSeconds: "data",
      annotations: "SELECT time, body FROM logs",
    };
    const text = formatDashboardFile({ name: "Servers", dashboard });
    expect(readDashboard(text)).toEqual({ name: "Servers", dashboard });
  });

  it("keeps names of any kind as texts", () => {
    const hostile = `<img src=x onerror=alert(1)>'"; DROP TABLE x --\u202e😀`;
    const { cells } = parseDashboard(
      withCell({ title: hostile, chart: { kind: "bar", x: hostile, series: [hostile] } }),
    );
    expect(cells[0]?.title).toBe(hostile);
    expect(cells[0]?.chart).toEqual({ kind: "bar", x: hostile, series: [hostile] });
  });

  it("leaves out what it does not know", () => {
    const { cells } = parseDashboard(
      JSON.parse(
        `{"cells": [{"id": "../x", "view": "table", "place": {"x": 0, "y": 0, "width": 3, "height": 2}, "script": "alert(1)",
          "chart": {"kind": "line", "unit": "javascript:", "decimals": 99, "yMin": "1", "thresholds": ["x"], "__proto__": {"evil": 1}, "zone": "mars"}}]}`,
      ),
    );
    expect(Object.keys(cells[0] ?? {})).not.toContain("script");
    expect(cells[0]?.id).toBe("cell-1");
    expect(cells[0]?.chart).toEqual({ kind: "line" });
    expect(({} as Record<string, unknown>).evil).toBeUndefined();
  });

  it("gives cells with the same id different ones, and places without overlaps", () => {
    const { cells } = parseDashboard({ cells: [cell, cell, cell] });
    expect(new Set(cells.map(({ id }) => id)).size).toBe(3);
    expect(cells.map(({ place }) => place.y)).toEqual([0, 4, 8]);
  });
});

describe("a document that is no dashboard", () => {
  it.each([
    [null, "The dashboard is not an object."],
    [[], "The dashboard is not an object."],
    [{}, "Cells is not a list."],
    [{ cells: Array(MAX_CELLS + 1).fill(cell) }, "Cells has 101 entries; 100 are allowed."],
    [withCell({ view: "script" }), "Cells[0].view is none of chart, table, note."],
    [withCell({ place: { x: 7, y: 0, width: 6, height: 4 } }), "Cells[0].place.x is no integer from 0 to 6."],
    [withCell({ place: { x: 0, y: 1e9, width: 6, height: 4 } }), "Cells[0].place.y is no integer from 0 to 2000."],
    [withCell({ query: "x".repeat(20_000) }), "Cells[0].query has 20000 characters; 16000 are allowed."],
    [withCell({ title: 7 }), "Cells[0].title is not a text."],
    [withCell({ chart: { kind: "pie" } }), "Cells[0].chart.kind is none of line, bar, scatter, heatmap, value."],
    [{ cells: [], variables: [{ name: "from" }] }, "variables[0].name: $from is the time range of the dashboard."],
    [{ cells: [], variables: [{ name: "a b" }] }, /digits and underscores/],
    [{ cells: [], variables: [{ name: "__proto__" }] }, /digits and underscores/],
  ])("%# is refused with its place", (document, message) => {
    expect(() => parseDashboard(document)).toThrow(message);
  });

  it("is refused as a file", () => {
    expect(() => readDashboard("<html>")).toThrow("The file is not JSON.");
    expect(() => readDashboard('{"cells": []}')).toThrow("The file is not a dashboard of Neap or Grafana");
    expect(() => readDashboard('{"format": "neap-dashboard", "version": 9}')).toThrow("version");
  });
});
