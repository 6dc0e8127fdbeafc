import { expect, test } from "vitest";
import { errorPlace } from "./error-place";

function marked(message: string, statement: string, language: "sql" | "influxql" = "sql"): string | undefined {
  const place = errorPlace(message, statement, language);
  return place && statement.slice(place.from, place.to);
}

test("the_line_and_column_of_a_syntax_error_are_found", () => {
  const message = 'SQL error: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")';
  expect(marked(message, "SELEC * FROM soil")).toBe("SELEC");
  const second = 'SQL error: TokenizerError("Unterminated string literal at Line: 2, Column: 17")';
  expect(marked(second, "SELECT sum(bed) FROM\n soil WHERE é = 'a")).toBe("'a");
});

test("a_place_beyond_the_end_is_the_last_character", () => {
  expect(marked("at Line: 9, Column: 99", "SELECT (")).toBe("(");
  expect(errorPlace("at Line: 1, Column: 1", "", "sql")).toEqual({ from: 0, to: 0 });
});

test("a_position_of_influxql_counts_bytes", () => {
  const message = "parsing error: invalid FROM clause, expected identifier or regular expression at pos 21";
  expect(marked(message, 'SELECT "é" AS b FROM 1', "influxql")).toBe("1");
});

test("an_unknown_name_is_found_in_the_statement", () => {
  expect(marked("Schema error: No field named foo.\nValid fields are soil.bed.", "SELECT 'foo', foo FROM soil")).toBe(
    "foo",
  );
  expect(marked('No field named soil."A b". Valid', 'SELECT "A b" FROM soil')).toBe('"A b"');
  expect(marked("Error during planning: table 'public.iox.nope' not found", "SELECT 1 FROM nope")).toBe("nope");
  expect(marked("Invalid function 'avgg'.\nDid you mean 'avg'?", "SELECT avgg(x) FROM t")).toBe("avgg");
});

test("a_message_without_a_place_has_none", () => {
  expect(marked("too many rows", "SELECT 1")).toBeUndefined();
});
