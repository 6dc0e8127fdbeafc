/** Reads the counted requests of the process to the store. */

import { ApiError, request } from "../api/client";
import type { RequestCount } from "./bill";
import { Metrics } from "./prometheus";
import { countStoreRequests } from "./system-tables";

/** The requests of a process to the store. */
export interface StoreRequests {
  counts: RequestCount[];
  /** Since when they are counted, in milliseconds since the Unix epoch. */
  sinceMs: number;
  /** Whether the counts say which database a request belongs to. */
  hasDatabases: boolean;
}

/** Counts the requests of the process to the store: by database for administrators, by kind for others. */
export async function countRequests(isAdmin: boolean, signal?: AbortSignal): Promise<StoreRequests> {
  if (isAdmin) {
    try {
      return { ...(await countStoreRequests(signal)), hasDatabases: true };
    } catch (error) {
      // A server of an earlier version does not have the table.
      if (!(error instanceof ApiError) || error.status === 401 || error.status === 0) {
        throw error;
      }
    }
  }
  const response = await request("/metrics", { signal, timeoutMs: 15_000 });
  return requestsOf(Metrics.parse(await response.text()), Date.now());
}

/** Returns the requests that metrics count. They do not say to which database a request belongs. */
export function requestsOf(metrics: Metrics, nowMs: number): StoreRequests {
  const counts = metrics.samples("neap_store_requests_total").map(({ labels, value }): RequestCount => {
    const operation = labels.operation ?? "";
    const objectClass = labels.class ?? "";
    const bytes = metrics.sum("neap_store_bytes_total", { operation, class: objectClass }) ?? 0;
    return { database: null, operation, objectClass, requests: value, bytes };
  });
  const uptime = metrics.sum("neap_uptime_seconds") ?? 0;
  return { counts, sinceMs: nowMs - uptime * 1_000, hasDatabases: false };
}
