import { expect, test } from "vitest";
import { placeholders, splitStatements, statementAt, statementKind } from "./statements";

test("statements_end_at_semicolons_outside_of_quotes_and_comments", () => {
  const text = "SELECT ';'; -- a;b\n  SELECT 2 ;\n\n;";
  expect(splitStatements(text, "sql")).toEqual([
    { text: "SELECT ';'", start: 0 },
    { text: "-- a;b\n  SELECT 2", start: 12 },
  ]);
});

test("the_statement_at_the_cursor_is_the_one_that_contains_it_or_the_one_before", () => {
  const text = "SELECT 1;\nSELECT 2;\n";
  expect(statementAt(text, 3, "sql")?.text).toBe("SELECT 1");
  expect(statementAt(text, 12, "sql")?.text).toBe("SELECT 2");
  expect(statementAt(text, text.length, "sql")?.text).toBe("SELECT 2");
  expect(statementAt("  ", 0, "sql")).toBeUndefined();
});

test("placeholders_are_listed_once_and_not_from_texts", () => {
  expect(placeholders("SELECT $b, '$c' WHERE a > $from AND b = $b", "sql")).toEqual(["b", "from"]);
});

test("statements_that_change_data_are_recognised", () => {
  const changes = ["DELETE FROM a", "/* x */ delete from a", "COPY (SELECT 1) TO 'x'", "EXPLAIN ANALYZE DELETE FROM a"];
  expect(changes.map((text) => statementKind(text, "sql"))).toEqual(changes.map(() => "change"));
  expect(statementKind("SELECT * INTO b FROM a", "influxql")).toBe("change");
  expect(statementKind("DROP MEASUREMENT a", "influxql")).toBe("change");
  expect(statementKind("SELECT 'DELETE'", "sql")).toBe("read");
  expect(statementKind("EXPLAIN DELETE FROM a", "sql")).toBe("explain");
  expect(statementKind("WITH x AS (SELECT 1) SELECT * FROM x", "sql")).toBe("read");
});
