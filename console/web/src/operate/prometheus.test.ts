import { expect, test } from "vitest";
import { Metrics } from "./prometheus";

test("samples are found by name and labels", () => {
  const metrics = Metrics.parse(
    [
      "# HELP store_requests_total Requests.",
      "# TYPE store_requests_total counter",
      'store_requests_total{operation="get",class="manifest"} 3',
      'store_requests_total{operation="get",class="tail"} 4',
      'store_requests_total{operation="put",class="tail"} 5',
      "uptime_seconds 3.5e2 1700000000000",
      "# EOF",
    ].join("\n"),
  );
  expect(metrics.sum("store_requests_total")).toBe(12);
  expect(metrics.sum("store_requests_total", { operation: "get" })).toBe(7);
  expect(metrics.sum("store_requests_total", { operation: "get", class: "tail" })).toBe(4);
  expect(metrics.sum("uptime_seconds")).toBe(350);
});

test("a metric without matching samples has no sum", () => {
  const metrics = Metrics.parse('requests{path="/"} 1');
  expect(metrics.sum("requests", { path: "/ping" })).toBeUndefined();
  expect(metrics.sum("others")).toBeUndefined();
});

test("label values may contain every character", () => {
  const metrics = Metrics.parse(
    `${String.raw`lines{db="a\"b\\c\nd{},=",kind="<script>"} 1`}\nlines{db="שלום 🌱"} 2\nlines{__proto__="x"} 3`,
  );
  expect(metrics.samples("lines").map((sample) => sample.labels.db)).toEqual(['a"b\\c\nd{},=', "שלום 🌱", undefined]);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});

test("special numbers are read", () => {
  const metrics = Metrics.parse("a +Inf\nb -Inf\nc NaN");
  expect(metrics.sum("a")).toBe(Number.POSITIVE_INFINITY);
  expect(metrics.sum("b")).toBe(Number.NEGATIVE_INFINITY);
  expect(metrics.sum("c")).toBeNaN();
});

test("lines that are not samples are left out", () => {
  const metrics = Metrics.parse('<html>\na{b="c} 1\na{b=1} 1\na{} \na{b="c"}x\n{} 1\n\na 7');
  expect(metrics.sum("a")).toBe(7);
});
