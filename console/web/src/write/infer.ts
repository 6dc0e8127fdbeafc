/** Columns of CSV and JSON lines, with the types that the server infers from the first rows. */

import type { FieldType } from "./line-protocol";
import { ownValue } from "./own-value";
import { csvCells, csvRecords } from "./records";

/** A column of a file. */
export interface FileColumn {
  name: string;
  type: FieldType | "time" | "other";
  /** A value of the first rows. */
  example: string;
  /** Whether the file itself says that the column is a tag. */
  isTag?: boolean;
}

/** What the first rows of a file show. */
export interface FileSample {
  columns: FileColumn[];
  /** The first rows, as text; `undefined` for an absent value. */
  rows: (string | undefined)[][];
  /** Rows that can't be read, with their number from 1. */
  issues: { row: number; message: string }[];
  /** Whether the rows name their tables themselves. */
  namesTables: boolean;
  /** The number of rows of the whole file, if the file says so. */
  totalRows?: number;
}

/** The number of rows from which the server infers types. */
export const SAMPLE_ROWS = 8_192;

/** The number of rows that a preview shows. */
export const SHOWN_ROWS = 20;

/** Maximum number of unreadable rows that a preview lists. */
const MAX_ISSUES = 100;

/** Returns the type of the text of a CSV cell. */
export function cellType(text: string): FieldType {
  if (/^[+-]?\d+$/.test(text)) {
    const value = BigInt(text.replace(/^\+/, ""));
    const fits = value >= -(1n << 63n) && value < 1n << 63n;
    return fits ? "integer" : value > 0n && value < 1n << 64n ? "uinteger" : "float";
  }
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
    return "float";
  }
  return /^(true|false)$/i.test(text) ? "boolean" : "string";
}

/** Returns a type that can hold the values of both. */
export function commonType(left: FieldType | undefined, right: FieldType): FieldType {
  if (left === undefined || left === right) {
    return right;
  }
  const isNumber = (type: FieldType) => type === "integer" || type === "uinteger" || type === "float";
  return isNumber(left) && isNumber(right) ? "float" : "string";
}

/** Reads the columns of CSV from the start of a file. */
export function sampleCsv(text: string, isWhole: boolean): FileSample {
  const records: string[] = [];
  for (const { from, to } of csvRecords(text, isWhole)) {
    const record = text.slice(from, to);
    if (record.trim() !== "") {
      records.push(record);
    }
    if (records.length > SAMPLE_ROWS) {
      break;
    }
  }
  const isAnnotated = records[0]?.startsWith("#") ?? false;
  const head = isAnnotated ? records.findIndex((record) => !record.startsWith("#")) : 0;
  const header = csvCells(records[head] ?? "");
  const rows = head < 0 ? [] : records.slice(head + 1).filter((record) => !isAnnotated || !record.startsWith("#"));
  return isAnnotated
    ? annotatedSample(records.slice(0, Math.max(head, 0)), header, rows)
    : plainSample(header, rows.map(csvCells));
}

function plainSample(header: string[], rows: string[][]): FileSample {
  const issues: FileSample["issues"] = [];
  const types: (FieldType | undefined)[] = header.map(() => undefined);
  rows.forEach((cells, index) => {
    if (cells.length !== header.length) {
      if (issues.length < MAX_ISSUES) {
        issues.push({ row: index + 1, message: `${cells.length} cells, but the header has ${header.length}` });
      }
      return;
    }
    cells.forEach((cell, column) => {
      if (cell !== "") {
        types[column] = commonType(types[column], cellType(cell));
      }
    });
  });
  const columns = header.map((name, index) => ({
    name,
    type: types[index] ?? ("string" as const),
    example: rows.find((cells) => (cells[index] ?? "") !== "")?.[index] ?? "",
  }));
  return { columns, rows: shownRows(rows), issues, namesTables: false };
}

function shownRows(rows: string[][]): (string | undefined)[][] {
  return rows.slice(0, SHOWN_ROWS).map((cells) => cells.map((cell) => (cell === "" ? undefined : cell)));
}

const ANNOTATED_TYPES: Record<string, FileColumn["type"]> = {
  double: "float",
  long: "integer",
  unsignedLong: "uinteger",
  boolean: "boolean",
  string: "string",
  field: "string",
  tag: "string",
  measurement: "string",
  time: "time",
};

