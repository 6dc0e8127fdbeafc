// Files of dashboards: of this page, and of Grafana.

import { MAX_DOCUMENT_BYTES } from "../api/documents";
import { importGrafana, isGrafana } from "./grafana-import";
import { DashboardError, type NamedDashboard, parseDashboardFile } from "./validate";

/** The maximum size of a file, in bytes: files are indented, documents are not, and Grafana writes all defaults. */
export const MAX_FILE_BYTES = 8 * MAX_DOCUMENT_BYTES;

/**
 * Reads the file of a dashboard.
 *
 * Throws `DashboardError` if it is none or too large.
 */
export async function readFile(file: File): Promise<NamedDashboard> {
  if (file.size > MAX_FILE_BYTES) {
    throw new DashboardError(`The file is larger than ${MAX_FILE_BYTES / 1024} KiB.`);
  }
  return readDashboard(await file.text());
}

/**
 * Returns the dashboard that the text of a file contains.
 *
 * Throws `DashboardError` if it is none.
 */
export function readDashboard(text: string): NamedDashboard {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new DashboardError("The file is not JSON.");
  }
  return isGrafana(document) ? importGrafana(document) : parseDashboardFile(document);
}
