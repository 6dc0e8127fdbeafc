import { expect, test } from "vitest";
import { viewQuery } from "./views";

test("a_query_of_explore_becomes_one_that_a_view_can_have", () => {
  const chart =
    "SELECT date_bin($interval, time) AS time, room, avg(temp) AS temp\nFROM home\n" +
    "WHERE time >= $from AND time < $to\nGROUP BY 1, 2 ORDER BY 1";
  expect(viewQuery(chart)).toBe(
    "SELECT date_bin(INTERVAL '1 hour', time) AS time, room, avg(temp) AS temp\nFROM home\nGROUP BY 1, 2",
  );
  const filtered =
    "SELECT 1 FROM home WHERE time >= $from AND time < $to AND room = 'a' GROUP BY 1 ORDER BY 1 DESC LIMIT 5;";
  expect(viewQuery(filtered)).toBe("SELECT 1 FROM home WHERE room = 'a' GROUP BY 1");
  expect(viewQuery("SELECT first_value(x ORDER BY time) FROM t GROUP BY 1")).toBe(
    "SELECT first_value(x ORDER BY time) FROM t GROUP BY 1",
  );
});
