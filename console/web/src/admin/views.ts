/** Materialized views and continuous queries of a database. */

import { request } from "../api/client";
import { queryRows } from "../api/query";
import { quoteInfluxQlIdentifier } from "../api/schema";
import { influxql } from "../operate/kill-query";

const PATH = "/api/v3/configure/materialized_view";

/** A view: a query whose rows are kept in a table. */
export interface View {
  view_name: string;
  language: "sql" | "influxql";
  query: string;
  source_table: string;
  target_table: string;
  target_database?: string;
  window_ns: number;
  state: "new" | "current" | "pending" | "refreshing" | "failed";
  pending_windows?: number;
  refreshed_at?: string;
  staleness_s?: number;
  error?: string;
}

/** Lists the views of a database, by name. */
export function listViews(database: string): Promise<View[]> {
  return queryRows<View>(database, "SELECT * FROM system.materialized_views ORDER BY view_name");
}

/** Creates a materialized view. Throws `ApiError` with the reason why a query can't be one. */
export async function createView(database: string, name: string, query: string): Promise<void> {
  await request(PATH, { json: { db: database, name, query } });
}

/** Ends the refreshes of a view. Its table and the rows stay. */
export async function dropView(database: string, { view_name: name, language }: View): Promise<void> {
  if (language === "sql") {
    await request(PATH, { method: "DELETE", query: { db: database, name } });
    return;
  }
  const q = `DROP CONTINUOUS QUERY ${quoteInfluxQlIdentifier(name)} ON ${quoteInfluxQlIdentifier(database)}`;
  await influxql("POST", q);
}

/** Returns a query of Explore as a query of a view: with a fixed window, over all rows, and without an order. */
export function viewQuery(text: string): string {
  return text
    .trim()
    .replace(/;$/, "")
    .replace(/\$interval\b/g, "INTERVAL '1 hour'")
    .replace(/\bWHERE\s+time\s*>=\s*\$from\s+AND\s+time\s*<\s*\$to\s+AND\b/gi, "WHERE")
    .replace(/\s*\bWHERE\s+time\s*>=\s*\$from\s+AND\s+time\s*<\s*\$to\b/gi, "")
    .replace(/\s+\bLIMIT\s+\d+\s*$/i, "")
    .replace(/\s+\bORDER\s+BY\s+[\w",\s]+?(?:\s+(?:ASC|DESC))?\s*$/i, "");
}
