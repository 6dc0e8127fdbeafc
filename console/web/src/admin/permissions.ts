/** The permissions of a new token, as the form has them. */

import type { Permission } from "./server";

/** The actions on databases, with what they allow. */
export const DATABASE_ACTIONS = [
  { id: "read", label: "read", detail: "queries" },
  { id: "write", label: "write", detail: "writes and deletes of rows" },
  { id: "append", label: "append", detail: "writes where earlier rows are kept, no deletes" },
  { id: "create", label: "create", detail: "tables and caches" },
  { id: "delete", label: "delete", detail: "drops, and deleting caches" },
  { id: "describe", label: "describe", detail: "seeing that it exists" },
] as const;

/** The endpoints of the system. */
export const SYSTEM_NAMES = ["health", "metrics", "ping", "ready"] as const;

/** One row of the form. */
export interface DatabaseRule {
  /** Names, separated by commas; or `*`. */
  names: string;
  actions: string[];
}

/** The choices of the form. */
export interface PermissionChoice {
  databases: DatabaseRule[];
  system: string[];
  tokens: string[];
}

/** Returns the permissions of a choice. Rows without names or actions are left out. */
export function permissionsOf(choice: PermissionChoice): Permission[] {
  const databases = choice.databases.flatMap((rule): Permission[] => {
    const names = namesOf(rule.names);
    return names.length === 0 || rule.actions.length === 0
      ? []
      : [{ resource_type: "db", resource_names: names, actions: rule.actions }];
  });
  const system: Permission[] =
    choice.system.length === 0 ? [] : [{ resource_type: "system", resource_names: choice.system, actions: ["read"] }];
  const tokens: Permission[] =
    choice.tokens.length === 0 ? [] : [{ resource_type: "token", resource_names: ["*"], actions: choice.tokens }];
  return [...databases, ...system, ...tokens];
}

/** Returns the names of a list. */
export function namesOf(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ""))];
}

/** Returns why a row is wrong; `undefined` if it is right or empty. */
export function ruleProblem(rule: DatabaseRule, known: readonly string[]): string | undefined {
  const names = namesOf(rule.names);
  if (names.includes("*") && names.length > 1) {
    return "Either * for all databases, or names.";
  }
  const missing = names.find((name) => name !== "*" && !known.includes(name));
  return missing && `There is no database ${missing}. A permission belongs to a database that exists.`;
}

/** Returns a permission as the command line writes it. */
export function permissionText(permission: Permission): string {
  return `${permission.resource_type}:${permission.resource_names.join(",")}:${permission.actions.join(",")}`;
}
