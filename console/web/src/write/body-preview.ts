/**
 * What a text of line protocol would write: its tables with their columns, and its refused lines. Nothing is sent.
 *
 *     text --nextLine--> lines --parseLine (kept for each text of a line)--> checked against the tables --> Preview
 *
 * A refused line adds no columns, as on the server.
 */

import {
  type ColumnType,
  type LineIssue,
  type LineResult,
  nextLine,
  type ParsedLine,
  parseLine,
} from "./line-protocol";
import { type Precision, precisionName, resolvePrecision, toNanoseconds } from "./precision";

/** The columns of a table that exists, by name. */
export type ExistingTables = ReadonlyMap<string, ReadonlyMap<string, ColumnType>>;

export interface PreviewColumn {
  name: string;
  type: ColumnType;
  /** Whether the write would create the column. */
  isNew: boolean;
  /** The first value, as written. */
  example: string;
}

export interface PreviewTable {
  name: string;
  /** Whether the write would create the table. */
  isNew: boolean;
  rows: number;
  columns: PreviewColumn[];
  /** Nanoseconds since the Unix epoch; `undefined` if no row has a time of its own. */
  minTime: bigint | undefined;
  maxTime: bigint | undefined;
  /** Rows that get the time of the server. */
  rowsWithoutTime: number;
}

/** A refused line. The span is in the whole text. */
export interface BodyIssue extends LineIssue {
  /** The number of the line in the text, from 1. */
  textLine: number;
  /** The number of the line as the server counts: without blank lines and comments. */
  line: number;
}

export interface Preview {
  /** Lines without blank ones and comments. */
  lines: number;
  rows: number;
  tables: PreviewTable[];
  issues: BodyIssue[];
  /** Refused lines beyond those in `issues`. */
  moreIssues: number;
  /** The units of the timestamps that occur, if the precision is `auto`. */
  units: string[];
}

/** Maximum number of refused lines that a preview lists. */
export const MAX_ISSUES = 1_000;

/** Maximum number of lines whose parse is kept from one change of the text to the next. */
const MAX_KEPT_LINES = 50_000;

const RESERVED = new Set(["time", "__chunk_order"]);

interface TableState extends PreviewTable {
  existing: ReadonlyMap<string, ColumnType> | undefined;
  byName: Map<string, PreviewColumn>;
}

/** Previews a text that changes: lines that were parsed before are not parsed again. */
export class BodyPreview {
  #parsed = new Map<string, LineResult>();

  /** Returns the parse of a line. */
  parse(text: string): LineResult {
    let result = this.#parsed.get(text);
    if (result === undefined) {
      if (this.#parsed.size >= MAX_KEPT_LINES) {
        this.#parsed.clear();
      }
      result = parseLine(text);
      this.#parsed.set(text, result);
    }
    return result;
  }

  /** Returns the preview of a text. `existing`: the tables of the database, as far as they are known. */
  preview(text: string, precision: Precision, existing: ExistingTables): Preview {
    const body = new BodyState(precision, existing);
    const positions = new LineNumbers(text);
    for (let span = nextLine(text, 0); span !== undefined; span = nextLine(text, span.next)) {
      const issue = body.add(this.parse(text.slice(span.start, span.end)));
      if (issue !== undefined) {
        const from = span.start + issue.from;
        body.report({ ...issue, from, to: span.start + issue.to, line: body.lines, textLine: positions.at(from) });
      }
    }
    return body.finish();
  }
}

/** Counts newlines up to positions that grow. */
class LineNumbers {
  #at = 0;
  #line = 1;

  constructor(readonly text: string) {}

  at(position: number): number {
    for (;;) {
      const newline = this.text.indexOf("\n", this.#at);
      if (newline === -1 || newline >= position) {
        return this.#line;
      }
      this.#at = newline + 1;
      this.#line += 1;
    }
  }
}

class BodyState {
  lines = 0;
  #rows = 0;
  #tables = new Map<string, TableState>();
  #issues: BodyIssue[] = [];
  #moreIssues = 0;
  #units = new Set<string>();

  constructor(
    readonly precision: Precision,
    readonly existing: ExistingTables,
  ) {}

  /** Adds a line. Returns why it is refused. */
  add(result: LineResult): LineIssue | undefined {
    this.lines += 1;
    if (result.line === undefined) {
      return result.issue;
    }
    const { line } = result;
    const table = this.#table(line.measurement);
    const added: PreviewColumn[] = [];
    const issue = checkColumns(table, line, added) ?? this.#checkTime(line);
    if (issue !== undefined) {
      return issue;
    }
    this.#accept(table, line, added);
    return undefined;
  }

