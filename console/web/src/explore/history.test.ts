import { expect, test } from "vitest";
import { type HistoryEntry, withEntry } from "./history";

function entry(text: string, atMs = 0): HistoryEntry {
  return { text, language: "sql", database: "home", atMs };
}

test("a_repeated_query_moves_to_the_front", () => {
  const history = withEntry([entry("a", 1), entry("b", 2)], entry("b", 3));
  expect(history.map(({ text, atMs }) => [text, atMs])).toEqual([
    ["b", 3],
    ["a", 1],
  ]);
});

test("texts_that_look_like_a_token_are_not_kept", () => {
  expect(withEntry([], entry(`SELECT 'apiv3_${"x".repeat(20)}'`))).toEqual([]);
  expect(withEntry([], entry(`SELECT 'Bearer ${"x".repeat(20)}'`))).toEqual([]);
});

test("the_history_is_bounded_in_entries_and_characters", () => {
  let history: readonly HistoryEntry[] = [];
  for (let i = 0; i < 300; i++) {
    history = withEntry(history, entry(`${i} ${"word ".repeat(400)}`));
  }
  expect(history.length).toBeLessThanOrEqual(200);
  expect(history.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(200_000);
});
