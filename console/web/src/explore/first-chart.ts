/** The query that draws a table: one number over time, with a line for each value of one tag. */

import { type Column, quoteIdentifier, type Table } from "../api/schema";
import { quoteIfNeeded } from "./names";

/** Lines of a first chart at most. */
export const MAX_LINES = 50;

/** The newest rows in which the values of tags are counted. */
const SAMPLE_ROWS = 10_000;

/** Fields without a tag that are drawn together, if they have the same unit. */
const MAX_FIELDS = 4;

/** Ends of names that say in which unit a field is. */
const UNITS =
  /(?:^|[_.-])(bytes|percent|pct|seconds|secs|ms|us|ns|celsius|fahrenheit|kelvin|watts|volts|amps|hz|rpm|pa|hpa|ppm|count|total)$/i;

/** A query for a first chart. */
export interface FirstChart {
  text: string;
  /** What the chart leaves out. */
  note: string;
}

/** The numbers of different values of tags among the newest rows. */
export type TagCounts = ReadonlyMap<string, number>;

/** Returns a query for the numbers of values of the tags in the newest rows of the range; `undefined` without tags. */
export function sampleQuery(table: Table): string | undefined {
  const tags = tagsOf(table).map(({ name }) => quoteIdentifier(name));
  if (tags.length === 0) {
    return undefined;
  }
  const counts = tags.map((tag) => `count(DISTINCT ${tag}) AS ${tag}`).join(", ");
  const rows = `SELECT ${tags.join(", ")} FROM ${quoteIdentifier(table.name)} WHERE time >= $from AND time < $to`;
  return `SELECT ${counts} FROM (${rows} ORDER BY time DESC LIMIT ${SAMPLE_ROWS})`;
}

/** Returns the first chart of a table; `undefined` if it has no numbers. */
export function firstChart(table: Table, tags: TagCounts): FirstChart | undefined {
  const fields = numberFields(table);
  const [first] = fields;
  if (first === undefined) {
    return undefined;
  }
  const tag = splittingTag(table, tags);
  const drawn = tag === undefined ? sameUnit(fields, first) : [first];
  const count = tag === undefined ? 1 : (tags.get(tag) ?? 1);
  return { text: chartQuery(table, drawn, tag, count), note: noteOf(table, drawn, tag, count) };
}

/** Returns the tag with the fewest values, of those with more than one. */
function splittingTag(table: Table, tags: TagCounts): string | undefined {
  const counted = tagsOf(table).flatMap(({ name }): [string, number][] => {
    const count = tags.get(name) ?? 0;
    return count > 1 ? [[name, count]] : [];
  });
  return counted.sort(([, left], [, right]) => left - right)[0]?.[0];
}

function chartQuery(table: Table, fields: readonly Column[], tag: string | undefined, count: number): string {
  const source = quoteIfNeeded(table.name, "sql");
  const bin = "date_bin($interval, time) AS time";
  const range = "time >= $from AND time < $to";
  if (tag === undefined) {
    return `SELECT ${bin}, ${valuesOf(fields, true)}\nFROM ${source}\nWHERE ${range}\nGROUP BY 1 ORDER BY 1`;
  }
  const name = quoteIfNeeded(tag, "sql");
  const first = `SELECT DISTINCT ${name} FROM ${source} WHERE ${range} ORDER BY 1 LIMIT ${MAX_LINES}`;
  const limit = count > MAX_LINES ? `\n  AND ${name} IN (${first})` : "";
  return `SELECT ${bin}, ${name}, ${valuesOf(fields, false)}\nFROM ${source}\nWHERE ${range}${limit}\nGROUP BY 1, 2 ORDER BY 1`;
}

/** Returns the values of a query. A single line has its extremes beside it, which a mean alone would hide. */
function valuesOf(fields: readonly Column[], isSingle: boolean): string {
  const names = fields.map(({ name }) => quoteIfNeeded(name, "sql"));
  const [name] = names;
  return isSingle && names.length === 1
    ? `avg(${name}) AS mean, min(${name}) AS lowest, max(${name}) AS highest`
    : names.map((field) => `avg(${field}) AS ${field}`).join(", ");
}

function noteOf(table: Table, drawn: readonly Column[], tag: string | undefined, count: number): string {
  const notes: string[] = [];
  if (count > MAX_LINES) {
    notes.push(`The first ${MAX_LINES} values of ${tag}; there are more.`);
  }
  const averaged = tagsOf(table).flatMap(({ name }) => (name === tag ? [] : [name]));
  if (averaged.length > 0) {
    notes.push(`Means over ${listOf(averaged)}.`);
  }
  const others = numberFields(table).flatMap(({ name }) => (drawn.some((field) => field.name === name) ? [] : [name]));
  if (others.length > 0) {
    notes.push(`Not drawn: ${listOf(others)}.`);
  }
  return notes.join(" ");
}

/** Names that a note lists. */
const MAX_NAMED = 6;

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMED).map((name) => `\u2068${name.slice(0, 60)}\u2069`);
  return names.length > MAX_NAMED ? `${shown.join(", ")} and ${names.length - MAX_NAMED} more` : shown.join(", ");
}

function sameUnit(fields: readonly Column[], first: Column): Column[] {
  const unit = unitOf(first.name);
  const same = unit === undefined ? [] : fields.filter(({ name }) => name !== first.name && unitOf(name) === unit);
  return [first, ...same].slice(0, MAX_FIELDS);
}

function unitOf(name: string): string | undefined {
  return UNITS.exec(name)?.[1]?.toLowerCase();
}

function numberFields(table: Table): Column[] {
  return table.columns.filter(({ role, type }) => role === "field" && /^(Float|Int|UInt)/.test(type));
}

function tagsOf(table: Table): Column[] {
  return table.columns.filter(({ role }) => role === "tag");
}
