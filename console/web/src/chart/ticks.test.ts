import { describe, expect, it } from "vitest";
import { axisExtent, logarithmicExtent, logarithmicTicks, niceStep, numberTicks } from "./number-ticks";
import { formatTime, tickLabels, tickStep, timeTicks } from "./time-ticks";

const NS = 1_000_000n;
const base = BigInt(Date.UTC(2026, 10, 22, 14, 5)) * NS;
const HOUR = 3_600_000;

describe("ticks of times", () => {
  it.each([
    [1e-5, { ms: 2e-6 }],
    [100, { ms: 20 }],
    [HOUR, { ms: 15 * 60_000 }],
    [24 * HOUR, { ms: 6 * HOUR }],
    [10 * 24 * HOUR, { days: 2 }],
    [365 * 24 * HOUR, { months: 3 }],
    [40 * 365 * 24 * HOUR, { months: 120 }],
  ])("are at round distances in %s ms", (span, step) => {
    expect(tickStep(span, 5)).toEqual(step);
  });

  it("are at full hours, with the date where it changes", () => {
    const ticks = timeTicks(base, 0, 24 * HOUR, 5, "UTC");
    expect(tickLabels(base, ticks, "UTC")).toEqual(["18:00\n2026-11-22", "00:00\n2026-11-23", "06:00", "12:00"]);
  });

  it("are at the beginnings of months of different lengths", () => {
    const start = BigInt(Date.UTC(2026, 0, 15)) * NS;
    const ticks = timeTicks(start, 0, 120 * 24 * HOUR, 5, "UTC");
    expect(tickLabels(start, ticks, "UTC")).toEqual(["Feb\n2026", "Mar", "Apr", "May"]);
  });

  it("are at midnights of a zone, also in the weeks when its clocks change", () => {
    const start = BigInt(Date.UTC(2026, 2, 27, 23)) * NS;
    const days = timeTicks(start, 0, 3.5 * 24 * HOUR, 4, "Europe/Berlin");
    expect(tickLabels(start, days, "Europe/Berlin")).toEqual(["03-28\n2026", "03-29", "03-30", "03-31"]);
    const hours = timeTicks(start, 0, 47 * HOUR, 4, "Europe/Berlin");
    expect(tickLabels(start, hours, "Europe/Berlin").map((label) => label.slice(0, 5))).toEqual([
      "00:00",
      "12:00",
      "00:00",
      "12:00",
      "00:00",
    ]);
  });

  it("tell nanoseconds apart", () => {
    const start = base + 123_456_789n;
    const ticks = timeTicks(start, 0, 1e-5, 5, "UTC");
    expect(ticks.ticks.length).toBeGreaterThan(3);
    const labels = tickLabels(start, ticks, "UTC");
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels[0]).toContain(":00.123456790");
  });

  it("end, also for ranges that no calendar has", () => {
    expect(timeTicks(0n, -9e15, 9e15, 5, "UTC").ticks.length).toBeLessThanOrEqual(200);
    expect(timeTicks(0n, 5, 5, 5, "UTC").ticks).toEqual([]);
  });

  it("work before 1970 and in other zones", () => {
    const ticks = timeTicks(-1n, -36 * HOUR, 0, 5, "Europe/Berlin");
    expect(ticks.ticks.length).toBeGreaterThan(2);
    expect(formatTime(-1n, "UTC")).toBe("1969-12-31 23:59:59.999999999");
  });
});

describe("ticks of numbers", () => {
  it("are round", () => {
    expect(numberTicks(0, 97, 5, 10)).toEqual([0, 20, 40, 60, 80].filter((tick) => tick <= 97));
    expect(numberTicks(-0.3, 0.3, 5, 10)).toEqual([-0.2, 0, 0.2]);
    expect(numberTicks(0, 3 * 2 ** 20, 4, 2)).toEqual([0, 2 ** 20, 2 * 2 ** 20, 3 * 2 ** 20]);
    expect(niceStep(Number.NaN, 5, 10)).toBe(1);
  });

  it("are powers of ten on logarithmic axes", () => {
    expect(logarithmicTicks(0.5, 2000, 10)).toEqual([1, 10, 100, 1000]);
    expect(logarithmicTicks(2, 8, 4)).toEqual([2, 4, 6, 8]);
  });
});

describe("extents of axes", () => {
  it("contain zero if it is near or asked for", () => {
    expect(axisExtent({ min: 10, max: 100 }, false).min).toBe(0);
    expect(axisExtent({ min: 95, max: 100 }, false).min).toBeCloseTo(94.75);
    expect(axisExtent({ min: 95, max: 100 }, true).min).toBe(0);
    expect(axisExtent({ min: 7, max: 7 }, false)).toEqual({ min: 6.3, max: 7.7 });
    expect(axisExtent({ min: 1, max: 0 }, false)).toEqual({ min: 0, max: 1 });
    expect(logarithmicExtent({ min: 3, max: 200 })).toEqual({ min: 2, max: 300 });
    expect(logarithmicExtent({ min: 1, max: 0 })).toEqual({ min: 1, max: 10 });
  });
});
