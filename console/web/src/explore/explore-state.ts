/** The state of the view: tabs, settings, and the time range. */

import { computed, signal } from "@preact/signals";
import { route, setParams } from "../router";
import type { TimeRange } from "../time/range";
import { type Refresh, refreshOf } from "../time/refresh";

/** The forms of a result. */
export type ResultView = "table" | "chart" | "plan";

/** The form in which results are shown. It stays while the page is open. */
export const resultView = signal<ResultView>("table");

/** The time range that fills `$from` and `$to`. Part of the hash. */
export const range = computed<TimeRange>(() => ({
  from: route.value.params.get("from") ?? "",
  to: route.value.params.get("to") ?? "",
}));

/** The moment or stamp as of which queries answer; empty for the present. Part of the hash. */
export const asOf = computed(() => route.value.params.get("asof") ?? "");

/** The automatic refresh. Part of the hash. */
export const refresh = computed<Refresh>(() => refreshOf(route.value.params.get("refresh")));

/** The ranges that were shown before each zoom. */
export const zooms = signal<readonly TimeRange[]>([]);

/** Sets the time range. */
export function setRange({ from, to }: TimeRange): void {
  zooms.value = [];
  setParams({ from, to });
}

/** Shows a part of the range. */
export function zoomInto({ from, to }: TimeRange): void {
  zooms.value = [...zooms.value, range.peek()];
  setParams({ from, to });
}

/** Shows the range before the last zoom. */
export function zoomOut(): void {
  const before = zooms.value.at(-1);
  zooms.value = zooms.value.slice(0, -1);
  if (before !== undefined) {
    setParams({ from: before.from, to: before.to });
  }
}

/** Sets the moment as of which queries answer. */
export function setAsOf(moment: string): void {
  setParams({ asof: moment });
}

/** Sets the automatic refresh. */
export function setRefresh(value: Refresh): void {
  setParams({ refresh: value === 0 ? undefined : value });
}
