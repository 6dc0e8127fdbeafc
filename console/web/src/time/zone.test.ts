import { afterEach, expect, test } from "vitest";
import { formatTime } from "../api/format-value";
import {
  chooseZone,
  formatAnswerTime,
  formatOffset,
  formatWall,
  fromWall,
  isZone,
  timeInZone,
  toWall,
  zone,
} from "./zone";

const BERLIN = "Europe/Berlin";

afterEach(() => chooseZone("utc"));

test("clocks_of_a_zone_follow_its_rules_of_summer_time", () => {
  const summer = Date.parse("2026-07-01T12:00:00Z");
  expect(formatWall(summer, BERLIN)).toBe("2026-07-01 14:00:00");
  expect(formatWall(Date.parse("2026-01-01T12:00:00Z"), BERLIN, "minutes")).toBe("2026-01-01 13:00");
  expect([summer, Date.parse("1969-12-31T23:59:59.5Z")].map((ms) => formatOffset(ms, BERLIN))).toEqual([
    "+02:00",
    "+01:00",
  ]);
  expect(formatOffset(summer, "America/St_Johns")).toBe("-02:30");
  expect(formatOffset(summer, "UTC")).toBe("Z");
});

test("every_moment_is_found_again_from_its_clocks_except_for_the_hour_that_clocks_show_twice", () => {
  const changes = ["2026-03-28T12:00:00Z", "2026-04-04T00:00:00Z", "2026-10-24T12:00:00Z"].map((day) =>
    Date.parse(day),
  );
  for (const [name, start] of [BERLIN, "Australia/Lord_Howe", "UTC"].flatMap((zone) =>
    changes.map((day): [string, number] => [zone, day]),
  )) {
    for (let at = start; at < start + 2 * 86_400_000; at += 900_000) {
      const found = fromWall(toWall(at, name), name);
      expect([0, 1_800_000, 3_600_000]).toContain(at - found);
      expect(toWall(found, name)).toBe(toWall(at, name));
    }
  }
});

test("times_in_a_zone_name_their_offset_so_that_they_are_unambiguous", () => {
  expect(formatTime(1_700_000_000_000_000_001n, BERLIN)).toBe("2023-11-14T23:13:20.000000001+01:00");
  expect(formatTime(1_700_000_000_000_000_000n)).toBe("2023-11-14T22:13:20Z");
});

test("answers_of_the_server_are_in_utc_whether_they_say_so_or_not", () => {
  expect(formatAnswerTime("2026-07-01T12:00:00.123", BERLIN)).toBe("2026-07-01 14:00:00");
  expect(formatAnswerTime("2026-07-01T12:00:00.123456", BERLIN, "milliseconds")).toBe("2026-07-01 14:00:00.123");
  expect(formatAnswerTime("2026-07-01T12:00:00Z", BERLIN)).toBe("2026-07-01 14:00:00");
  expect(formatAnswerTime("", BERLIN)).toBe("");
});

test("an_answer_keeps_all_its_digits_in_a_zone_and_any_other_text_stays", () => {
  expect(timeInZone("2026-07-01T22:00:00.123456789", BERLIN)).toBe("2026-07-02T00:00:00.123456789+02:00");
  expect(timeInZone("2026-07-01T22:00:00.5Z", "UTC")).toBe("2026-07-01T22:00:00.5Z");
  expect(["", "herbs", "2026-13-01T00:00:00"].map((text) => timeInZone(text, BERLIN))).toEqual([
    "",
    "herbs",
    "2026-13-01T00:00:00",
  ]);
});

test("only_names_of_zones_are_chosen", () => {
  chooseZone("Europe/Nowhere");
  expect(zone.value).toBe("UTC");
  chooseZone(BERLIN);
  expect(zone.value).toBe(BERLIN);
  expect([isZone("UTC"), isZone(""), isZone("<script>")]).toEqual([true, false, false]);
});
