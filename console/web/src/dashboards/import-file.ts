// Files of dashboards.

import { MAX_DOCUMENT_BYTES } from "../api/documents";
import { DashboardError, type NamedDashboard, parseDashboardFile } from "./validate";

/** The maximum size of a file, in bytes: files are indented, documents are not. */
export const MAX_FILE_BYTES = 2 * MAX_DOCUMENT_BYTES;

/**
 * Reads the file of a dashboard.
 *
 * Throws `DashboardError` if it is none or too large.
 */
export async function readFile(file: File): Promise<NamedDashboard> {
  if (file.size > MAX_FILE_BYTES) {
    throw new DashboardError(`The file is larger than ${MAX_FILE_BYTES / 1024} KiB.`);
  }
  return parseDashboardFile(await file.text());
}
