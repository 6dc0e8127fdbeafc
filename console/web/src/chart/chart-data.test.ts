import { describe, expect, it } from "vitest";
import type { ColumnKind, QueryResult, ResultColumn } from "../api/query";
import { chartData, MAX_SERIES } from "./chart-data";
import { chartSummary } from "./chart-summary";
import { chooseColumns } from "./columns";
import type { ChartSettings } from "./settings";

function column(name: string, kind: ColumnKind, values: unknown[]): ResultColumn {
  return { name, kind, arrowType: kind, get: (row) => values[row] };
}

function result(...columns: ResultColumn[]): QueryResult {
  const rows = 6;
  return { columns, rows, bytes: 0, elapsedMs: 0, headers: new Headers() };
}

const start = 1_750_000_000_000_000_000n;
const times = [0n, 1n, 2n, 0n, 1n, 2n].map((i) => start + i * 60_000_000_000n);
const cpu = result(
  column("host", "tag", ["a", "a", "a", "b", "b", "b"]),
  column("iox::measurement", "text", ["cpu", "cpu", "cpu", "cpu", "cpu", "cpu"]),
  column("time", "time", times),
  column("usage", "number", [1, 2, 3, 4, null, Number.POSITIVE_INFINITY]),
  column("count", "integer", [1n, 2n, 3n, 4n, 5n, 6n]),
);

function data(of: QueryResult, settings: ChartSettings) {
  return chartData(of, chooseColumns(of, settings), settings);
}

describe("columns", () => {
  it("are chosen by type", () => {
    const { x, values, series } = chooseColumns(cpu, { kind: "line" });
    expect(x?.name).toBe("time");
    expect(values.map(({ name }) => name)).toEqual(["usage", "count"]);
    expect(series.map(({ name }) => name)).toEqual(["host"]);
  });

  it("are those of the settings, if the result has them", () => {
    const { values, series } = chooseColumns(cpu, { kind: "line", values: ["count", "gone"], series: [], x: "gone" });
    expect(values.map(({ name }) => name)).toEqual(["count"]);
    expect(series).toEqual([]);
  });

  it("are a text for the bars of a table without times", () => {
    const table = result(
      column("region", "text", ["n", "s", "n", "s", "e", "w"]),
      column("n", "integer", [1, 2, 3, 4, 5, 6]),
    );
    expect(chooseColumns(table, { kind: "bar" }).x?.name).toBe("region");
    expect(data(table, { kind: "bar" })?.categories).toEqual(["n", "s", "e", "w"]);
  });
});

describe("series", () => {
  it("are one for each value and each tag", () => {
    const chart = data(cpu, { kind: "line" });
    expect(chart?.series.map(({ label }) => label)).toEqual(["usage · a", "usage · b", "count · a", "count · b"]);
    expect(Array.from(chart?.series[0]?.points.xs ?? [])).toEqual([0, 60_000, 120_000]);
    expect(Array.from(chart?.series[1]?.points.ys ?? [])).toEqual([4, Number.NaN, Number.NaN]);
    expect(chart?.base).toBe(start);
  });

  it("lose their nulls if the line is to connect", () => {
    const chart = data(cpu, { kind: "line", values: ["usage"], gaps: "connect" });
    expect(chart?.series.map(({ points }) => points.ys.length)).toEqual([3, 1]);
  });

  it("are limited in number", () => {
    const many = result(column("k", "tag", ["0", "1", "2", "3", "4", "5"]), column("v", "number", [1, 2, 3, 4, 5, 6]));
    many.rows = 500;
    const [k, v] = many.columns as [ResultColumn, ResultColumn];
    k.get = (row) => String(row);
    v.get = (row) => row;
    const chart = data(many, { kind: "line", series: ["k"] });
    expect(chart?.series).toHaveLength(MAX_SERIES);
    expect(chart?.omittedSeries).toBe(500 - MAX_SERIES);
  });

  it("keep distinct names if these are too long", () => {
    const long = result(
      column(
        "k",
        "tag",
        ["1", "2", "3", "4", "5", "6"].map((end) => "x".repeat(60_000) + end),
      ),
      column("v", "number", [1, 2, 3, 4, 5, 6]),
    );
    const labels = data(long, { kind: "line", series: ["k"] })?.series.map(({ label }) => label) ?? [];
    expect(new Set(labels).size).toBe(6);
    expect(Math.max(...labels.map((label) => label.length))).toBeLessThan(220);
  });

  it("are none without a number", () => {
    expect(data(result(column("name", "text", ["a"])), { kind: "line" })).toBeUndefined();
  });
});

it("a summary names the series and their extents", () => {
  const chart = data(cpu, { kind: "line", values: ["count"] });
  expect(chart && chartSummary(chart, { kind: "line" }, "CPU")).toBe(
    "CPU: Line chart of count, time from 2025-06-15 15:06:40 to 2025-06-15 15:08:40. " +
      "2 series: a from 1 to 3; b from 4 to 6.",
  );
});
