import { describe, expect, it } from "vitest";
import type { Table } from "../api/schema";
import { intervalOf, intervalText } from "../time/interval";
import type { Variable } from "./dashboard";
import { rangeWithData, starterDashboard } from "./starter";
import { parseDashboard } from "./validate";
import { queryParameters, urlValue, valuesFromUrl, valuesQuery } from "./variables";

const host: Variable = { name: "host", source: { kind: "text" }, hasAll: true, initial: "a" };

describe("values of variables", () => {
  it("are those of the URL, or the initial ones", () => {
    expect(valuesFromUrl([host], new URLSearchParams()).get("host")).toBe("a");
    for (const value of ["all", "", "=", "ü & <b>", "null"]) {
      const params = new URLSearchParams(urlValue(host, value) as Record<string, string>);
      expect(valuesFromUrl([host], params).get("host")).toBe(value);
    }
    const all = new URLSearchParams(urlValue(host, null) as Record<string, string>);
    expect(valuesFromUrl([host], all).get("host")).toBeNull();
  });

  it("are no part of the URL if they are too long", () => {
    expect(urlValue(host, "x".repeat(60_000))).toEqual({ "var-host": undefined });
  });

  it("become parameters beside the range and the interval", () => {
    const now = Date.parse("2026-11-22T12:00:00Z");
    const range = { from: "now-1h", to: "now" };
    expect(queryParameters({ variables: [host] }, range, new Map([["host", null]]), now)).toEqual({
      from: "2026-11-22T11:00:00Z",
      to: "2026-11-22T12:00:00Z",
      interval: "30 seconds",
      host: null,
    });
  });

  it("are read with quoted names", () => {
    expect(valuesQuery('a"b', "k'; DROP")).toContain('SELECT DISTINCT "k\'; DROP" AS value FROM "a""b"');
  });
});

it("an interval is round, and fits the range", () => {
  expect(intervalText(0, 3_600_000)).toBe("30 seconds");
  expect(intervalText(0, 365 * 86_400_000)).toBe("7 days");
  expect(intervalText(0, 50 * 365 * 86_400_000)).toBe("30 days");
  expect(intervalText(undefined, 0)).toBe("1 hour");
  expect(intervalText(5, 5)).toBe("1 hour");
  expect(intervalOf(0n, 100_000_000n)).toBe("1 millisecond");
});

it("a first dashboard shows a range that has data", () => {
  const now = Date.parse("2026-11-22T12:00:00Z");
  expect(rangeWithData(now - 60_000, now)).toEqual({ from: "now-1h", to: "now" });
  expect(rangeWithData(now - 20 * 3_600_000, now)).toEqual({ from: "now-1d", to: "now" });
  expect(rangeWithData(Date.parse("2025-06-15T14:59:30Z"), now)).toEqual({
    from: "2025-06-14T15:00:00Z",
    to: "2025-06-15T15:00:00Z",
  });
  expect(rangeWithData(undefined, now)).toEqual({ from: "now-1h", to: "now" });
});

describe("a first dashboard", () => {
  const table = (name: string, tag: string): Table => ({
    name,
    columns: [
      { name: tag, type: "Dictionary(Int32, Utf8)", role: "tag" },
      { name: "time", type: "Timestamp(ns)", role: "time" },
      { name: 'us"age', type: "Float64", role: "field" },
      { name: "text", type: "Utf8", role: "field" },
    ],
  });

  it("is a valid dashboard with a chart for each table, and variables for their tags", () => {
    const dashboard = starterDashboard([table("cpu", "host"), table('d"isk', "to"), table("mem", "host")]);
    expect(parseDashboard(dashboard)).toEqual(dashboard);
    expect(dashboard.variables.map(({ name }) => name)).toEqual(["host"]);
    expect(dashboard.cells.map(({ query }) => query)[1]).toContain('FROM "d""isk"');
    expect(dashboard.cells[1]?.query).not.toContain("$to IS NULL");
    expect(dashboard.cells[0]?.query).toContain('($host IS NULL OR "host" = $host)');
  });

  it("is empty without numbers", () => {
    expect(starterDashboard([{ name: "log", columns: [{ name: "m", type: "Utf8", role: "field" }] }]).cells).toEqual(
      [],
    );
  });
});
