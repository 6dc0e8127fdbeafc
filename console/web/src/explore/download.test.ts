import { expect, test } from "vitest";
import { fileName } from "./download";

test("the_name_of_a_file_has_no_characters_that_a_system_refuses", () => {
  const now = new Date("2026-01-31T12:00:00Z");
  expect(fileName("home", "csv", now)).toBe("home-2026-01-31-120000.csv");
  expect(fileName("../../etc/<a>\u202e", "csv", now)).toBe("etc-a-2026-01-31-120000.csv");
  expect(fileName("/", "csv", now)).toBe("result-2026-01-31-120000.csv");
  expect(fileName("x".repeat(1000), "csv", now).length).toBeLessThan(100);
});
