import { expect, test } from "vitest";
import { History, type Series } from "./history";
import { Metrics } from "./prometheus";

const SERIES: Series[] = [
  { key: "lines", reading: "rate", measure: (metrics) => metrics.sum("lines_total") },
  { key: "memory", reading: "value", measure: (metrics) => metrics.sum("memory") },
];

function sampled(...texts: string[]): History {
  return texts.reduce((history, text, at) => history.add(at * 5_000, Metrics.parse(text)), History.of(SERIES));
}

test("a counter is shown as its increase per second", () => {
  const history = sampled("lines_total 10", "lines_total 60", "lines_total 60");
  expect(history.values("lines")).toEqual([null, 10, 0]);
  expect(history.newest("lines")).toBe(0);
  expect(history.increase("lines")).toEqual({ amount: 50, seconds: 10 });
});

test("a counter that starts again has no rate at this moment", () => {
  const history = sampled("lines_total 100", "lines_total 5", "lines_total 15");
  expect(history.values("lines")).toEqual([null, null, 2]);
  expect(history.increase("lines")).toEqual({ amount: 10, seconds: 5 });
});

test("a value that is not reported is a gap", () => {
  expect(sampled("memory 1", "", "memory 3").values("memory")).toEqual([1, null, 3]);
  expect(sampled("memory 1", "").newest("memory")).toBeUndefined();
});

test("a history keeps its newest 360 moments", () => {
  const history = sampled(...Array.from({ length: 400 }, (_, at) => `memory ${at}`));
  expect(history.times).toHaveLength(360);
  expect(history.values("memory")[0]).toBe(40);
});
