// The moments that all charts of a dashboard mark: the rows of a query.

import { useMemo } from "preact/hooks";
import type { QueryResult } from "../api/query";
import { formatValue } from "../api/query";
import type { Moment } from "../chart/guides";
import { type QueryState, useQuery } from "./use-query";

/** Moments that charts mark at most. */
const MAX_MOMENTS = 500;

/** The length of the text of a moment at most, in characters. */
const MAX_TEXT = 300;

/** Runs the query of annotations. */
export function useAnnotations(
  query: { database: string; text: string; parameters: Record<string, unknown> },
  tick: number,
): { moments: Moment[]; error: QueryState["error"] } {
  const { result, error } = useQuery({ ...query, language: "sql" }, tick);
  return { moments: useMemo(() => (result === undefined ? [] : momentsOf(result)), [result]), error };
}

/** Returns the times of the rows of a result, with their other values as texts. */
export function momentsOf({ columns, rows }: QueryResult): Moment[] {
  const time = columns.find(({ kind }) => kind === "time");
  const others = columns.filter((column) => column !== time);
  const moments: Moment[] = [];
  for (let row = 0; row < rows && moments.length < MAX_MOMENTS; row++) {
    const ns = time?.get(row);
    if (typeof ns === "bigint") {
      const values = others.map((column) => [column, column.get(row)] as const).filter(([, value]) => value !== null);
      const text = values.map(([column, value]) => formatValue(column, value)).join(" ");
      moments.push({ ns, text: text.slice(0, MAX_TEXT) });
    }
  }
  return moments;
}
