import { expect, test } from "vitest";
import type { Table } from "../api/schema";
import { textLiteral } from "./names";
import { tagPlace } from "./tag-values";

const TABLES: Table[] = [
  {
    name: "home",
    columns: [
      { name: "room", role: "tag", type: "Dictionary(Int32, Utf8)" },
      { name: "a b", role: "tag", type: "Dictionary(Int32, Utf8)" },
      { name: "temp", role: "field", type: "Float64" },
    ],
  },
];

function placeOf(text: string, language: "sql" | "influxql" = "sql") {
  const at = text.indexOf("|");
  return tagPlace(text.replace("|", ""), at, language, TABLES);
}

test("values_are_expected_after_a_comparison_with_a_tag", () => {
  const from = "SELECT temp FROM home WHERE room = ".length;
  const room = { table: "home", tag: "room", from };
  expect(placeOf("SELECT temp FROM home WHERE room = |")).toEqual(room);
  expect(placeOf("SELECT temp FROM home WHERE room = 'Ki|'")).toEqual(room);
  expect(placeOf("SELECT temp FROM home WHERE room = 'Ki|", "influxql")).toEqual(room);
  expect(placeOf('SELECT temp FROM home WHERE "a b" != |')).toMatchObject({ tag: "a b" });
  expect(placeOf("SELECT temp FROM home WHERE room NOT IN ('a', '|")).toMatchObject({ tag: "room" });
  expect(placeOf("SELECT temp FROM home WHERE room IN (|")).toMatchObject({ tag: "room" });
});

test("no_values_are_expected_elsewhere", () => {
  const places = ["temp = |", "room = 'a' AND |", "count(room, |", "room IN (SELECT |", "room|", "$room = |"];
  expect(places.map((text) => placeOf(`SELECT 1 FROM home WHERE ${text}`))).toEqual(places.map(() => undefined));
  expect(placeOf("SELECT 1 FROM other WHERE room = |")).toBeUndefined();
});

test("values_are_literals_of_the_language", () => {
  expect([textLiteral("it's", "sql"), textLiteral("it's \\", "influxql")]).toEqual(["'it''s'", String.raw`'it\'s \\'`]);
});
