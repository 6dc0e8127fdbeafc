import { expect, test } from "vitest";
import { matchScore } from "./commands";

test("a_command_matches_if_the_characters_occur_in_order", () => {
  expect(matchScore("Go to Explore", "gexp")).toBeDefined();
  expect(matchScore("Go to Explore", "pxe")).toBeUndefined();
  expect(matchScore("Run the query", "")).toBe(0);
});

test("closer_characters_match_better", () => {
  expect(matchScore("Format the query", "for") ?? 99).toBeLessThan(matchScore("Find other rows", "for") ?? 99);
});
