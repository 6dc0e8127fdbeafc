// What the URL says about an open dashboard: its time range, refresh and values of variables.

import { route, setParams } from "../router";
import { formatMoment, type TimeRange } from "../time/range";
import { type Refresh, refreshOf } from "../time/refresh";
import type { Dashboard } from "./dashboard";

/** Returns the time range of the URL, or else that of the dashboard. */
export function currentRange(dashboard: Dashboard, params: URLSearchParams): TimeRange {
  if (!params.has("from") && !params.has("to") && !params.has("range")) {
    return dashboard.range;
  }
  return { from: params.get("from") ?? "", to: params.get("to") ?? "" };
}

/** Sets the time range in the URL. A range without ends is marked, because empty parameters are left out. */
export function setRange({ from, to }: TimeRange): void {
  setParams({ from, to, range: from === "" && to === "" ? "all" : undefined });
}

/** Sets a time range in nanoseconds since 1970. */
export function setNsRange(from: bigint, to: bigint): void {
  const first = Number(from / 1_000_000n);
  const last = Math.max(first + 1, Number((to + 999_999n) / 1_000_000n));
  setRange({ from: formatMoment(first), to: formatMoment(last) });
}

/** Returns the refresh of the URL, or else that of the dashboard. */
export function currentRefresh(dashboard: Dashboard, params: URLSearchParams): Refresh {
  const text = params.get("refresh");
  return text === null ? dashboard.refreshSeconds : refreshOf(text);
}

/** Sets the refresh in the URL. */
export function setRefresh(refresh: Refresh): void {
  setParams({ refresh: refresh === 0 ? "off" : refresh });
}

/** Returns the id of the dashboard that the URL names. */
export function currentId(): string | undefined {
  return route.value.view === "dashboards" ? route.value.path[0] : undefined;
}
