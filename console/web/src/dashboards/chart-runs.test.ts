import { float64, tableFromArrays, tableToIPC, timestamp, utf8 } from "@uwdata/flechette";
import { beforeEach, expect, it, vi } from "vitest";
import { DEFAULT_MAX_BYTES, type QueryRequest } from "../api/query";
import { chartData } from "../chart/chart-data";
import { chooseColumns } from "../chart/columns";
import type { ChartSettings } from "../chart/settings";
import { ChartRuns, thinnableStatement, thinnedQuery } from "./chart-runs";

const LINE: ChartSettings = { kind: "line" };
const START_MS = 1_750_000_000_000;

type Columns = Record<string, { values: unknown[]; type: "time" | "number" | "text" }>;

/** The statements that the server has got. */
let asked: string[] = [];

function stream(columns: Columns): Uint8Array<ArrayBuffer> {
  const types = { time: timestamp(3), number: float64(), text: utf8() };
  const arrays = Object.fromEntries(Object.entries(columns).map(([name, { values }]) => [name, values]));
  const columnTypes = Object.fromEntries(Object.entries(columns).map(([name, { type }]) => [name, types[type]]));
  return tableToIPC(tableFromArrays(arrays, { types: columnTypes }), { format: "stream" }) as Uint8Array<ArrayBuffer>;
}

/** Answers with the columns, those of thinned statements with the others, or with a status. */
function serve(whole: Columns, thinned: Columns | number = 500): void {
  vi.stubGlobal("fetch", async (path: string) => {
    const text = new URL(path, "http://neap.test").searchParams.get("q") ?? "";
    asked.push(text);
    const answer = text.includes("m4(") ? thinned : whole;
    return typeof answer === "number"
      ? Response.json({ error: "refused" }, { status: answer })
      : new Response(stream(answer));
  });
}

function rows(count: number, hosts = 1): Columns {
  const indexes = Array.from({ length: count }, (_, i) => i);
  return {
    time: { type: "time", values: indexes.map((i) => START_MS + i * 1000) },
    host: { type: "text", values: indexes.map((i) => `host ${i % hosts}`) },
    load: { type: "number", values: indexes },
    heat: { type: "number", values: indexes },
  };
}

const EXTREMES: Columns = {
  s0: { type: "text", values: ["a", "a", "b"] },
  t0: { type: "time", values: [START_MS, START_MS + 1000, START_MS] },
  v0: { type: "number", values: [1, 2, 3] },
  t1: { type: "time", values: [START_MS + 5000, null, START_MS] },
  v1: { type: "number", values: [4, null, 5] },
};

const request: QueryRequest = {
  database: "home",
  text: "SELECT time, host, load, heat FROM cpu; ",
  language: "sql",
  isReadOnly: true,
  maxBytes: DEFAULT_MAX_BYTES,
};

beforeEach(() => {
  asked = [];
});

it("asks once for lines that have no more points than there is room for", async () => {
  serve(rows(1000, 10));
  const result = await new ChartRuns().run(request, { settings: LINE, pixels: 25 });
  expect([asked.length, result.rows, result.isPartial, result.thinning]).toEqual([1, 1000, undefined, undefined]);
});

it("draws the extremes of longer lines, each value at its own times", async () => {
  serve(rows(1001, 10), EXTREMES);
  const result = await new ChartRuns().run(request, { settings: LINE, pixels: 25 });
  const data = chartData(result, chooseColumns(result, LINE), LINE);
  expect(asked.length).toBe(2);
  expect(result.columns.map(({ name, kind }) => [name, kind])).toEqual([
    ["host", "text"],
    ["time", "time"],
    ["load", "number"],
    ["heat", "number"],
  ]);
  expect(data?.series.map(({ label, points }) => [label, [...points.xs], [...points.ys]])).toEqual([
    ["load · a", [0, 1000], [1, 2]],
    ["load · b", [0], [3]],
    ["heat · a", [5000], [4]],
    ["heat · b", [0], [5]],
  ]);
});

it("does not read the first rows again when it runs again", async () => {
  serve(rows(1001), EXTREMES);
  const runs = new ChartRuns();
  await runs.run(request, { settings: LINE, pixels: 25 });
  await runs.run(request, { settings: LINE, pixels: 25 });
  expect(asked.filter((text) => text.includes("m4("))).toHaveLength(2);
  expect(asked).toHaveLength(3);
});

it("draws all rows if the server refuses the thinned statement, and does not try it again", async () => {
  serve(rows(1001), 400);
  const runs = new ChartRuns();
  const result = await runs.run(request, { settings: LINE, pixels: 25 });
  expect([asked.length, result.rows, result.isPartial]).toEqual([3, 1001, undefined]);
  await runs.run(request, { settings: LINE, pixels: 25 });
  expect(asked).toHaveLength(4);
});

it("draws all rows of results without a time or with too many lines", async () => {
  const { time: _, ...timeless } = rows(1001);
  serve(timeless);
  await new ChartRuns().run(request, { settings: LINE, pixels: 25 });
  serve(rows(4000, 40));
  await new ChartRuns().run(request, { settings: { kind: "line", series: ["host"] }, pixels: 1 });
  serve(rows(4000, 60));
  await new ChartRuns().run(request, { settings: { kind: "line", series: ["host"] }, pixels: 1 });
  expect(asked.filter((text) => text.includes("m4("))).toHaveLength(1);
});

it("thins lines of one SELECT of SQL only", () => {
  const thinnable = (text: string, settings = LINE, language: QueryRequest["language"] = "sql") =>
    thinnableStatement({ text, language }, settings);
  expect(thinnable("-- all\nWITH a AS (SELECT 1) SELECT * FROM a LIMIT 9;")).toBe(
    "-- all\nWITH a AS (SELECT 1) SELECT * FROM a LIMIT 9",
  );
  expect(thinnable("SELECT 1; SELECT 2")).toBeUndefined();
  expect(thinnable("EXPLAIN SELECT 1")).toBeUndefined();
  expect(thinnable("SELECT 1", LINE, "influxql")).toBeUndefined();
  expect(thinnable("SELECT 1", { kind: "bar" })).toBeUndefined();
  expect(thinnable("SELECT 1", { kind: "line", gaps: "nulls" })).toBeUndefined();
});

it("puts the statement into a subquery, and quotes its names", () => {
  const columns = {
    time: { name: "time", kind: "time" },
    values: [{ name: 'a"b', kind: "number" }],
    series: [{ name: "host", kind: "tag" }],
  } as const;
  const copied = { ...columns, values: [...columns.values], series: [...columns.series] };
  expect(thinnedQuery("SELECT * FROM t LIMIT 5 -- newest", copied, { settings: LINE, pixels: 100 })).toBe(
    `SELECT s0, p0['time'] AS t0, p0['value'] AS v0 FROM (SELECT "host" AS s0, unnest(m4("time", "a""b", 400)) AS p0 ` +
      `FROM (SELECT * FROM t LIMIT 5 -- newest\n) AS q GROUP BY "host")`,
  );
  const range = { from: 0n, to: 1n };
  const single = thinnedQuery("SELECT 1", { ...copied, series: [] }, { settings: LINE, pixels: 100, range });
  expect(single).toContain(`unnest(m4("time", "a""b", 400, $from, $to)) AS p0 FROM (SELECT 1\n) AS q)`);
});
