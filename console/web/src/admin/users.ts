/** The requests about users and roles. */

import { getJson, request } from "../api/client";

const USERS = "/api/v3/users";
const ROLES = "/api/v3/roles";

/** A user. */
export interface User {
  userId: number;
  username: string;
  displayName?: string;
  /** Missing if the user has no password. */
  requiresPasswordReset?: boolean;
  /** In seconds since the Unix epoch. */
  createdAt: number;
  /** In seconds since the Unix epoch. */
  expiresAt?: number;
  disabled: boolean;
  /** The id of the user at the identity provider. */
  oauthId?: string;
  /** The names of the roles. */
  roles: string[];
}

/** A role. */
export interface Role {
  id: number;
  name: string;
  /** Whether Neap defines the role. Such a role cannot be changed. */
  isRequiredRole: boolean;
  description?: string;
}

/** A role with its permissions, in the grammar of tokens. */
export interface RoleEntry extends Role {
  /** `undefined` if they were not read. */
  permissions?: string[];
}

/** A user that does not exist yet. */
export interface NewUser {
  username: string;
  displayName?: string;
  password?: string;
  oauthId?: string;
  roleIds: number[];
  requiresPasswordReset: boolean;
  expirySecs?: number;
}

/** Maximum number of roles whose permissions are read. */
const MAX_READ_ROLES = 100;

/** Returns the state of a user in words. `nowMs`: milliseconds since the Unix epoch. */
export function stateOf(user: User, nowMs: number): string {
  if (user.disabled) {
    return "disabled";
  }
  if (user.expiresAt !== undefined && user.expiresAt * 1_000 <= nowMs) {
    return "expired";
  }
  return user.requiresPasswordReset ? "must set a password" : "active";
}

/** Returns the permissions of a text, which has one in each line. */
export function permissionLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** Lists all users. */
export async function listUsers(signal?: AbortSignal): Promise<User[]> {
  const { items } = await getJson<{ items: User[] }>(USERS, { signal });
  return items.sort((one, other) => one.username.localeCompare(other.username));
}

/** Lists all roles with their permissions. */
export async function listRoles(signal?: AbortSignal): Promise<RoleEntry[]> {
  const { items } = await getJson<{ items: Role[] }>(ROLES, { signal });
  return Promise.all(
    items.map(async (role, index) => {
      if (index >= MAX_READ_ROLES) {
        return role;
      }
      const { text } = await getJson<{ text: string }>(`${ROLES}/${role.id}/permissions`, { signal });
      return { ...role, permissions: text.split(";").filter((part) => part !== "") };
    }),
  );
}

/** Creates a user. */
export async function createUser(user: NewUser): Promise<void> {
  await request(USERS, { method: "POST", json: user });
}

/** Changes a user. A password that another user has set must be replaced at the next sign-in. */
export async function updateUser(id: number, change: { disabled?: boolean; password?: string }): Promise<void> {
  await request(`${USERS}/${id}`, { method: "PATCH", json: change });
}

/** Requires that a user sets another password at the next sign-in. Ends all sessions of the user. */
export async function requirePasswordReset(id: number): Promise<void> {
  await request(`${USERS}/${id}/require-password-reset`, { method: "POST" });
}

/** Replaces the roles of a user. */
export async function setUserRoles(id: number, roleIds: number[]): Promise<void> {
  await request(`${USERS}/${id}/roles`, { method: "PUT", json: { roleIds } });
}

/** Deletes a user and ends all sessions of it. */
export async function deleteUser(id: number): Promise<void> {
  await request(`${USERS}/${id}`, { method: "DELETE" });
}

/** Creates a role. */
export async function createRole(name: string, description: string, permissions: string[]): Promise<void> {
  await request(ROLES, { method: "POST", json: { name, description: description || undefined, permissions } });
}

/** Replaces the permissions of a role. */
export async function setRolePermissions(id: number, permissions: string[]): Promise<void> {
  await request(`${ROLES}/${id}/permissions`, { method: "PUT", json: { permissions } });
}

/** Deletes a role. */
export async function deleteRole(id: number): Promise<void> {
  await request(`${ROLES}/${id}`, { method: "DELETE" });
}
