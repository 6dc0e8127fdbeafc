/** What requests to the store cost, per hour and month. */

import type { PriceList } from "./prices";

/** Requests of one kind to the store, counted since a process started. */
export interface RequestCount {
  /** The database, or `null` for requests that belong to none. */
  database: string | null;
  /** `put`, `get`, `list`, `delete`, `head`, … */
  operation: string;
  /** The kind of object. */
  objectClass: string;
  requests: number;
  bytes: number;
}

/** How a store charges for an operation. */
export type Charge = "write" | "read" | "free";

/** A position of a bill. */
export interface BillItem {
  /** What the position is about; `null` for requests that belong to no database. */
  name: string | null;
  requests: number;
  bytes: number;
  /** US dollars for the counted time. */
  cost: number;
}

/** Hours of a month, as cloud providers count them. */
export const HOURS_PER_MONTH = 730;

const GIB = 1024 ** 3;

/** Returns how a store charges for an operation. Operations that are not known are charged as writes. */
export function chargeOf(operation: string): Charge {
  switch (operation) {
    case "get":
    case "head":
      return "read";
    case "delete":
      return "free";
    default:
      return "write";
  }
}

/** Returns what requests cost, in US dollars. */
export function costOf(count: Pick<RequestCount, "operation" | "requests" | "bytes">, prices: PriceList): number {
  const gib = count.bytes / GIB;
  switch (chargeOf(count.operation)) {
    case "read":
      return (count.requests / 1_000) * prices.readPerThousand + gib * prices.downloadPerGib;
    case "write":
      return (count.requests / 1_000) * prices.writePerThousand + gib * prices.uploadPerGib;
    case "free":
      return 0;
  }
}

/** Adds up requests by a name, the most expensive position first. */
export function billBy(
  counts: readonly RequestCount[],
  prices: PriceList,
  nameOf: (count: RequestCount) => string | null,
): BillItem[] {
  const items = new Map<string | null, BillItem>();
  for (const count of counts) {
    const name = nameOf(count);
    const item = items.get(name) ?? { name, requests: 0, bytes: 0, cost: 0 };
    item.requests += count.requests;
    item.bytes += count.bytes;
    item.cost += costOf(count, prices);
    items.set(name, item);
  }
  return [...items.values()].sort((left, right) => right.cost - left.cost || right.requests - left.requests);
}

/** Returns the sum of a bill. */
export function total(items: readonly BillItem[]): BillItem {
  return items.reduce(
    (sum, item) => ({
      name: null,
      requests: sum.requests + item.requests,
      bytes: sum.bytes + item.bytes,
      cost: sum.cost + item.cost,
    }),
    { name: null, requests: 0, bytes: 0, cost: 0 },
  );
}

/** Returns what happened between two counts of the same process. A count that fell begins again at zero. */
export function difference(now: readonly RequestCount[], before: readonly RequestCount[]): RequestCount[] {
  const earlier = new Map(before.map((count) => [keyOf(count), count]));
  return now.map((count) => {
    const old = earlier.get(keyOf(count));
    if (old === undefined || old.requests > count.requests) {
      return count;
    }
    return { ...count, requests: count.requests - old.requests, bytes: Math.max(0, count.bytes - old.bytes) };
  });
}

function keyOf({ database, operation, objectClass }: RequestCount): string {
  return JSON.stringify([database, operation, objectClass]);
}
