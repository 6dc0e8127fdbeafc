/** The requests about import jobs: uploaded Parquet files that the server imports by itself. */

import { getJson } from "../api/client";

const IMPORTS = "/api/v3/enterprise/import";

/** A large file on a slow network takes hours. The user can stop the upload. */
const UPLOAD_TIMEOUT_MS = 6 * 3_600_000;

/** The states of a job. `failed` jobs continue by themselves. */
export type ImportStatus = "queued" | "dispatched" | "imported" | "failed" | "terminal_failed";

/** An import job. */
export interface ImportJob {
  upload_uuid: string;
  filename: string;
  status: ImportStatus;
  last_message: string | null;
  /** In nanoseconds since the Unix epoch. */
  created_at: number;
  size_bytes: number;
  row_count: number;
  db_name: string;
  table_name: string;
  imported_rows: number;
}

/** The types of columns that the file does not have. */
export const COLUMN_TYPES = ["tag", "time", "i64", "u64", "f64", "bool", "string"] as const;

/** The states of a job in words. */
export const STATUS_TEXTS: Record<ImportStatus, string> = {
  queued: "waits",
  dispatched: "in progress",
  imported: "imported",
  failed: "interrupted, continues by itself",
  terminal_failed: "failed",
};

/** Lists the jobs of the databases that the caller may write to, newest first. */
export async function listImports(signal?: AbortSignal): Promise<ImportJob[]> {
  const jobs = await getJson<ImportJob[]>(IMPORTS, { signal });
  return jobs.reverse();
}

/** Returns whether a job has not ended, so that the list changes soon. */
export function hasRunningImport(jobs: readonly ImportJob[] | undefined): boolean {
  return (jobs ?? []).some(({ status }) => !["imported", "terminal_failed"].includes(status));
}

/** Returns the part of a job's rows that queries see, from 0 to 1. */
export function progressOf({ imported_rows, row_count }: ImportJob): number {
  return row_count === 0 ? 1 : Math.min(1, imported_rows / row_count);
}

/**
 * Returns the types of columns in a text, which has `NAME:TYPE` in each line. A name may contain colons. Throws an
 * `Error` that names the first wrong line.
 */
export function parseColumnTypes(text: string): Record<string, string> {
  const types = new Map<string, string>();
  for (const line of text.split("\n").map((part) => part.trim())) {
    const at = line.lastIndexOf(":");
    const type = line.slice(at + 1).trim();
    if (line !== "" && (at < 1 || !COLUMN_TYPES.some((known) => known === type))) {
      throw new Error(`${line}: write NAME:TYPE. The types are ${COLUMN_TYPES.join(", ")}.`);
    }
    if (line !== "") {
      types.set(line.slice(0, at).trim(), type);
    }
  }
  return Object.fromEntries(types);
}

/** Uploads a Parquet file, which becomes a job. */
export async function createImport(
  database: string,
  table: string,
  columns: Record<string, string>,
  file: File,
  signal: AbortSignal,
): Promise<void> {
  const body = new FormData();
  // The server checks the names before it stores the file.
  body.append("database", database);
  body.append("table", table);
  if (Object.keys(columns).length > 0) {
    body.append("column_metadata", JSON.stringify({ column_mapping: columns }));
  }
  body.append("file_bytes", file);
  await getJson(IMPORTS, { body, signal, timeoutMs: UPLOAD_TIMEOUT_MS });
}
