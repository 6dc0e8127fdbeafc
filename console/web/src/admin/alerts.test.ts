import { describe, expect, test } from "vitest";
import type { ColumnKind, ResultColumn } from "../api/query";
import { type AlertDraft, alertExpression, shownValue, windowQuery } from "./alerts";

const DRAFT: AlertDraft = {
  name: "a",
  language: "sql",
  query: "SELECT time, room, temp FROM home WHERE time >= $from AND time < $to;",
  kind: "above",
  limit: 30,
  window: "10m",
  hold: "",
  summary: "",
  severity: "",
};

function columns(...pairs: [string, ColumnKind][]): ResultColumn[] {
  return pairs.map(([name, kind]) => ({ name, kind, arrowType: "", get: () => null }));
}

const ROOMS = columns(["time", "time"], ["room", "tag"], ["temp", "number"]);

describe("queries of alerts", () => {
  test("have times that move along", () => {
    expect(windowQuery(DRAFT)).toBe(
      "SELECT time, room, temp FROM home WHERE time >= now() - INTERVAL '600 seconds' AND time < now()",
    );
    expect(windowQuery({ ...DRAFT, kind: "missing" })).toContain("'86400 seconds'");
    const influxql = {
      ...DRAFT,
      language: "influxql" as const,
      query: "SELECT a FROM m WHERE time > $from GROUP BY time($interval)",
    };
    expect(windowQuery(influxql)).toBe("SELECT a FROM m WHERE time > now() - 600s GROUP BY time(1m)");
    expect(windowQuery({ ...DRAFT, language: "promql", query: "rate(a[$interval])" })).toBe("rate(a[600s])");
  });
});

describe("expressions of alerts", () => {
  test("compare the newest value of each series", () => {
    expect(alertExpression(DRAFT, "q", ROOMS)).toBe(
      'SELECT * FROM (SELECT "room", last_value("temp" ORDER BY "time") AS value FROM (q) GROUP BY "room") WHERE value > 30',
    );
    expect(alertExpression({ ...DRAFT, kind: "below" }, "q", columns(["n", "integer"]))).toBe(
      'SELECT * FROM (SELECT last_value("n") AS value FROM (q)) WHERE value < 30',
    );
  });

  test("find changes and series without new rows", () => {
    expect(alertExpression({ ...DRAFT, kind: "change" }, "q", ROOMS)).toContain('max("temp") - min("temp") AS value');
    expect(alertExpression({ ...DRAFT, kind: "missing" }, "q", ROOMS)).toMatch(/WHERE value > 600$/);
    expect(alertExpression({ ...DRAFT, kind: "missing", language: "promql" }, "up", [])).toBe(
      "last_over_time((up)[86400s:]) unless last_over_time((up)[600s:])",
    );
  });

  test("keep the series of InfluxQL", () => {
    const influxql = { ...DRAFT, language: "influxql" as const };
    expect(alertExpression(influxql, "q", columns(["mean", "number"]))).toBe(
      `SELECT value FROM (SELECT last("mean") AS value FROM (q) GROUP BY *) WHERE value > 30 GROUP BY *`,
    );
    expect(() => alertExpression({ ...influxql, kind: "missing" }, "q", columns(["mean", "number"]))).toThrow(
      "InfluxQL",
    );
  });

  test("need one number, or one that is named value", () => {
    expect(() => alertExpression(DRAFT, "q", columns(["a", "number"], ["b", "number"]))).toThrow("several columns");
    expect(() => alertExpression(DRAFT, "q", columns(["a", "text"]))).toThrow("no column of numbers");
    expect(alertExpression(DRAFT, "q", columns(["a", "number"], ["value", "number"]))).toContain('last_value("value")');
  });
});

test("values_of_alerts_have_at_most_six_digits", () => {
  expect(["44.260000000000005", "35", "0.000012345678", "1e+21", "+Inf", "NaN", ""].map(shownValue)).toEqual([
    "44.26",
    "35",
    "0.0000123457",
    "1e+21",
    "+Inf",
    "NaN",
    "",
  ]);
});
