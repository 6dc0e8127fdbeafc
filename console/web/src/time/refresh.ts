/** The automatic refresh of queries: at fixed intervals, or when there are new data. */

import { request } from "../api/client";
import { queryPath } from "../api/query";

/** Seconds between two refreshes; 0: none; `data`: when the database has changed. */
export type Refresh = number | "data";

/** What users can choose. */
export const REFRESHES: readonly Refresh[] = [0, 5, 10, 30, 60, 300, 900, "data"];

/** The time between two questions for new data, in seconds. */
const NEW_DATA_SECONDS = 2;

/** Returns the refresh that a stored value or a parameter of the URL names: none if it is unknown. */
export function refreshOf(value: unknown): Refresh {
  return REFRESHES.find((known) => String(known) === String(value)) ?? 0;
}

/** Returns the text of a choice. */
export function refreshText(refresh: Refresh): string {
  if (refresh === "data") {
    return "With new data";
  }
  if (refresh === 0) {
    return "No refresh";
  }
  return refresh < 60 ? `Every ${refresh} s` : `Every ${refresh / 60} min`;
}

/** Returns the milliseconds after which a page refreshes, or asks for new data. */
export function refreshMs(refresh: Refresh): number {
  return (refresh === "data" ? NEW_DATA_SECONDS : refresh) * 1000;
}

/** Returns the stamp of the state that a query has read, from the headers of its answer. */
export function stampOf(headers: Headers | undefined): string | undefined {
  return headers?.get("x-neap-as-of") ?? undefined;
}

/** Returns the stamp of the present state of a database; `undefined` if the server does not answer. */
export async function presentStamp(database: string): Promise<string | undefined> {
  try {
    const { headers } = await request(queryPath("sql"), { json: { db: database, q: "SELECT 1", format: "json" } });
    return stampOf(headers);
  } catch {
    return undefined; // The bar says that the server is away.
  }
}
