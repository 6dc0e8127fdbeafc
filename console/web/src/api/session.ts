/** The server and the permissions of the signed-in user. */

import { computed, signal } from "@preact/signals";
import { ApiError, getJson } from "./client";
import { type ForgetReason, forgetAll, setExpiredHandler, token } from "./token";

export { isReachable, token } from "./token";

/** What a token may do in a database. */
export type DatabaseAction = "read" | "write" | "create" | "delete";

/** The answer of the server to "who am I". */
export interface SessionInfo {
  /** Whether the server requires tokens. */
  tokens_required: boolean;
  /** Whether the caller may do everything. */
  admin: boolean;
  /** The name of the token. */
  token_name?: string;
  /** The databases that the caller has rights in. */
  databases: { name: string; actions: string[] }[];
  /** Whether the caller may create databases with any name. */
  can_create_databases?: boolean;
  can_create_tokens: boolean;
  can_delete_tokens?: boolean;
  version: string;
  mode?: string;
  node_id?: string;
}

/** The state of the session. `unreachable`: the server did not answer the first request. */
export type SessionState = "loading" | "signed-out" | "ready" | "unreachable";

/** The key of a token in the session storage of the tab. */
const STORAGE_KEY = "neap-token";

/** The prefix of the keys of what a user leaves in the browser. */
export const USER_PREFIX = "neap-user-";

const SESSION_PATH = "/api/v3/console/session";

/** What the server says about the caller. */
export const info = signal<SessionInfo | undefined>(undefined);

/** The state of the session. */
export const state = signal<SessionState>("loading");

/** Why the user has to sign in again, if there is a reason. */
export const signInReason = signal<string | undefined>(undefined);

/** Whether the server requires tokens. */
export const isRequired = computed(() => info.value?.tokens_required ?? state.value === "signed-out");

/** Whether the caller may do everything. */
export const isAdmin = computed(() => info.value?.admin ?? false);

/** Returns whether the caller may do something in a database. */
export function may(action: DatabaseAction, database: string): boolean {
  const rights = info.value;
  if (rights === undefined) {
    return false;
  }
  return rights.admin || rights.databases.some((entry) => entry.name === database && entry.actions.includes(action));
}

/** Returns whether the caller may do something in at least one database. */
export function mayAnywhere(action: DatabaseAction): boolean {
  const rights = info.value;
  return rights !== undefined && (rights.admin || rights.databases.some((entry) => entry.actions.includes(action)));
}

/** Starts the session with the token of the tab, if the user keeps one. */
export async function start(): Promise<void> {
  setExpiredHandler(expired);
  token.value = storedToken();
  await refresh();
}

/** Asks the server again who the caller is. Never throws: the outcome is `state`. */
export async function refresh(): Promise<void> {
  try {
    info.value = await getJson<SessionInfo>(SESSION_PATH, { timeoutMs: 15_000 });
    state.value = "ready";
    signInReason.value = undefined;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      state.value = "signed-out";
      return;
    }
    if (state.value !== "ready") {
      state.value = "unreachable";
    }
  }
}

/**
 * Signs in with a token. `keepInTab` stores the token until the tab is closed; else a reload forgets it.
 *
 * Throws `ApiError` if the server rejects the token or does not answer. The session is unchanged then.
 */
export async function signIn(given: string, keepInTab: boolean): Promise<void> {
  const headers = { authorization: `Bearer ${given}` };
  const before = token.value;
  token.value = given;
  try {
    info.value = await getJson<SessionInfo>(SESSION_PATH, { headers, timeoutMs: 15_000 });
  } catch (error) {
    token.value = before;
    throw error;
  }
  if (keepInTab) {
    sessionStorage.setItem(STORAGE_KEY, given);
  }
  signInReason.value = undefined;
  state.value = "ready";
}

/** Forgets the token, what the page shows, and the texts of queries that the browser stores. */
export function signOut(): void {
  forget("signed out");
  for (const storage of [localStorage, sessionStorage]) {
    const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
    for (const key of keys.filter((name) => name.startsWith(USER_PREFIX))) {
      storage.removeItem(key);
    }
  }
  signInReason.value = undefined;
}

/** Handles an answer that says that the token is missing, expired or revoked. */
export function expired(): void {
  if (state.value !== "ready") {
    return;
  }
  const had = token.value !== undefined;
  forget("expired");
  signInReason.value = had ? "The token has expired or was revoked. Sign in again." : undefined;
}

function forget(reason: ForgetReason): void {
  token.value = undefined;
  sessionStorage.removeItem(STORAGE_KEY);
  info.value = undefined;
  state.value = "signed-out";
  forgetAll(reason);
}

function storedToken(): string | undefined {
  return sessionStorage.getItem(STORAGE_KEY) ?? undefined;
}
