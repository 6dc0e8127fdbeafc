// The result of a query that runs again when it or its parameters change.

import { useEffect, useRef, useState } from "preact/hooks";
import { type QueryRequest, type QueryResult, runQuery } from "../api/query";
import { isLostServer, useOnReturn } from "../api/use-loaded";
import { splitStatements, statementKind } from "../explore/statements";
import { endRun, forgetRun, startRun } from "./cell-runs";
import { type ChartRoom, ChartRuns } from "./chart-runs";
import { enqueue } from "./query-queue";

/** A query without what changes from run to run. */
export type CellQuery = Pick<QueryRequest, "database" | "text" | "language" | "parameters">;

/** The state of a query. A result stays until the next one is complete. */
export interface QueryState {
  isLoading: boolean;
  result?: QueryResult;
  error?: unknown;
}

/** The maximum size of the result of a cell, in bytes. */
const MAX_BYTES = 64 * 1024 * 1024;

/** A chart that is this many times as wide as before asks for finer points. */
const WIDER = 1.5;

/**
 * Runs a query, and again when `tick` changes. With a `room`, only a chart shows its result, and long lines are
 * thinned. Without a query nothing runs. Queries that change data are refused here and by the server, because they run
 * without being asked for.
 */
export function useQuery(query: CellQuery | undefined, tick: number, room?: ChartRoom): QueryState {
  const [state, setState] = useState<QueryState & { drawn?: string }>({ isLoading: false });
  const [attempt, setAttempt] = useState(0);
  const cell = useRef({}).current;
  const charts = useState(() => new ChartRuns())[0];
  const drawn = JSON.stringify(room?.settings);
  const thinning = state.result?.thinning;
  const isCoarse = thinning !== undefined && room !== undefined && room.pixels > thinning.buckets * WIDER;
  const isUnfit = isCoarse || (thinning !== undefined && state.drawn !== drawn);
  const key = query === undefined ? undefined : JSON.stringify(query);
  useEffect(() => {
    if (query === undefined || query.text.trim() === "" || query.database === "") {
      setState({ isLoading: false });
      return undefined;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, isLoading: true }));
    startRun(cell, query.database);
    runCell(query, controller.signal, charts, room).then(
      (result) => {
        if (!controller.signal.aborted) {
          endRun(cell, result.headers);
          setState({ isLoading: false, result, drawn });
        }
      },
      (error: unknown) => {
        if (!controller.signal.aborted) {
          endRun(cell);
          setState((before) => ({ ...before, isLoading: false, error }));
        }
      },
    );
    return () => {
      forgetRun(cell);
      controller.abort(new DOMException("The query is not needed any more.", "AbortError"));
    };
  }, [key, tick, attempt]);
  useEffect(() => {
    if (isUnfit) {
      setAttempt(attempt + 1);
    }
  }, [isUnfit]);
  useOnReturn(isLostServer(state.error), () => setAttempt(attempt + 1));
  // The points of a chart are no rows of a table.
  return isUnfit && room === undefined ? { ...state, result: undefined } : state;
}

async function runCell(
  query: CellQuery,
  signal: AbortSignal,
  charts: ChartRuns,
  room: ChartRoom | undefined,
): Promise<QueryResult> {
  const statements = splitStatements(query.text, query.language);
  if (statements.some(({ text }) => statementKind(text, query.language) === "change")) {
    throw new Error("A cell can't change data. Run this statement in Explore.");
  }
  const request: QueryRequest & { isReadOnly: boolean } = { ...query, signal, maxBytes: MAX_BYTES, isReadOnly: true };
  return enqueue(signal, () => (room === undefined ? runQuery(request) : charts.run(request, room)));
}
