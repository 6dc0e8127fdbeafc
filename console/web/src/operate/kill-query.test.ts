import { expect, test } from "vitest";
import { numberOf, readQueries } from "./kill-query";

const LISTED = readQueries({
  results: [
    {
      series: [
        {
          columns: ["qid", "query", "database", "duration", "status"],
          values: [
            [4, "SELECT 1", "home", "3s", "running"],
            [5, "SELECT 1", "garden", "2s", "running"],
            [9, "SELECT 1", "home", "1s", "running"],
          ],
        },
      ],
    },
  ],
});

test("a_query_has_the_number_at_its_place_among_those_with_its_text_and_database", () => {
  expect(numberOf(LISTED, "SELECT 1", "home", 0)).toBe(4);
  expect(numberOf(LISTED, "SELECT 1", "home", 1)).toBe(9);
  expect(numberOf(LISTED, "SELECT 1", "_internal", 1)).toBe(5);
});

test("a_query_that_has_ended_has_no_number", () => {
  expect(numberOf(LISTED, "SELECT 1", "home", -1)).toBeUndefined();
  expect(numberOf(LISTED, "SELECT 2", "home", 0)).toBeUndefined();
  expect(readQueries({ results: [{}] })).toEqual([]);
});
