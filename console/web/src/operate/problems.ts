/** Conditions that an operator should look at, from metrics. */

import { formatBytes } from "../api/format-value";
import { formatSeconds } from "./format";
import type { Metrics } from "./prometheus";

/** A condition that an operator should look at. */
export interface Problem {
  severity: "warning" | "danger";
  text: string;
}

/** A tail that is older than this many seconds is not flushed as it should be. */
const MAX_TAIL_AGE_SECONDS = 3_600;
/** A process that holds more than this share of its memory limit may be ended by the system. */
const MAX_MEMORY_SHARE = 0.9;

const FLUSH_REASONS: Readonly<Record<string, string>> = {
  clocks: "the clocks of the store and of this machine differ by more than five minutes",
  catalog: "the catalog could not be read",
  damage: "objects are damaged",
  failure: "the flush failed",
};

/** Returns the problems that the metrics and the further lines of `/ready` report, the most severe first. */
export function findProblems(metrics: Metrics, readiness: string): Problem[] {
  const problems: Problem[] = [];
  const add = (severity: Problem["severity"], text: string): void => void problems.push({ severity, text });
  const positive = (name: string): number => Math.max(0, metrics.sum(name) ?? 0);

  for (const line of readiness.split("\n").slice(1)) {
    if (line.trim() !== "") {
      add("danger", line.trim());
    }
  }
  const damaged = positive("neap_damaged_objects");
  if (damaged > 0) {
    add("danger", `${damaged} damaged objects were found. Queries that need them fail. See system.versions.`);
  }
  const checksums = positive("neap_data_checksum_failures_total");
  if (checksums > 0) {
    add("danger", `${checksums} reads of sections had a wrong checksum. The server's log names the objects.`);
  }
  for (const { labels, value } of metrics.samples("neap_flush_blocked")) {
    if (value > 0) {
      const reason = FLUSH_REASONS[labels.reason ?? ""] ?? labels.reason ?? "unknown";
      add("danger", `The last flush of ${value} databases was blocked: ${reason}.`);
    }
  }
  const age = positive("neap_tail_oldest_seconds");
  if (age > MAX_TAIL_AGE_SECONDS) {
    add("warning", `The oldest segment has waited ${formatSeconds(age)} for a flush. Flushes come within 10 minutes.`);
  }
  const held = positive("neap_memory_held_bytes");
  const limit = positive("neap_memory_limit_bytes");
  if (limit > 0 && held / limit > MAX_MEMORY_SHARE) {
    add("warning", `The process holds ${formatBytes(held)} of ${formatBytes(limit)} memory.`);
  }
  const turnedAway = positive("neap_http_requests_turned_away_total");
  if (turnedAway > 0) {
    add("warning", `${turnedAway} requests were turned away because too many were under way.`);
  }
  const storeFailures = positive("neap_store_failures_total");
  if (storeFailures > 0) {
    add("warning", `${storeFailures} requests to the store failed after all retries.`);
  }
  return problems.sort((left, right) => Number(right.severity === "danger") - Number(left.severity === "danger"));
}
