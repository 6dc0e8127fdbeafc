/** Rewrites the CSV of the server: another separator, decimal comma, and times in the zone of the page. */

import { formatTime } from "../api/format-value";
import type { QueryResult, ResultColumn } from "../api/query";
import { timeInZone, UTC } from "../time/zone";

/** The form of a CSV file. */
export interface CsvForm {
  /** The separator of cells. With a semicolon, the decimal mark is a comma, as spreadsheets of such countries expect. */
  separator: "," | ";";
  /** The name of the zone of times. */
  zone: string;
}

/** Returns whether a form is that of the server. */
export function isServerForm({ separator, zone }: CsvForm): boolean {
  return separator === "," && zone === UTC;
}

/** Returns a result as CSV, for languages whose answers the server does not write as CSV. */
export function toCsv({ columns, rows }: Pick<QueryResult, "columns" | "rows">): string {
  const cell = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [columns.map(({ name }) => cell(name)).join(",")];
  for (let row = 0; row < rows; row++) {
    lines.push(columns.map((column) => cell(textOf(column, row))).join(","));
  }
  return `${lines.join("\n")}\n`;
}

function textOf(column: ResultColumn, row: number): string {
  const value = column.get(row);
  if (column.kind === "time" && typeof value === "bigint") {
    return formatTime(value).slice(0, -1);
  }
  return value === null || value === undefined ? "" : String(value);
}

/** Rewrites a stream of CSV. Its state is bounded by the longest cell. */
export class CsvRewriter {
  private cell = "";
  private column = 0;
  private isHead = true;
  private isQuoted = false;
  /** Whether the last character was a quote in a quoted cell: it ends the cell, or is the first of two. */
  private isQuoteOpen = false;

  constructor(
    private readonly form: CsvForm,
    private readonly columns: readonly Pick<ResultColumn, "kind">[],
  ) {}

  /** Takes a part of the file, and returns the rewritten part. */
  push(text: string): string {
    const out: string[] = [];
    for (const character of text) {
      this.take(character, out);
    }
    return out.join("");
  }

  /** Returns the end of the file. */
  end(): string {
    return this.cell === "" && this.column === 0 ? "" : this.finish();
  }

  private take(character: string, out: string[]): void {
    if (this.isQuoted && !this.isQuoteOpen) {
      if (character === '"') {
        this.isQuoteOpen = true;
      } else {
        this.cell += character;
      }
    } else if (character === '"') {
      if (this.isQuoteOpen) {
        this.cell += '"';
      }
      this.isQuoted = true;
      this.isQuoteOpen = false;
    } else if (character === "," || character === "\n") {
      out.push(this.finish(), character === "\n" ? "\n" : this.form.separator);
      this.column = character === "\n" ? 0 : this.column + 1;
      this.isHead = this.isHead && character !== "\n";
    } else if (character !== "\r") {
      this.cell += character;
    }
  }

  private finish(): string {
    const text = this.isHead ? this.cell : this.rewrite(this.cell);
    this.cell = "";
    const wasQuoted = this.isQuoted;
    this.isQuoted = false;
    this.isQuoteOpen = false;
    // An empty text differs from null by its quotes.
    const isQuoted = /["\n\r]/.test(text) || text.includes(this.form.separator) || (wasQuoted && text === "");
    return isQuoted ? `"${text.replaceAll('"', '""')}"` : text;
  }

  private rewrite(cell: string): string {
    const { kind } = this.columns[this.column] ?? {};
    if (kind === "time") {
      return timeInZone(cell, this.form.zone);
    }
    return kind === "number" && this.form.separator === ";" ? cell.replace(".", ",") : cell;
  }
}
