import { expect, test } from "vitest";
import { formatDuration, formatTime } from "./format-value";

test("times_have_a_fraction_of_0_3_6_or_9_digits", () => {
  expect(formatTime(0n)).toBe("1970-01-01T00:00:00Z");
  expect(formatTime(1_700_000_000_120_000_000n)).toBe("2023-11-14T22:13:20.120Z");
  expect(formatTime(1_700_000_000_000_001_000n)).toBe("2023-11-14T22:13:20.000001Z");
  expect(formatTime(1_700_000_000_000_000_001n)).toBe("2023-11-14T22:13:20.000000001Z");
  expect(formatTime(-1n)).toBe("1969-12-31T23:59:59.999999999Z");
  expect(formatTime(-(2n ** 63n))).toBe("1677-09-21T00:12:43.145224192Z");
});

test("durations_have_a_unit_that_fits", () => {
  expect([999, 1_500, 20e6, 90e9, 7 * 86_400e9].map(formatDuration)).toEqual([
    "999 ns",
    "1.5 µs",
    "20 ms",
    "1.5 min",
    "7 d",
  ]);
});
