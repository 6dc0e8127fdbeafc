// The runs of a query whose result is only drawn: the server thins lines of more points than a chart has room for.

import { ApiError } from "../api/client";
import { type QueryRequest, type QueryResult, type ResultColumn, runQuery } from "../api/query";
import { quoteIdentifier } from "../api/schema";
import { chartData } from "../chart/chart-data";
import { chooseColumns, possibleSeries } from "../chart/columns";
import { POINTS_PER_PIXEL } from "../chart/decimate";
import type { ChartSettings } from "../chart/settings";
import type { NsRange } from "../chart/view";
import { splitStatements } from "../explore/statements";
import { isMeaningful, tokenize } from "../explore/tokens";

/** What a chart can show. */
export interface ChartRoom {
  settings: ChartSettings;
  /** The width of the chart, in device pixels. */
  pixels: number;
  /** The time range that the chart shows and that `$from` and `$to` name; all of the result if absent. */
  range?: NsRange;
}

type NamedColumn = Pick<ResultColumn, "name" | "kind">;

/** The columns of a statement that a chart draws. */
export interface DrawnColumns {
  time: NamedColumn;
  values: NamedColumn[];
  /** What tells lines apart. */
  series: NamedColumn[];
}

/** How a query is run without reading its first rows again: thinned, or as it is because the server refuses the other. */
type KnownForm = { key: string; columns: DrawnColumns | "refused" };

/** Runs the queries of one chart. */
export class ChartRuns {
  private known: KnownForm | undefined;

  /** Runs a query, thinned if its lines have more points than there is room for. */
  async run(request: QueryRequest, room: ChartRoom): Promise<QueryResult> {
    const statement = thinnableStatement(request, room.settings);
    if (statement === undefined) {
      return runQuery(request);
    }
    const key = JSON.stringify([request.database, statement, room.settings]);
    if (this.known?.key !== key) {
      this.known = undefined;
      const first = await runQuery({ ...request, isEnough: pointLimit(room) });
      const columns = first.isPartial ? drawnColumns(first, room.settings) : undefined;
      if (columns === undefined) {
        return first;
      }
      this.known = { key, columns };
    }
    const { columns } = this.known;
    if (columns !== "refused") {
      try {
        return await runThinned(request, statement, columns, room);
      } catch (error) {
        if (request.signal?.aborted) {
          throw error;
        }
        this.known = error instanceof ApiError && error.status === 400 ? { key, columns: "refused" } : undefined;
      }
    }
    return runQuery(request);
  }
}

/** Returns the statement of a query that can be a subquery and whose chart stays the same with extremes only. */
export function thinnableStatement(
  { text, language }: Pick<QueryRequest, "text" | "language">,
  { kind, gaps }: ChartSettings,
): string | undefined {
  if (language !== "sql" || kind !== "line" || gaps === "nulls") {
    return undefined;
  }
  const [statement, ...others] = splitStatements(text, language);
  const first = statement && tokenize(statement.text).find(isMeaningful)?.text.toUpperCase();
  return others.length === 0 && (first === "SELECT" || first === "WITH") ? statement?.text : undefined;
}

/** Returns a check that ends the read of a result once its lines have more points than there is room for. */
function pointLimit({ settings, pixels }: ChartRoom): QueryRequest["isEnough"] {
  let limit = POINTS_PER_PIXEL * pixels;
  return async (rows, read) => {
    if (rows <= limit) {
      return false;
    }
    limit = POINTS_PER_PIXEL * pixels * lineCount(await read(), settings);
    return rows > limit;
  };
}

/** Returns the lines of each column of values; infinite if their points can't be thinned. */
function lineCount(part: QueryResult, settings: ChartSettings): number {
  const data = drawnColumns(part, settings) && chartData(part, chooseColumns(part, settings), settings);
  // The names of lines that are left out are known only from all rows.
  return data === undefined || data.omittedSeries > 0
    ? Number.POSITIVE_INFINITY
    : data.series.length / data.valueNames.length;
}

/** Returns the columns that a chart draws over time; `undefined` if it draws anything else. */
export function drawnColumns(part: QueryResult, settings: ChartSettings): DrawnColumns | undefined {
  const choice = chooseColumns(part, settings);
  const { x, values } = choice;
  const isUnique = new Set(part.columns.map(({ name }) => name)).size === part.columns.length;
  const areNumbers = values.length > 0 && values.every(({ kind }) => kind !== "boolean");
  if (x?.kind !== "time" || !areNumbers || !isUnique) {
    return undefined;
  }
  const named = ({ name, kind }: ResultColumn): NamedColumn => ({ name, kind });
  return { time: named(x), values: values.map(named), series: possibleSeries(part, settings, choice).map(named) };
}

/** Returns a query of the extremes of each line: the series, then the time and the value of each column of values. */
export function thinnedQuery(statement: string, columns: DrawnColumns, room: ChartRoom): string {
  const points = POINTS_PER_PIXEL * room.pixels;
  const bounds = room.range === undefined ? "" : ", $from, $to";
  const time = quoteIdentifier(columns.time.name);
  const series = columns.series.map(({ name }) => quoteIdentifier(name));
  const keys = series.map((name, index) => `${name} AS s${index}`);
  const lists = columns.values.map(
    ({ name }, index) => `unnest(m4(${time}, ${quoteIdentifier(name)}, ${points}${bounds})) AS p${index}`,
  );
  const values = columns.values.map((_, index) => `p${index}['time'] AS t${index}, p${index}['value'] AS v${index}`);
  const group = series.length === 0 ? "" : ` GROUP BY ${series.join(", ")}`;
  // The statement may end in a comment.
  const extremes = `SELECT ${[...keys, ...lists].join(", ")} FROM (${statement}\n) AS q${group}`;
  return `SELECT ${[...keys.map((_, index) => `s${index}`), ...values].join(", ")} FROM (${extremes})`;
}

async function runThinned(
  request: QueryRequest,
  statement: string,
  columns: DrawnColumns,
  room: ChartRoom,
): Promise<QueryResult> {
  const result = await runQuery({ ...request, text: thinnedQuery(statement, columns, room) });
  const named = (column: NamedColumn, index: number): ResultColumn => {
    const source = result.columns[index];
    if (source === undefined) {
      throw new Error("The thinned result lacks a column.");
    }
    return { ...source, ...column };
  };
  const start = columns.series.length;
  const times = columns.values.map((_, index) => named(columns.time, start + 2 * index));
  const values = columns.values.map(({ name }, index) => ({
    ...named({ name, kind: "number" }, start + 2 * index + 1),
    times: times[index],
  }));
  const thinning = { buckets: room.pixels, range: room.range };
  return { ...result, columns: [...columns.series.map(named), ...times.slice(0, 1), ...values], thinning };
}
