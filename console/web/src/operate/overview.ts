/** The figures of the overview, and the metrics that they come from. */

import type { Series } from "./history";
import type { Labels, Metrics } from "./prometheus";

/** The units in which values are shown. */
export type Unit = "count" | "per-second" | "bytes" | "bytes-per-second" | "seconds" | "ratio" | "cores";

/** A figure of the overview: its newest value, and its history. */
export interface Figure extends Series {
  label: string;
  unit: Unit;
  /** What the figure means, if its label does not say it. */
  help?: string;
}

/** Figures about one subject. */
export interface FigureGroup {
  title: string;
  figures: Figure[];
}

function value(key: string, label: string, unit: Unit, metric: string, labels?: Labels, help?: string): Figure {
  return { key, label, unit, help, reading: "value", measure: (metrics) => metrics.sum(metric, labels) };
}

function rate(key: string, label: string, unit: Unit, metric: string, labels?: Labels, help?: string): Figure {
  // A counter without samples has counted nothing yet.
  return { key, label, unit, help, reading: "rate", measure: (metrics) => metrics.sum(metric, labels) ?? 0 };
}

/** Returns a figure that divides two counters, both counted since the process started. */
function quotient(
  key: string,
  label: string,
  unit: Unit,
  divide: (metrics: Metrics) => [number | undefined, number | undefined],
  help: string,
): Figure {
  const measure = (metrics: Metrics): number | undefined => {
    const [dividend, divisor] = divide(metrics);
    return dividend === undefined || divisor === undefined || divisor === 0 ? undefined : dividend / divisor;
  };
  return { key, label, unit, help, reading: "value", measure };
}

function addUp(...values: (number | undefined)[]): number | undefined {
  return values.reduce((sum, value) => (sum === undefined ? value : sum + (value ?? 0)), undefined);
}

function hitRatio(key: string, label: string, prefix: string): Figure {
  const divide = (metrics: Metrics): [number | undefined, number | undefined] => {
    const hits = metrics.sum(`${prefix}_hits_total`);
    return [hits, addUp(hits, metrics.sum(`${prefix}_misses_total`))];
  };
  return quotient(key, label, "ratio", divide, "Share of reads that memory answered, since the process started.");
}

