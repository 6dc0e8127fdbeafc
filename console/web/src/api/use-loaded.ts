/** A value that a component reads from the server, once or repeatedly. */

import { effect } from "@preact/signals";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./client";
import { isReachable } from "./token";

/** A value that is read from the server. */
export interface Loaded<T> {
  /** The newest value; it stays while a newer one is loaded, and if that fails. */
  value: T | undefined;
  error: unknown;
  isLoading: boolean;
  /** Loads the value again. */
  reload(): void;
}

/**
 * Loads a value when the component appears and when a key changes, and again after `intervalMs` milliseconds, if set. A
 * hidden page does not load. A key that is undefined loads nothing.
 */
export function useLoaded<T>(
  key: string | undefined,
  load: (signal: AbortSignal) => Promise<T>,
  intervalMs?: number,
): Loaded<T> {
  const [outcome, setOutcome] = useState<{ key?: string; value?: T; error?: unknown }>({ key });
  const [isLoading, setLoading] = useState(key !== undefined);
  const newest = useRef(load);
  newest.current = load;
  const abort = useRef<AbortController | undefined>(undefined);
  const reload = useCallback(() => {
    abort.current?.abort();
    if (key === undefined) {
      setLoading(false);
      return;
    }
    const controller = new AbortController();
    abort.current = controller;
    setLoading(true);
    newest
      .current(controller.signal)
      .then(
        (value) => !controller.signal.aborted && setOutcome({ key, value }),
        (error) =>
          !controller.signal.aborted &&
          setOutcome((before) => ({ key, value: before.key === key ? before.value : undefined, error })),
      )
      .finally(() => !controller.signal.aborted && setLoading(false));
  }, [key]);
  useEffect(() => {
    reload();
    return () => abort.current?.abort();
  }, [reload]);
  useOnReturn(isLostServer(outcome.error), reload);
  useEffect(() => {
    if (intervalMs === undefined) {
      return undefined;
    }
    const timer = setInterval(() => !document.hidden && reload(), intervalMs);
    return () => clearInterval(timer);
  }, [reload, intervalMs]);
  const isPresent = outcome.key === key;
  return {
    value: isPresent ? outcome.value : undefined,
    error: isPresent ? outcome.error : undefined,
    isLoading,
    reload,
  };
}

/** Calls a function when the server answers again, if what it loads failed because the server was away. */
export function useOnReturn(hasLostServer: boolean, reload: () => void): void {
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    if (!hasLostServer) {
      return undefined;
    }
    let wasAway = false;
    return effect(() => {
      if (isReachable.value && wasAway) {
        setTimeout(() => latest.current());
      }
      wasAway = !isReachable.value;
    });
  }, [hasLostServer]);
}

/** Returns whether a request failed because the server did not answer. */
export function isLostServer(error: unknown): boolean {
  return error instanceof ApiError && error.code === "unreachable";
}
