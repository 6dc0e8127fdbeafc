import { expect, test } from "vitest";
import { describeRange, parseTime, rangeError, rangeParameters, storedEnd, typedEnd } from "./range";

const NOW = Date.parse("2026-01-31T12:00:00Z");

test("ends_are_relative_or_moments_in_utc", () => {
  expect(parseTime("now", NOW)).toBe(NOW);
  expect(parseTime("now - 15m", NOW)).toBe(NOW - 15 * 60_000);
  expect(parseTime("now+1d", NOW)).toBe(NOW + 86_400_000);
  expect(parseTime("2026-01-31", NOW)).toBe(Date.parse("2026-01-31T00:00:00Z"));
  expect(parseTime("2026-01-31 12:30", NOW)).toBe(Date.parse("2026-01-31T12:30:00Z"));
  expect(parseTime("2026-01-31T12:30:00.5+02:00", NOW)).toBe(Date.parse("2026-01-31T10:30:00.5Z"));
  expect(["", "yesterday", "now-1x", "2026-13-01", "2026"].map((text) => parseTime(text, NOW))).toEqual(
    Array(5).fill(undefined),
  );
});

test("a_range_must_be_valid_and_in_order", () => {
  expect(rangeError({ from: "", to: "" }, NOW)).toBeUndefined();
  expect(rangeError({ from: "now-1h", to: "now" }, NOW)).toBeUndefined();
  expect(rangeError({ from: "now", to: "now-1h" }, NOW)).toContain("not before");
  expect(rangeError({ from: "x", to: "now" }, NOW)).toContain("start");
});

test("open_ends_become_the_limits_of_what_is_stored", () => {
  expect(rangeParameters({ from: "", to: "now" }, NOW)).toEqual({
    from: "1677-09-21T00:12:44Z",
    to: "2026-01-31T12:00:00Z",
  });
});

test("a_range_is_described_in_few_words", () => {
  expect(describeRange({ from: "now-1h", to: "now" })).toBe("Last hour");
  expect(describeRange({ from: "2026-01-31T12:00:00Z", to: "" })).toBe("2026-01-31 12:00 – end");
});

test("typed_moments_are_of_the_zone_of_the_page_and_links_keep_them_in_utc", () => {
  expect(parseTime("2026-07-01 12:30", NOW, "Europe/Berlin")).toBe(Date.parse("2026-07-01T10:30:00Z"));
  expect(parseTime("2026-07-01T12:30Z", NOW, "Europe/Berlin")).toBe(Date.parse("2026-07-01T12:30:00Z"));
  expect(storedEnd(" 2026-07-01 12:30 ", "Europe/Berlin")).toBe("2026-07-01T10:30:00Z");
  expect(["now-1h", "", "never"].map((text) => storedEnd(text, "Europe/Berlin"))).toEqual(["now-1h", "", "never"]);
  expect(typedEnd("2026-07-01T10:30:00Z", "Europe/Berlin")).toBe("2026-07-01 12:30");
  expect(typedEnd("2026-07-01T10:30:01.250Z", "UTC")).toBe("2026-07-01 10:30:01.250");
  expect(describeRange({ from: "2026-07-01T10:30:00Z", to: "now" }, "Europe/Berlin")).toBe("2026-07-01 12:30 – now");
});
