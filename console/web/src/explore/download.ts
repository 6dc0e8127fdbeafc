/** Downloads a result as a file. */

import { ApiError, connectionError, request } from "../api/client";
import { type QueryRequest, queryHeaders, queryPath, sentText } from "../api/query";
import { formatWall, zone } from "../time/zone";
import type { CsvRewriter } from "./csv-form";

/** The formats of files. */
export type FileFormat = "csv" | "parquet" | "arrow";

/** The maximum size of a file that passes through the page, in bytes. */
export const MAX_FILE_BYTES = 1024 ** 3;

const TIMEOUT_MS = 30 * 60_000;

const MEDIA_TYPES: Record<FileFormat, string> = {
  csv: "text/csv",
  parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.stream",
};

/**
 * Runs a query in the format of a file, and saves the answer. `asOf` makes it the rows that the page shows. `rewriter`
 * changes the form of CSV.
 */
export async function downloadResult(query: QueryRequest, format: FileFormat, rewriter?: CsvRewriter): Promise<void> {
  const response = await request(queryPath(query.language), {
    json: { db: query.database, q: sentText(query), format, params: query.parameters ?? {} },
    headers: queryHeaders(query.asOf),
    signal: query.signal,
    timeoutMs: TIMEOUT_MS,
  });
  const chunks: BlobPart[] = [];
  const decoder = new TextDecoder();
  let bytes = 0;
  try {
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      const chunk = part.value;
      bytes += chunk.byteLength;
      if (bytes > MAX_FILE_BYTES) {
        await reader?.cancel();
        const text = "The file is larger than 1 GiB. Copy the query as curl, which has no limit.";
        throw new ApiError(text, 0, "too large");
      }
      chunks.push(rewriter ? rewriter.push(decoder.decode(chunk, { stream: true })) : chunk);
      query.onProgress?.(0, bytes);
    }
  } catch (error) {
    throw connectionError(error, query.signal);
  }
  if (rewriter) {
    chunks.push(rewriter.push(decoder.decode()), rewriter.end());
  }
  saveBlob(new Blob(chunks, { type: MEDIA_TYPES[format] }), fileName(query.database, format, new Date()));
}

/** Saves a text as CSV. */
export function saveText(text: string, database: string): void {
  saveBlob(new Blob([text], { type: MEDIA_TYPES.csv }), fileName(database, "csv", new Date()));
}

/** Returns a name for a file that every system accepts. */
export function fileName(database: string, extension: string, now: Date): string {
  const name = database.replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "");
  const time = formatWall(now.getTime(), zone.peek()).replaceAll(":", "").replace(" ", "-");
  return `${[...name].slice(0, 60).join("") || "result"}-${time}.${extension}`;
}

/** Lets the browser save data as a file. */
export function saveBlob(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
