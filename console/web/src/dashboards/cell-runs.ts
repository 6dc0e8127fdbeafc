// The last runs of the queries of a dashboard, so that a refresh runs none of them twice.

import { presentStamp, type Refresh, stampOf } from "../time/refresh";

/** The last run of a query. */
interface CellRun {
  database: string;
  isRunning: boolean;
  /** The stamp of the state that its result shows; `undefined` if there is none. */
  stamp?: string;
}

/** The last run of each query of the open dashboard, by an object that stands for its cell. */
const runs = new Map<object, CellRun>();

/** Remembers that a query runs. */
export function startRun(cell: object, database: string): void {
  runs.set(cell, { database, isRunning: true });
}

/** Remembers that a query has ended, with the headers of its answer if it has succeeded. */
export function endRun(cell: object, headers?: Headers): void {
  const run = runs.get(cell);
  if (run !== undefined) {
    runs.set(cell, { ...run, isRunning: false, stamp: stampOf(headers) });
  }
}

/** Forgets a query that nothing shows any more. */
export function forgetRun(cell: object): void {
  runs.delete(cell);
}

function isBusy(): boolean {
  return [...runs.values()].some(({ isRunning }) => isRunning);
}

/** Returns whether all results of a database show one state. */
function isShown(database: string, stamp: string): boolean {
  const shown = [...runs.values()].filter((run) => run.database === database);
  return shown.length > 0 && shown.every((run) => run.stamp === stamp);
}

/**
 * Returns a function that says whether the queries are due to run again. They are not while some of them run, because a
 * run ends those before it. With new data, they are due once for each state that the results do not show.
 */
export function refreshCheck(chosen: Refresh, database: string): () => Promise<boolean> {
  let lastStamp: string | undefined;
  let isAsking = false;
  return async () => {
    if (isAsking || isBusy()) {
      return false;
    }
    if (chosen !== "data") {
      return true;
    }
    isAsking = true;
    const stamp = await presentStamp(database);
    isAsking = false;
    if (stamp === undefined || stamp === lastStamp || isBusy() || isShown(database, stamp)) {
      return false;
    }
    lastStamp = stamp;
    return true;
  };
}
