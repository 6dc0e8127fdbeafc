/** Renews the session of a user before its access token expires. */

import { ApiError, getJson } from "./client";
import { type Credential, credential } from "./token";

/** The answer of the server to a sign-in or a renewal. */
export interface TokenPair {
  accessToken: string;
  refreshToken: string;
  /** The lifetime of the access token, in seconds. */
  expiresIn: number;
}

/** An access token is renewed this long before it expires, in milliseconds, or when half of its lifetime is over. */
const MARGIN_MS = 60_000;

/** The time limit of a renewal, in milliseconds. */
const TIMEOUT_MS = 15_000;

let pending: Promise<boolean> | undefined;

/** Returns the credential of new tokens. */
export function credentialOf(pair: TokenPair): Credential {
  const lifetimeMs = pair.expiresIn * 1_000;
  const margin = Math.min(MARGIN_MS, lifetimeMs / 2);
  return { token: pair.accessToken, refreshToken: pair.refreshToken, expiresAtMs: Date.now() + lifetimeMs - margin };
}

/** Returns whether a credential is one of a user whose access token expires soon. */
export function isDue(given: Credential | undefined): boolean {
  return given?.refreshToken !== undefined && (given.expiresAtMs ?? 0) <= Date.now();
}

/**
 * Renews the session of the user. Concurrent callers share a request, because a refresh token is valid once. Returns
 * whether there is a new access token. Never throws.
 */
export function renew(): Promise<boolean> {
  pending ??= renewOnce().finally(() => {
    pending = undefined;
  });
  return pending;
}

async function renewOnce(): Promise<boolean> {
  const before = credential.peek();
  if (before?.refreshToken === undefined) {
    return false;
  }
  try {
    const after = await exchange(before.refreshToken);
    // The user may have signed out meanwhile.
    if (credential.peek() !== before) {
      return false;
    }
    credential.value = after;
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401 && credential.peek() === before) {
      // The session has ended. The next request reports it.
      credential.value = { token: before.token };
    }
    return false;
  }
}

/** Exchanges a refresh token for new tokens. Throws `ApiError`. */
export async function exchange(refreshToken: string): Promise<Credential> {
  const options = { json: { refreshToken }, isAnonymous: true, timeoutMs: TIMEOUT_MS };
  return credentialOf(await getJson<TokenPair>("/api/v3/authorize/refresh", options));
}
