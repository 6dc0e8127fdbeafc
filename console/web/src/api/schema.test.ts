import { expect, test } from "vitest";
import { quoteIdentifier, quoteInfluxQlIdentifier, quoteText } from "./schema";

test("quotes_in_names_and_texts_are_doubled", () => {
  expect(quoteIdentifier('a"b; DROP')).toBe('"a""b; DROP"');
  expect(quoteText("it's")).toBe("'it''s'");
});

test("influxql_escapes_by_backslash", () => {
  expect(quoteInfluxQlIdentifier('a"b\\c\n')).toBe(String.raw`"a\"b\\c\n"`);
});
