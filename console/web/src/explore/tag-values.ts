/** The values of tags for the completion. */

import { type QueryLanguage, queryRows } from "../api/query";
import { quoteIdentifier, quoteInfluxQlIdentifier, quoteText, type Table } from "../api/schema";
import { onForget } from "../api/token";
import { type CacheInfo, tagKey } from "./schema-store";
import { isMeaningful, tokenize } from "./tokens";

/** Values that are suggested at most, and how long they are kept, in milliseconds. */
const MAX_VALUES = 200;
const KEPT_MS = 60_000;

/** Tags whose values are kept at most. */
const MAX_TAGS = 200;

/** A place at which the value of a tag is expected. */
export interface TagPlace {
  table: string;
  tag: string;
  /** Where the text that a value replaces begins. */
  from: number;
}

/** Returns the tag whose value is expected at a place of a statement, such as after `room = ` or in `room IN ('a', `. */
export function tagPlace(
  statement: string,
  place: number,
  language: QueryLanguage,
  tables: readonly Table[],
): TagPlace | undefined {
  const tokens = tokenize(statement, language);
  const at = tokens.find(({ start, text }) => start < place && place <= start + text.length);
  const isText = at?.kind === "text";
  if (at !== undefined && !isText && at.kind !== "space" && at.kind !== "symbol") {
    return undefined;
  }
  const from = isText ? at.start : place;
  const before = tokens.filter((token) => isMeaningful(token) && token.start + token.text.length <= from);
  const name = comparedName(before.map(({ text }) => text));
  if (name === undefined) {
    return undefined;
  }
  const tag = name.replace(/^"(.*)"$/s, "$1").replaceAll('""', '"');
  const named = new Set(tokens.filter(isMeaningful).map(({ text }) => text.replace(/^"(.*)"$/s, "$1")));
  const table = tables.find((candidate) => {
    return (
      named.has(candidate.name) && candidate.columns.some((column) => column.role === "tag" && column.name === tag)
    );
  });
  return table && { table: table.name, tag, from };
}

/** Returns the name that is compared at the end of some words: `room =`, `room IN ('a',`. */
function comparedName(words: readonly string[]): string | undefined {
  const last = words.at(-1) ?? "";
  if (["=", "!=", "<>", "=~", "!~"].includes(last) || last.toUpperCase() === "LIKE") {
    const isNot = words.at(-2)?.toUpperCase() === "NOT";
    return words.at(isNot ? -3 : -2);
  }
  if (last !== "(" && last !== ",") {
    return undefined;
  }
  const open = words.lastIndexOf("(");
  const isList = words.slice(open + 1).every((word, index) => (index % 2 === 0 ? /^'/.test(word) : word === ","));
  if (!isList || words[open - 1]?.toUpperCase() !== "IN") {
    return undefined;
  }
  return words[open - 2]?.toUpperCase() === "NOT" ? words[open - 3] : words[open - 2];
}

const kept = new Map<string, { atMs: number; values: Promise<string[]> }>();

onForget(() => kept.clear());

/** Returns values of a tag: those of a distinct value cache, if one has them, or else those that the table has. */
export async function tagValues(
  database: string,
  { table, tag }: Pick<TagPlace, "table" | "tag">,
  caches: readonly CacheInfo[],
): Promise<string[]> {
  const key = tagKey(database, table, tag);
  const known = kept.get(key);
  if (known !== undefined && Date.now() - known.atMs < KEPT_MS) {
    return known.values;
  }
  const values = readValues(database, table, tag, caches).catch(() => []);
  if (kept.size >= MAX_TAGS) {
    kept.clear();
  }
  kept.set(key, { atMs: Date.now(), values });
  return values;
}

async function readValues(
  database: string,
  table: string,
  tag: string,
  caches: readonly CacheInfo[],
): Promise<string[]> {
  const cache = caches.find((one) => one.kind === "distinct" && one.table === table && one.columns.includes(tag));
  if (cache !== undefined) {
    const column = quoteIdentifier(tag);
    const source = `distinct_cache(${quoteText(table)}, ${quoteText(cache.name)})`;
    const text = `SELECT DISTINCT ${column} AS value FROM ${source} ORDER BY 1 LIMIT ${MAX_VALUES}`;
    const rows = await queryRows<{ value: string | null }>(database, text);
    return rows.flatMap(({ value }) => (value === null ? [] : [value]));
  }
  const source = quoteInfluxQlIdentifier(table);
  const text = `SHOW TAG VALUES FROM ${source} WITH KEY = ${quoteInfluxQlIdentifier(tag)} LIMIT ${MAX_VALUES}`;
  const rows = await queryRows<{ value: string }>(database, text, "influxql");
  return rows.map(({ value }) => value);
}
