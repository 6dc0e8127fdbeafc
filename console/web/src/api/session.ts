/** The server and the permissions of the signed-in user. */

import { computed, signal } from "@preact/signals";
import { ApiError, getJson, messageOf, request } from "./client";
import type { ProviderAnswer } from "./provider-redirect";
import { exchange, isDue } from "./renewal";
import { type Credential, credential, type ForgetReason, forgetAll, setExpiredHandler } from "./token";
import { signInWithCode } from "./user-sign-in";

export { isReachable } from "./token";

/** What a token may do in a database. */
export type DatabaseAction = "read" | "write" | "append" | "create" | "delete";

/** The answer of the server to "who am I". */
export interface SessionInfo {
  /** Whether the server requires tokens. */
  tokens_required: boolean;
  /** Whether the caller may do everything. */
  admin: boolean;
  /** The name of the token or user. */
  token_name?: string;
  /** Whether the caller is a user with a session. */
  is_user?: boolean;
  /** The databases that the caller has rights in. */
  databases: { name: string; actions: string[] }[];
  /** Whether the caller may create databases with any name. */
  can_create_databases?: boolean;
  can_create_tokens: boolean;
  can_delete_tokens?: boolean;
  /** Whether the caller may read what only administrators may read otherwise. */
  can_audit?: boolean;
  /** The actions on users and roles that the caller may perform; none if no users can sign in. */
  user_actions?: string[];
  version: string;
  mode?: string;
  node_id?: string;
  /** The name of the model that the assistant asks; none if the server has no assistant. */
  assistant_model?: string;
}

/** The state of the session. `unreachable`: the server did not answer the first request. */
export type SessionState = "loading" | "signed-out" | "ready" | "unreachable";

/** The key of the credential in the session storage of the tab. */
const STORAGE_KEY = "neap-credential";

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

/** Returns whether the caller may perform an action on users and roles: `read`, `create`, `update` or `delete`. */
export function mayOnUsers(action: string): boolean {
  return info.value?.user_actions?.includes(action) ?? false;
}

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

/**
 * Starts the session with the answer of the identity provider, if the tab comes back from it, or with the credential of
 * the tab, if the user keeps one.
 */
export async function start(answer: ProviderAnswer | undefined): Promise<void> {
  setExpiredHandler(expired);
  credential.value = storedCredential();
  credential.subscribe(storeRenewed);
  if (answer?.code !== undefined) {
    try {
      await signIn(await signInWithCode(answer.code), answer.keepInTab);
      return;
    } catch (error) {
      signInReason.value = `The sign-in at the identity provider has failed: ${messageOf(error)}`;
    }
  } else {
    signInReason.value = answer?.problem;
  }
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
      forgetCredential();
      state.value = "signed-out";
      return;
    }
    if (state.value !== "ready") {
      state.value = "unreachable";
    }
  }
}

/**
 * Signs in with a credential. `keepInTab` stores it until the tab is closed; else a reload forgets it.
 *
 * Throws `ApiError` if the server rejects it or does not answer. The session is unchanged then.
 */
export async function signIn(given: Credential, keepInTab: boolean): Promise<void> {
  const headers = { authorization: `Bearer ${given.token}` };
  const options = { headers, isAnonymous: true, timeoutMs: 15_000 };
  const answer = await getJson<SessionInfo>(SESSION_PATH, options);
  forgetCredential();
  if (keepInTab) {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(given));
  }
  credential.value = given;
  info.value = answer;
  signInReason.value = undefined;
  state.value = "ready";
}

/**
 * Forgets the credential, what the page shows, and the texts of queries that the browser stores. Ends the session of a
 * user on the server.
 */
export async function signOut(): Promise<void> {
  const before = credential.peek();
  forget("signed out");
  for (const storage of [localStorage, sessionStorage]) {
    const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
    for (const key of keys.filter((name) => name.startsWith(USER_PREFIX))) {
      storage.removeItem(key);
    }
  }
  signInReason.value = undefined;
  try {
    await endSession(before);
  } catch (error) {
    signInReason.value = `This page has forgotten your session, but the server has not ended it: ${messageOf(error)}`;
  }
}

/** Ends the session of a user on the server. Throws `ApiError`. */
async function endSession(given: Credential | undefined): Promise<void> {
  if (given?.refreshToken === undefined) {
    return;
  }
  const { token } = isDue(given) ? await exchange(given.refreshToken) : given;
  const headers = { authorization: `Bearer ${token}` };
  await request("/api/v3/authorize/logout", { method: "POST", headers, isAnonymous: true, timeoutMs: 10_000 });
}

/** Handles an answer that says that the credential is missing, expired or revoked. */
export function expired(): void {
  if (state.value !== "ready") {
    return;
  }
  const isUser = info.value?.is_user ?? false;
  const had = credential.peek() !== undefined;
  forget("expired");
  const reason = isUser ? "Your session has ended." : "The token has expired or was revoked.";
  signInReason.value = had ? `${reason} Sign in again.` : undefined;
}

function forget(reason: ForgetReason): void {
  forgetCredential();
  info.value = undefined;
  state.value = "signed-out";
  forgetAll(reason);
}

function forgetCredential(): void {
  credential.value = undefined;
  sessionStorage.removeItem(STORAGE_KEY);
}

/** Stores renewed tokens if the tab keeps the credential, because the old ones are not valid any more. */
function storeRenewed(given: Credential | undefined): void {
  if (given !== undefined && sessionStorage.getItem(STORAGE_KEY) !== null) {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(given));
  }
}

function storedCredential(): Credential | undefined {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null");
    const isCredential = typeof stored === "object" && stored !== null && "token" in stored;
    return isCredential ? (stored as Credential) : undefined;
  } catch {
    return undefined;
  }
}
