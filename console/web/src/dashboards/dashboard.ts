// Dashboards as they are stored and exported.

import type { QueryLanguage } from "../api/query";
import type { ChartSettings } from "../chart/settings";
import type { TimeRange } from "../time/range";
import type { Refresh } from "../time/refresh";

/** Columns of the grid. */
export const GRID_COLUMNS = 12;

/** Limits of a dashboard. A stored document has at most 256 KiB. */
export const MAX_CELLS = 100;
export const MAX_VARIABLES = 20;
export const MAX_ROWS = 2000;
export const MAX_CELL_HEIGHT = 40;
export const MAX_NAME_LENGTH = 120;
export const MAX_QUERY_LENGTH = 16_000;
export const MAX_NOTE_LENGTH = 8_000;
export const MAX_LIST_VALUES = 500;

/** The name of the format of exported files. */
export const FILE_FORMAT = "neap-dashboard";

/** The version of the format of dashboards. */
export const FORMAT_VERSION = 1;

/** What a cell shows: a chart, the rows, or a text. */
export const CELL_VIEWS = ["chart", "table", "note"] as const;

export type CellView = (typeof CELL_VIEWS)[number];

/** The place of a cell on the grid, in columns and rows. */
export interface CellPlace {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A cell of a dashboard. */
export interface Cell {
  id: string;
  title: string;
  view: CellView;
  place: CellPlace;
  /** The database of the query; that of the dashboard if empty. */
  database: string;
  language: QueryLanguage;
  query: string;
  chart: ChartSettings;
  /** The text of a note. */
  note: string;
}

/** Where the values of a variable come from: the values of a tag, a list, or what the user types. */
export type VariableSource =
  | { kind: "tag"; table: string; column: string }
  | { kind: "list"; values: string[] }
  | { kind: "text" };

/** A variable: queries use its value as the parameter `$name`. */
export interface Variable {
  name: string;
  source: VariableSource;
  /** Whether "all" can be chosen: the parameter is null then. */
  hasAll: boolean;
  /** The value at the start; null is "all". */
  initial: string | null;
}

/** A dashboard without its name, which the document has. */
export interface Dashboard {
  cells: Cell[];
  variables: Variable[];
  range: TimeRange;
  refreshSeconds: Refresh;
  /** A query in SQL whose rows are moments that all charts mark: their times and texts. Empty: none. */
  annotations: string;
}

/** The range of a new dashboard. */
export const DEFAULT_RANGE: TimeRange = { from: "now-1h", to: "now" };

/** Returns a dashboard without cells. */
export function emptyDashboard(): Dashboard {
  return { cells: [], variables: [], range: DEFAULT_RANGE, refreshSeconds: 0, annotations: "" };
}

/** Returns the id of a new cell, which no other cell has. */
export function newCellId(cells: readonly Cell[]): string {
  const taken = new Set(cells.map(({ id }) => id));
  for (let number = cells.length + 1; ; number++) {
    const id = `cell-${number}`;
    if (!taken.has(id)) {
      return id;
    }
  }
}
