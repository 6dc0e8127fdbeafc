// The refresh of a dashboard.

import { useCallback, useEffect, useState } from "preact/hooks";

/** A refresh: its number, and the moment that is "now" for all queries of it. */
export interface Refresh {
  tick: number;
  nowMs: number;
  refresh(): void;
}

/** Refreshes every `seconds` while the page is visible; 0 is never. */
export function useRefresh(seconds: number): Refresh {
  const [state, setState] = useState({ tick: 0, nowMs: Date.now() });
  const refresh = useCallback(() => setState(({ tick }) => ({ tick: tick + 1, nowMs: Date.now() })), []);
  useEffect(() => {
    if (seconds === 0) {
      return undefined;
    }
    const timer = setInterval(() => {
      if (!document.hidden) {
        refresh();
      }
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds, refresh]);
  return { ...state, refresh };
}
