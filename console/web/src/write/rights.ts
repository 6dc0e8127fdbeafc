/** Rights that are not about one database. */

import { databases, listDatabases } from "../api/schema";
import { info, may, mayAnywhere, refresh } from "../api/session";
import { databaseNameError } from "./names";

/** Returns whether the caller may create databases. */
export function mayCreateDatabases(): boolean {
  const rights = info.value;
  return rights !== undefined && (rights.admin || (rights.can_create_databases ?? false));
}

/** Returns whether the caller may write to any database, existing or new. */
export function mayWriteSomewhere(): boolean {
  return mayAnywhere("append") || mayCreateDatabases();
}

/** Returns why the caller cannot write to a database of this name; `undefined` if it can, as far as the page knows. */
export function writeProblem(database: string): string | undefined {
  const nameError = databaseNameError(database);
  if (nameError !== undefined) {
    return nameError;
  }
  const exists = databases.value.some(({ name }) => name === database);
  return exists && !may("append", database) ? `You may not write to ${database}.` : undefined;
}

/** Reads the databases and the rights again, after a write that may have created a database. Never throws. */
export async function refreshDatabases(): Promise<void> {
  await Promise.all([listDatabases().catch(() => undefined), refresh()]);
}