  report(issue: BodyIssue): void {
    if (this.#issues.length < MAX_ISSUES) {
      this.#issues.push(issue);
    } else {
      this.#moreIssues += 1;
    }
  }

  finish(): Preview {
    const tables = [...this.#tables.values()].filter((table) => table.rows > 0);
    return {
      lines: this.lines,
      rows: this.#rows,
      tables: tables.map(({ existing: _, byName: __, ...table }) => table),
      issues: this.#issues,
      moreIssues: this.#moreIssues,
      units: [...this.#units],
    };
  }

  #table(name: string): TableState {
    let table = this.#tables.get(name);
    if (table === undefined) {
      const existing = this.existing.get(name);
      table = {
        name,
        isNew: existing === undefined,
        rows: 0,
        columns: [],
        minTime: undefined,
        maxTime: undefined,
        rowsWithoutTime: 0,
        existing,
        byName: new Map(),
      };
      this.#tables.set(name, table);
    }
    return table;
  }

  #checkTime(line: ParsedLine): LineIssue | undefined {
    if (line.timestamp === undefined || toNanoseconds(this.precision, line.timestamp.value) !== undefined) {
      return undefined;
    }
    const { from, to, value } = line.timestamp;
    const message = `timestamp, ${value}, out of range for precision: ${precisionName(this.precision)}`;
    return { from, to, message };
  }

  #accept(table: TableState, line: ParsedLine, added: PreviewColumn[]): void {
    this.#rows += 1;
    table.rows += 1;
    for (const column of added) {
      table.byName.set(column.name, column);
      table.columns.push(column);
    }
    const time = line.timestamp && toNanoseconds(this.precision, line.timestamp.value);
    if (line.timestamp === undefined || time === undefined) {
      table.rowsWithoutTime += 1;
      return;
    }
    this.#units.add(resolvePrecision(this.precision, line.timestamp.value));
    table.minTime = table.minTime === undefined || time < table.minTime ? time : table.minTime;
    table.maxTime = table.maxTime === undefined || time > table.maxTime ? time : table.maxTime;
  }
}

/** Checks the columns of a line against its table, and collects those that the text has not named before. */
function checkColumns(table: TableState, line: ParsedLine, added: PreviewColumn[]): LineIssue | undefined {
  const seen = new Set<string>();
  for (const tag of line.tags) {
    const issue = checkColumn(table, tag, "tag", tag.value, added);
    if (issue !== undefined) {
      return issue;
    }
    if (seen.has(tag.name)) {
      return { ...spanOf(tag), message: `Must not contain duplicate tags, but '${tag.name}' was repeated` };
    }
    seen.add(tag.name);
  }
  for (const field of line.fields) {
    const issue = checkColumn(table, field, field.type, field.text, added);
    if (issue !== undefined) {
      return issue;
    }
    if (seen.has(field.name)) {
      const message = `invalid line protocol - multiple instances of '${field.name}' field found`;
      return { ...spanOf(field), message };
    }
    seen.add(field.name);
  }
  return undefined;
}

function spanOf({ from, to }: { from: number; to: number }): { from: number; to: number } {
  return { from, to };
}

function checkColumn(
  table: TableState,
  place: { name: string; from: number; to: number },
  type: ColumnType,
  example: string,
  added: PreviewColumn[],
): LineIssue | undefined {
  const { name } = place;
  const known =
    table.byName.get(name)?.type ?? added.find((column) => column.name === name)?.type ?? table.existing?.get(name);
  if (known !== undefined && known !== type) {
    return { ...spanOf(place), message: typeConflict(name, typeName(known), type) };
  }
  if (known === undefined && RESERVED.has(name)) {
    const tableExists = table.existing !== undefined || table.rows > 0;
    const isTime = name === "time" && tableExists;
    const message = isTime ? typeConflict(name, "timestamp", type) : `'${name}' is a reserved column`;
    return { ...spanOf(place), message };
  }
  if (!table.byName.has(name) && !added.some((column) => column.name === name)) {
    added.push({ name, type, isNew: !table.existing?.has(name), example });
  }
  return undefined;
}

function typeName(type: ColumnType): string {
  return type === "tag" ? "tag" : `field::${type}`;
}

function typeConflict(name: string, expected: string, got: ColumnType): string {
  const type = `iox::column_type::${expected}`;
  return `invalid column type for column '${name}', expected ${type}, got iox::column_type::${typeName(got)}`;
}