/** The figures of the overview, by subject. */
export const FIGURES: readonly FigureGroup[] = [
  {
    title: "Writes",
    figures: [
      rate("lines", "Lines written", "per-second", "influxdb3_write_lines_total"),
      rate("line-bytes", "Line protocol", "bytes-per-second", "influxdb3_write_bytes_total"),
      rate("rejected", "Lines refused", "per-second", "influxdb3_write_lines_rejected_total"),
      rate("puts", "Segments put", "per-second", "neap_tail_puts_total", {}, "Each is one PUT request to the store."),
    ],
  },
  {
    title: "Queries",
    figures: [
      rate("queries", "Queries ended", "per-second", "neap_queries_total"),
      rate("failures", "Queries failed", "per-second", "neap_queries_total", { outcome: "failure" }),
      rate("rows", "Rows returned", "per-second", "neap_query_rows_total"),
      quotient(
        "query-time",
        "Mean time of a query",
        "seconds",
        (metrics) => [metrics.sum("neap_query_seconds_total"), metrics.sum("neap_queries_total")],
        "From the beginning of a query to the end of its answer, since the process started.",
      ),
    ],
  },
  {
    title: "Tail",
    figures: [
      value("tail-bytes", "Not flushed", "bytes", "neap_tail_bytes", {}, "Segments that this process wrote."),
      value("tail-segments", "Segments not flushed", "count", "neap_tail_segments"),
      value("tail-age", "Age of the oldest segment", "seconds", "neap_tail_oldest_seconds"),
      value("in-flight", "On the way to the store", "bytes", "neap_tail_in_flight_bytes"),
    ],
  },
  {
    title: "Compaction debt",
    figures: [
      value("due-merges", "Merges due", "count", "neap_compaction_due_merges"),
      value("due-sections", "Sections to merge", "count", "neap_compaction_due_sections"),
      value("due-bytes", "Bytes to merge", "bytes", "neap_compaction_due_bytes"),
      rate("merges", "Merges done", "per-second", "neap_compaction_merges_total"),
    ],
  },
  {
    title: "Caches",
    figures: [
      {
        ...value("data-cache", "Parts of sections", "bytes", "neap_data_cache_chunk_bytes"),
        measure: (metrics) =>
          addUp(metrics.sum("neap_data_cache_chunk_bytes"), metrics.sum("neap_data_cache_footer_bytes")),
      },
      hitRatio("data-hits", "Hits, parts of sections", "neap_data_cache"),
      value("value-cache", "Last and distinct values", "bytes", "neap_cache_bytes"),
      hitRatio("value-hits", "Hits, last and distinct values", "neap_cache"),
      value("answer-cache", "Kept answers", "bytes", "neap_answer_cache_bytes"),
      hitRatio("answer-hits", "Hits, kept answers", "neap_answer_cache"),
    ],
  },
  {
    title: "Process",
    figures: [
      value("memory", "Memory held", "bytes", "neap_memory_held_bytes"),
      rate("processor", "Processors used", "cores", "process_cpu_seconds_total"),
      value("requests", "Requests under way", "count", "neap_http_requests_in_flight"),
      value("connections", "Connections", "count", "neap_http_connections"),
    ],
  },
  {
    title: "Store",
    figures: [
      rate("store-requests", "Requests to the store", "per-second", "neap_store_requests_total"),
      rate("store-bytes", "Bytes, both directions", "bytes-per-second", "neap_store_bytes_total"),
      rate("store-failures", "Failed requests", "per-second", "neap_store_failures_total"),
      quotient(
        "store-time",
        "Mean time of a request",
        "seconds",
        (metrics) => [
          metrics.sum("neap_store_request_duration_seconds_sum"),
          metrics.sum("neap_store_request_duration_seconds_count"),
        ],
        "Retries included, since the process started.",
      ),
    ],
  },
];

/** All series of the overview. */
export const SERIES: readonly Series[] = FIGURES.flatMap((group) => group.figures);

/** Memory that a part of the process has reserved. */
export interface MemoryShare {
  part: string;
  bytes: number;
}

/** The names of the parts of the process that reserve memory, for people. */
const PART_NAMES: Readonly<Record<string, string>> = {
  segments: "Segments that queries read",
  snapshots: "Segments and manifests",
  bodies: "Bodies of writes",
  queries: "Running queries",
  tails: "Tail images",
  chunks: "Parts of sections",
  answers: "Kept answers",
  footers: "Footers of sections",
  caches: "Last and distinct values",
};

/** Returns the memory that the parts of the process have reserved, the largest first. */
export function memoryShares(metrics: Metrics): MemoryShare[] {
  return metrics
    .samples("neap_memory_charged_bytes")
    .map(({ labels, value }) => ({ part: PART_NAMES[labels.part ?? ""] ?? labels.part ?? "", bytes: value }))
    .sort((left, right) => right.bytes - left.bytes);
}

/** What clients wrote to a database since the process started. */
export interface DatabaseWrites {
  database: string;
  lines: number;
  bytes: number;
  rejected: number;
}

/** The maximum number of databases that the overview lists. */
const MAX_DATABASES = 50;

/** Returns the databases that clients wrote to, those with the most lines first. */
export function databaseWrites(metrics: Metrics): DatabaseWrites[] {
  return metrics
    .samples("influxdb3_write_lines_total")
    .map(({ labels, value }) => ({
      database: labels.db ?? "",
      lines: value,
      bytes: metrics.sum("influxdb3_write_bytes_total", { db: labels.db ?? "" }) ?? 0,
      rejected: metrics.sum("influxdb3_write_lines_rejected_total", { db: labels.db ?? "" }) ?? 0,
    }))
    .sort((left, right) => right.lines - left.lines)
    .slice(0, MAX_DATABASES);
}
