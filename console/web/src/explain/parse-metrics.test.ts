import { expect, it } from "vitest";
import { parseMetrics } from "./parse-metrics";
import { parseQuantity } from "./quantity";

it.each([
  ["output_rows", "48.00 K", "count", 48_000],
  ["output_rows", "7", "count", 7],
  ["output_rows", "1.20 B", "count", 1.2e9],
  ["output_bytes", "105.0 B", "bytes", 105],
  ["output_bytes", "10.1 KB", "bytes", 10_342.4],
  ["bytes_scanned", "137.0 K", "bytes", 137_000],
  ["elapsed_compute", "61.54µs", "time", 61_540],
  ["elapsed_compute", "2.5s", "time", 2.5e9],
])("%s=%s is a number", (name, text, kind, value) => {
  const quantity = parseQuantity(name, text);
  expect(quantity?.kind).toBe(kind);
  expect(quantity?.value).toBeCloseTo(value);
});

it("other texts are no numbers", () => {
  for (const text of ["50% (12/24)", "1 total → 1 matched", "N/A (0/0)", "", "constructor"]) {
    expect(parseQuantity("m", text)).toBeUndefined();
  }
});

it("metrics of partitions are summed", () => {
  const metrics = parseMetrics(
    "expr_0_eval_time{partition=0, expr=count(Int64(1)) AS count(*)}=461ns, output_rows{partition=0}=1, output_rows{partition=1}=4",
  );
  expect(metrics.map(({ name, quantity }) => [name, quantity?.value])).toEqual([
    ["expr_0_eval_time", 461],
    ["output_rows", 5],
  ]);
});

it("a metric of tasks is a text", () => {
  expect(parseMetrics("plan_added_at={0:48.26ms, 1:34.03ms}, tasks=2").map(({ name }) => name)).toEqual([
    "plan_added_at",
    "tasks",
  ]);
});
