/** Small values that stay in the browser. They hold texts of queries, never tokens. */

import { USER_PREFIX } from "../api/session";

/** Reads a value. Returns `undefined` if there is none, or if it is not valid. */
export function readStored<T>(
  storage: () => Storage,
  key: string,
  isValid: (value: unknown) => value is T,
): T | undefined {
  try {
    const value: unknown = JSON.parse(storage().getItem(USER_PREFIX + key) ?? "null");
    return isValid(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a value. A browser that stores nothing, or no more, loses the value with the page. */
export function writeStored(storage: () => Storage, key: string, value: unknown): void {
  try {
    storage().setItem(USER_PREFIX + key, JSON.stringify(value));
  } catch {
    // The value stays in memory.
  }
}
