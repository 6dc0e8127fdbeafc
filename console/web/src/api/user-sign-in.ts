/** How users sign in: the ways that the server offers, passwords, and codes of an identity provider. */

import { ApiError, getJson, messageOf, request } from "./client";
import { credentialOf, type TokenPair } from "./renewal";
import type { Credential } from "./token";

/** What the page needs to send the user to the identity provider. */
export interface Provider {
  issuer: string;
  clientId: string;
  audience: string;
  scopes: string[];
  authorizationEndpoint?: string;
}

/** The ways in which the server lets people sign in. A token is always possible. */
export interface SignInMethods {
  password: boolean;
  provider?: Provider;
  /** Why the identity provider can't be used. */
  problem?: string;
}

/** A code of the identity provider, and what proves that this page has asked for it. */
export interface ProviderCode {
  code: string;
  codeVerifier: string;
  redirectUri: string;
}

type ProviderConfig = Partial<Provider> & { enabled: boolean; passwordEnabled?: boolean };

const AUTHORIZE = "/api/v3/authorize";

/** A sign-in at a provider includes requests of the server to it. */
const TIMEOUT_MS = 45_000;

/** Asks the server how people can sign in. Never throws. */
export async function readSignInMethods(): Promise<SignInMethods> {
  try {
    const options = { isAnonymous: true, timeoutMs: 15_000 };
    const config = await getJson<ProviderConfig>("/api/v3/auth/oauth/config", options);
    const provider = config.enabled ? (config as Provider) : undefined;
    return { password: config.passwordEnabled ?? false, provider };
  } catch (error) {
    // The server lets no users sign in, or is one that has no users.
    const hasUsers = error instanceof ApiError && ![0, 404, 405].includes(error.status);
    // Without its provider, the server does not say whether it accepts passwords. It refuses them if not.
    return hasUsers ? { password: true, problem: messageOf(error) } : { password: false };
  }
}

/** Begins a session with a password. Throws `ApiError`: 403 if the user must set another password first. */
export function signInWithPassword(username: string, password: string): Promise<Credential> {
  return authorize({ username, password });
}

/** Begins a session with a code of the identity provider. Throws `ApiError`. */
export function signInWithCode(oauthCode: ProviderCode): Promise<Credential> {
  return authorize({ oauthCode });
}

async function authorize(json: object): Promise<Credential> {
  return credentialOf(await getJson<TokenPair>(AUTHORIZE, { json, isAnonymous: true, timeoutMs: TIMEOUT_MS }));
}

/** Sets another password, and ends all sessions of the user. Throws `ApiError`. */
export async function changePassword(username: string, password: string, newPassword: string): Promise<void> {
  const json = { username, password, newPassword };
  await request(`${AUTHORIZE}/reset-password`, { json, isAnonymous: true, timeoutMs: TIMEOUT_MS });
}
