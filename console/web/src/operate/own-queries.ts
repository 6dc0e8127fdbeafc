/** The queries that run in this page, which it can cancel. */

import { cancel, executions } from "../explore/execution";
import type { LoggedQuery } from "./system-tables";

/** Returns whether Explore runs the query in this page, which can therefore cancel it. */
export function canCancel(query: LoggedQuery, database: string): boolean {
  return findTab(query, database) !== undefined;
}

/** Ends a query of Explore: the server stops it when its connection is closed. */
export function cancelQuery(query: LoggedQuery, database: string): void {
  const tab = findTab(query, database);
  if (tab !== undefined) {
    cancel(tab);
  }
}

function findTab(logged: LoggedQuery, database: string): string | undefined {
  for (const [tab, { status, query }] of executions.value) {
    if (status === "running" && query.database === database && query.text.trim() === logged.query_text.trim()) {
      return tab;
    }
  }
  return undefined;
}
