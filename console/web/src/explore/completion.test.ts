import { expect, test } from "vitest";
import { type CompletionSchema, suggest } from "./completion";

const SCHEMA: CompletionSchema = {
  tables: [
    {
      name: "soil",
      columns: [
        { name: "bed", type: "Dictionary(Int32, Utf8)", role: "tag" },
        { name: "Odd name", type: "Float64", role: "field" },
        { name: "time", type: "Timestamp(ns)", role: "time" },
      ],
    },
    { name: "air", columns: [{ name: "humidity", type: "Float64", role: "field" }] },
  ],
  systemTables: [{ name: "queries", columns: [{ name: "query_text", type: "Utf8", role: "field" }] }],
  functions: [
    { name: "avg", signature: "avg(expression)", kind: "AGGREGATE" },
    { name: "last_cache", signature: "last_cache(…)", kind: "TABLE" },
  ],
};

/** Suggests at the `|` of a text. */
function labels(text: string, language: "sql" | "influxql" = "sql"): string[] {
  const place = text.indexOf("|");
  return suggest(text.replace("|", ""), place, language, SCHEMA)?.items.map(({ label }) => label) ?? [];
}

test("tables_and_table_functions_follow_from", () => {
  expect(labels("SELECT * FROM |")).toEqual(["soil", "air", "system.queries", "last_cache"]);
  expect(labels("SELECT * FROM soil JOIN a|")).toContain("air");
  expect(labels("SELECT * FROM soil, |")).toContain("air");
});

test("columns_of_the_mentioned_tables_come_first", () => {
  const found = labels("SELECT b| FROM soil");
  expect(found.slice(0, 3)).toEqual(["bed", "Odd name", "time"]);
  expect(found).not.toContain("humidity");
  expect(found).toContain("avg");
  expect(found).toContain("WHERE");
});

test("a_dot_offers_the_columns_of_its_table_or_alias", () => {
  expect(labels("SELECT s.| FROM soil AS s")).toEqual(["bed", "Odd name", "time"]);
  expect(labels("SELECT air.| FROM soil, air")).toEqual(["humidity"]);
  expect(labels("SELECT * FROM system.|")).toEqual(["queries"]);
});

test("names_that_are_no_plain_words_are_quoted", () => {
  const place = "SELECT ".length;
  const item = suggest("SELECT  FROM soil", place, "sql", SCHEMA)?.items.find(({ label }) => label === "Odd name");
  expect(item?.insert).toBe('"Odd name"');
});

test("texts_comments_and_numbers_have_no_suggestions", () => {
  expect(labels("SELECT 'b|' FROM soil")).toEqual([]);
  expect(labels("SELECT 1 -- b|\nFROM soil")).toEqual([]);
  expect(labels("SELECT 12|")).toEqual([]);
});

test("a_dollar_offers_the_time_range", () => {
  expect(labels("SELECT * FROM soil WHERE time > $|")).toEqual(["$from", "$to"]);
  expect(suggest("WHERE time > $fr", 16, "sql", SCHEMA)?.from).toBe(13);
});

test("influxql_offers_its_own_functions_and_no_system_tables", () => {
  expect(labels("SELECT | FROM soil", "influxql")).toContain("non_negative_derivative");
  expect(labels("SELECT * FROM |", "influxql")).toEqual(["soil", "air"]);
});
