/** The note about a result that was cut. */

import { formatBytes } from "../api/format-value";
import { DEFAULT_MAX_BYTES, type QueryResult } from "../api/query";

/** Returns how much of a result is shown, and why; `undefined` if it is complete. */
export function truncationNote({ rows, truncatedAt }: Pick<QueryResult, "rows" | "truncatedAt">): string | undefined {
  if (truncatedAt === undefined) {
    return undefined;
  }
  const shown = `The page shows the first ${rows.toLocaleString("en")} rows, because the result is larger than`;
  return truncatedAt < DEFAULT_MAX_BYTES
    ? `${shown} ${formatBytes(truncatedAt)}, its part of the ${formatBytes(DEFAULT_MAX_BYTES)} of all statements that ran together. Run it alone, download it, or narrow the query.`
    : `${shown} ${formatBytes(truncatedAt)}. Download it, or narrow the query.`;
}
