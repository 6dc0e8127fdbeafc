import { expect, test } from "vitest";
import { History } from "./history";
import { databaseWrites, FIGURES, memoryShares, SERIES } from "./overview";
import { findProblems } from "./problems";
import { Metrics } from "./prometheus";

test("each figure has a key of its own", () => {
  const keys = SERIES.map((series) => series.key);
  expect(new Set(keys).size).toBe(keys.length);
  expect(FIGURES.every((group) => group.figures.length > 0)).toBe(true);
});

test("ratios and means are those since the process started", () => {
  const metrics = Metrics.parse(
    "neap_data_cache_hits_total 3\nneap_data_cache_misses_total 1\nneap_query_seconds_total 2\nneap_queries_total 8",
  );
  const history = History.of(SERIES).add(0, metrics);
  expect(history.newest("data-hits")).toBe(0.75);
  expect(history.newest("query-time")).toBe(0.25);
  expect(history.newest("value-hits")).toBeUndefined();
});

test("memory is shown by part, the largest first", () => {
  const metrics = Metrics.parse('neap_memory_charged_bytes{part="tails"} 5\nneap_memory_charged_bytes{part="new"} 7');
  expect(memoryShares(metrics)).toEqual([
    { part: "new", bytes: 7 },
    { part: "Tail images", bytes: 5 },
  ]);
});

test("writes are shown by database, those with the most lines first", () => {
  const metrics = Metrics.parse(
    'influxdb3_write_lines_total{db="a"} 1\ninfluxdb3_write_lines_total{db="b"} 2\n' +
      'influxdb3_write_bytes_total{db="b"} 60\ninfluxdb3_write_lines_rejected_total{db="a"} 3',
  );
  expect(databaseWrites(metrics)).toEqual([
    { database: "b", lines: 2, bytes: 60, rejected: 0 },
    { database: "a", lines: 1, bytes: 0, rejected: 3 },
  ]);
});

test("a healthy process has no problems", () => {
  const metrics = Metrics.parse(
    'neap_flush_blocked{reason="clocks"} 0\nneap_damaged_objects 0\nneap_tail_oldest_seconds 599\n' +
      "neap_memory_held_bytes 10\nneap_memory_limit_bytes 100",
  );
  expect(findProblems(metrics, "OK")).toEqual([]);
});

test("problems are reported, the most severe first", () => {
  const metrics = Metrics.parse(
    'neap_flush_blocked{reason="clocks"} 2\nneap_tail_oldest_seconds 7200\n' +
      "neap_memory_held_bytes 95\nneap_memory_limit_bytes 100\nneap_store_failures_total 1",
  );
  const problems = findProblems(metrics, "OK\nthe flush of 'home' fails\n");
  expect(problems.map((problem) => problem.severity)).toEqual(["danger", "danger", "warning", "warning", "warning"]);
  expect(problems[0]?.text).toBe("the flush of 'home' fails");
  expect(problems[1]?.text).toContain("clocks of the store");
  expect(problems[2]?.text).toContain("2 h 0 min");
});
