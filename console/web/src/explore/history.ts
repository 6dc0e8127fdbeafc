/** The history of queries of this browser. */

import { signal } from "@preact/signals";
import { QUERY_LANGUAGES, type QueryLanguage } from "../api/query";
import { onForget } from "../api/token";
import { readStored, writeStored } from "./storage";

/** A query that was run. */
export interface HistoryEntry {
  text: string;
  language: QueryLanguage;
  database: string;
  /** When it was run last, in milliseconds since the Unix epoch. */
  atMs: number;
}

/** The maximum number of queries in the history, and their maximum size in characters. */
const MAX_ENTRIES = 200;
const MAX_CHARS = 200_000;

/** Texts with something that looks like a token are not stored. */
const TOKEN = /apiv3_|(?:bearer|token)\s+[\w-]{16,}|[A-Za-z0-9+/_-]{64,}/i;

const KEY = "history";

/** The queries that were run, newest first. */
export const history = signal<readonly HistoryEntry[]>(
  typeof localStorage === "undefined" ? [] : (readStored(() => localStorage, KEY, isHistory) ?? []),
);

onForget((reason) => {
  if (reason === "signed out") {
    history.value = [];
  }
});

/** Adds a query to the history. */
export function remember(entry: HistoryEntry): void {
  history.value = withEntry(history.value, entry);
  writeStored(() => localStorage, KEY, history.value);
}

/** Removes all queries from the history. */
export function clearHistory(): void {
  history.value = [];
  writeStored(() => localStorage, KEY, []);
}

/** Puts back a history that was cleared. */
export function restoreHistory(entries: readonly HistoryEntry[]): void {
  history.value = entries;
  writeStored(() => localStorage, KEY, entries);
}

/** Returns a history with one more entry. A query that is in it already moves to the front. */
export function withEntry(entries: readonly HistoryEntry[], entry: HistoryEntry): readonly HistoryEntry[] {
  if (TOKEN.test(entry.text) || entry.text.length > MAX_CHARS) {
    return entries;
  }
  const isSame = (other: HistoryEntry) => {
    return other.text === entry.text && other.database === entry.database && other.language === entry.language;
  };
  const all = [entry, ...entries.filter((other) => !isSame(other))].slice(0, MAX_ENTRIES);
  let chars = 0;
  return all.filter(({ text }) => {
    chars += text.length;
    return chars <= MAX_CHARS;
  });
}

function isHistory(value: unknown): value is HistoryEntry[] {
  return Array.isArray(value) && value.every(isEntry);
}

function isEntry(value: unknown): value is HistoryEntry {
  const entry = value as Partial<HistoryEntry> | null;
  return (
    typeof entry === "object" &&
    entry !== null &&
    typeof entry.text === "string" &&
    typeof entry.database === "string" &&
    typeof entry.atMs === "number" &&
    QUERY_LANGUAGES.some((language) => language === entry.language)
  );
}
