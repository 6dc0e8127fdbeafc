// The refresh of a dashboard.

import { useCallback, useEffect, useState } from "preact/hooks";
import { type Refresh, refreshMs } from "../time/refresh";
import { refreshCheck } from "./cell-runs";

/** The present state: the number of refreshes, and the moment that is "now" for all queries of the last one. */
export interface RefreshState {
  tick: number;
  nowMs: number;
  refresh(): void;
}

/** Refreshes at an interval, or when the database has changed, while the page is visible. */
export function useRefresh(chosen: Refresh, database: string): RefreshState {
  const [state, setState] = useState({ tick: 0, nowMs: Date.now() });
  const refresh = useCallback(() => setState(({ tick }) => ({ tick: tick + 1, nowMs: Date.now() })), []);
  useEffect(() => {
    if (chosen === 0) {
      return undefined;
    }
    const isDue = refreshCheck(chosen, database);
    let isEnded = false;
    const refreshIfDue = async (): Promise<void> => {
      if ((await isDue()) && !isEnded) {
        refresh();
      }
    };
    const timer = setInterval(() => !document.hidden && void refreshIfDue(), refreshMs(chosen));
    return () => {
      isEnded = true;
      clearInterval(timer);
    };
  }, [chosen, database, refresh]);
  return { ...state, refresh };
}
