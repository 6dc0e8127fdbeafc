import { expect, test } from "vitest";
import { tokenize } from "./tokens";

function kinds(text: string, language: "sql" | "influxql" = "sql"): string[] {
  return tokenize(text, language)
    .filter(({ kind }) => kind !== "space")
    .map(({ kind, text }) => `${kind} ${text}`);
}

test("every_character_belongs_to_a_token", () => {
  for (const text of [
    "",
    "SELECT 'a''b', \"c\" -- d\n/* e",
    "'open",
    '"open',
    "$1 $from \u{1F331} é 1.5e-3 10m a::b",
    "\0\\",
  ]) {
    for (const language of ["sql", "influxql"] as const) {
      const tokens = tokenize(text, language);
      expect(tokens.map((token) => token.text).join("")).toBe(text);
      expect(tokens.every((token) => text.startsWith(token.text, token.start))).toBe(true);
    }
  }
});

test("quotes_hide_semicolons_comments_and_parameters", () => {
  expect(kinds(`SELECT 'a;--$b' , "c;d"`)).toEqual(["word SELECT", "text 'a;--$b'", "symbol ,", 'name "c;d"']);
});

test("a_backslash_escapes_a_quote_in_influxql_only", () => {
  expect(kinds(String.raw`'a\'`)).toEqual([String.raw`text 'a\'`]);
  expect(kinds(String.raw`'a\' b'`, "influxql")).toEqual([String.raw`text 'a\' b'`]);
});

test("a_slash_after_an_operator_begins_a_regular_expression_in_influxql", () => {
  expect(kinds("host =~ /a;b/ AND x / 2", "influxql")).toContain("regex /a;b/");
  expect(kinds("x / 2 / 3", "influxql")).not.toContain("regex / 2 /");
});
