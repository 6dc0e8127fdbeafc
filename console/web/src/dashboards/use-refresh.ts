// The refresh of a dashboard.

import { useCallback, useEffect, useState } from "preact/hooks";
import { presentStamp, type Refresh, refreshMs } from "../time/refresh";

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
    let shown: string | undefined;
    const follow = async (): Promise<void> => {
      const stamp = chosen === "data" ? await presentStamp(database) : undefined;
      if (chosen !== "data" || (stamp !== undefined && stamp !== shown)) {
        shown = stamp;
        refresh();
      }
    };
    const timer = setInterval(() => !document.hidden && void follow(), refreshMs(chosen));
    return () => clearInterval(timer);
  }, [chosen, database, refresh]);
  return { ...state, refresh };
}
