/** The widths of the columns of a table, from its first rows. */

import type { CSSProperties } from "preact";
import { textScale } from "./text-scale";
import type { TableColumn } from "./virtual-table";

/** Returns the text of a cell, or null. */
type CellText = (row: number, column: number) => string | null;

/** The width of a character and the space around a cell's text, in pixels. */
const CHAR_WIDTH = 7.4;
const CELL_SPACE = 26;
const MIN_WIDTH = 64;
const MAX_WIDTH = 420;

/** The maximum number of characters of a cell. `onOpen` shows the rest. */
const MAX_CELL_CHARS = 300;

/** The rows from which the widths of columns are measured. */
const MEASURED_ROWS = 60;

/** Returns the left edge of each column and the right edge of the last one. */
export function columnEdges(columns: readonly TableColumn[], rows: number, get: CellText): number[] {
  const edges = [0];
  let edge = 0;
  columns.forEach((column, index) => {
    edge += column.width ?? measuredWidth(column, index, rows, get);
    edges.push(edge);
  });
  return edges;
}

function measuredWidth(column: TableColumn, index: number, rows: number, get: CellText): number {
  let chars = column.name.length + (column.detail ? column.detail.length * 0.85 + 2 : 0) + 2;
  for (let row = 0; row < Math.min(rows, MEASURED_ROWS); row++) {
    chars = Math.max(chars, get(row, index)?.length ?? 4);
  }
  return Math.round(Math.min(Math.max(chars * CHAR_WIDTH * textScale() + CELL_SPACE, MIN_WIDTH), MAX_WIDTH));
}

/** Returns the columns that are at least partly between two edges. */
export function visibleColumns(edges: readonly number[], left: number, right: number): number[] {
  const visible: number[] = [];
  for (let column = 0; column + 1 < edges.length; column++) {
    const [start = 0, end = 0] = [edges[column], edges[column + 1]];
    if (end > left - 100 && start < right + 100) {
      visible.push(column);
    }
  }
  return visible;
}

/** Returns the place of a column as a style. */
export function placement(edges: readonly number[], column: number): CSSProperties {
  const start = edges[column] ?? 0;
  return { left: `${start}px`, width: `${(edges[column + 1] ?? start) - start}px` };
}

/** Returns the classes of a cell. */
export function cellClass(align: TableColumn["align"], text: string | null, isActive: boolean): string {
  const end = align === "end" ? " table-cell-end" : "";
  return `table-cell${end}${text === null ? " table-cell-null" : ""}${isActive ? " table-cell-active" : ""}`;
}

/** Returns what a cell shows of a text: one line, not too long. `null` is a word. */
export function shorten(text: string | null): string {
  if (text === null) {
    return "null";
  }
  const line = text.length > MAX_CELL_CHARS ? `${text.slice(0, MAX_CELL_CHARS)}…` : text;
  return line.replace(/[\r\n\t]+/g, " ");
}