/** The types of annotated CSV are those of its `#datatype`. */
function annotatedSample(annotations: string[], header: string[], records: string[]): FileSample {
  const cellsOf = (name: string) => {
    const found = annotations.find((record) => record.startsWith(name));
    return found === undefined ? [] : csvCells(found.slice(name.length).replace(/^[ ,]/, ","));
  };
  const offset = header[0] === "" ? 0 : 1;
  const datatypes = cellsOf("#datatype");
  const groups = cellsOf("#group");
  const rows = records.map(csvCells);
  const kept: number[] = [];
  const columns = header.flatMap((name, index): FileColumn[] => {
    const datatype = datatypes[index + offset] ?? "";
    if (name === "" || datatype === "ignored") {
      return [];
    }
    kept.push(index);
    const type = datatype.startsWith("dateTime") ? "time" : (ANNOTATED_TYPES[datatype] ?? "other");
    const isTag = datatype === "tag" || groups[index + offset] === "true";
    const example = rows.find((cells) => (cells[index] ?? "") !== "")?.[index] ?? "";
    return [{ name, type, example, isTag }];
  });
  const shown = rows.slice(0, SHOWN_ROWS).map((cells) => kept.map((index) => cells[index] ?? ""));
  return { columns, rows: shownRows(shown), issues: [], namesTables: true };
}

/** Reads the columns of JSON lines from the start of a file. */
export function sampleJsonLines(text: string, isWhole: boolean): FileSample {
  const end = isWhole ? text.length : text.lastIndexOf("\n") + 1;
  const lines = text.slice(0, end).split("\n");
  const columns = new Map<string, FileColumn & { seen: boolean }>();
  const issues: FileSample["issues"] = [];
  const objects: Record<string, unknown>[] = [];
  let row = 0;
  for (const line of lines) {
    if (line.trim() === "") {
      continue;
    }
    row += 1;
    if (row > SAMPLE_ROWS) {
      break;
    }
    const parsed = parseObject(line);
    if (typeof parsed === "string") {
      if (issues.length < MAX_ISSUES) {
        issues.push({ row, message: parsed });
      }
      continue;
    }
    if (objects.length < SHOWN_ROWS) {
      objects.push(parsed);
    }
    addObject(columns, parsed);
  }
  const list = [...columns.values()];
  const rows = objects.map((object) => list.map(({ name }) => valueText(ownValue(object, name))));
  return { columns: list.map(({ seen: _, ...column }) => column), rows, issues, namesTables: false };
}

/** Returns the object of a line, or why it has none. */
function parseObject(line: string): Record<string, unknown> | string {
  try {
    const parsed: unknown = JSON.parse(line);
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    return isObject ? (parsed as Record<string, unknown>) : "not a JSON object";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function addObject(columns: Map<string, FileColumn & { seen: boolean }>, object: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(object)) {
    const column = columns.get(name) ?? { name, type: "string" as FileColumn["type"], example: "", seen: false };
    columns.set(name, column);
    if (value === null) {
      continue;
    }
    const type = jsonType(value);
    if (!column.seen) {
      column.type = type;
      column.example = valueText(value) ?? "";
      column.seen = true;
    } else if (type === "other" || column.type === "other") {
      column.type = "other";
    } else if (column.type !== "time" && type !== "time") {
      column.type = commonType(column.type, type);
    }
  }
}

function jsonType(value: unknown): FileColumn["type"] {
  switch (typeof value) {
    case "number":
      return Number.isInteger(value) ? "integer" : "float";
    case "boolean":
      return "boolean";
    case "string":
      return "string";
    default:
      return "other";
  }
}

function valueText(value: unknown): string | undefined {
  if (value === null || value === undefined) {
    return undefined;
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The names under which a file usually has its time, best first. */
const TIME_NAMES = ["time", "timestamp", "_time", "ts", "datetime", "date", "at"];

/** Returns the column that most likely has the times. */
export function guessTimeColumn(columns: FileColumn[]): string | undefined {
  for (const name of TIME_NAMES) {
    const found = columns.find((column) => column.name.toLowerCase() === name);
    if (found !== undefined) {
      return found.name;
    }
  }
  return columns.find((column) => column.type === "time")?.name;
}

/** Returns whether a column looks like a tag: a text with few different values in the shown rows. */
export function looksLikeTag(sample: FileSample, index: number): boolean {
  const column = sample.columns[index];
  if (column === undefined || column.type !== "string") {
    return false;
  }
  const values = sample.rows.map((row) => row[index]).filter((value) => value !== undefined);
  const isShort = values.every((value) => value.length <= 64);
  return column.isTag === true || (isShort && new Set(values).size * 2 <= Math.max(values.length, 2));
}
