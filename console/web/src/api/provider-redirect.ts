/**
 * The way to the identity provider and back: the code flow of OAuth 2.0 with PKCE (RFC 7636).
 *
 *     page ── state, hash of a secret ──> provider ── state, code ──> page ── code, secret ──> server ──> provider
 *
 * The session storage of the tab keeps the state and the secret while the tab shows the provider.
 */

import type { Provider, ProviderCode } from "./user-sign-in";

/** What the page remembers while the tab shows the provider. */
interface PendingSignIn {
  state: string;
  codeVerifier: string;
  redirectUri: string;
  /** The hash of the URL that the page had. */
  hash: string;
  keepInTab: boolean;
}

/** What the provider has sent the tab back with. */
export interface ProviderAnswer {
  code?: ProviderCode;
  /** Why there is no code. */
  problem?: string;
  keepInTab: boolean;
}

const STORAGE_KEY = "neap-provider-sign-in";

const SECRET_BYTES = 32;

/** Maximum characters of the provider's text that are shown. */
const MAX_PROBLEM_CHARS = 300;

/** Whether the browser offers the functions that the sign-in needs: on HTTPS, and on this machine. */
export function canSignInAtProvider(): boolean {
  return globalThis.isSecureContext && globalThis.crypto.subtle !== undefined;
}

/** Shows the provider in this tab. Throws if its address is unusable. */
export async function goToProvider(provider: Provider, keepInTab: boolean): Promise<void> {
  const pending: PendingSignIn = {
    state: randomText(),
    codeVerifier: randomText(),
    redirectUri: `${location.origin}/`,
    hash: location.hash,
    keepInTab,
  };
  const url = await authorizationUrl(provider, pending);
  sessionStorage.setItem(STORAGE_KEY, JSON.stringify(pending));
  location.assign(url);
}

/** Returns the address at which the provider asks the user to sign in. Throws if the provider's address is unusable. */
export async function authorizationUrl(
  provider: Provider,
  { state, codeVerifier, redirectUri }: Pick<PendingSignIn, "state" | "codeVerifier" | "redirectUri">,
): Promise<string> {
  const url = new URL(provider.authorizationEndpoint ?? "");
  if (!["https:", "http:"].includes(url.protocol)) {
    throw new Error("The address of the identity provider is not one of a web page.");
  }
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(codeVerifier));
  const parameters: Record<string, string> = {
    response_type: "code",
    client_id: provider.clientId,
    redirect_uri: redirectUri,
    scope: provider.scopes.join(" "),
    state,
    code_challenge: base64Url(new Uint8Array(digest)),
    code_challenge_method: "S256",
    // The audience of an ID token is the client. Access tokens for others are asked for by name.
    ...(provider.audience === provider.clientId ? {} : { audience: provider.audience }),
  };
  for (const [name, value] of Object.entries(parameters)) {
    url.searchParams.set(name, value);
  }
  return url.href;
}

/**
 * Returns the answer of the provider if the tab comes back from it, and removes it from the URL and from the session
 * storage. `undefined` if the URL has no answer.
 */
export function takeProviderAnswer(): ProviderAnswer | undefined {
  const query = new URLSearchParams(location.search);
  if (!query.has("state") || !(query.has("code") || query.has("error"))) {
    return undefined;
  }
  const stored = sessionStorage.getItem(STORAGE_KEY);
  sessionStorage.removeItem(STORAGE_KEY);
  const pending = stored === null ? undefined : (JSON.parse(stored) as PendingSignIn);
  history.replaceState(null, "", location.pathname + (pending?.hash ?? ""));
  return readProviderAnswer(query, pending);
}

/** Returns the answer in the parameters of a URL, if it belongs to the sign-in that this tab has begun. */
export function readProviderAnswer(query: URLSearchParams, pending: PendingSignIn | undefined): ProviderAnswer {
  if (pending === undefined || query.get("state") !== pending.state) {
    return { problem: "This tab has not begun the sign-in. Begin again.", keepInTab: false };
  }
  const { codeVerifier, redirectUri, keepInTab } = pending;
  const code = query.get("code");
  if (code === null) {
    const reason = query.get("error_description") ?? query.get("error") ?? "";
    const problem = `The identity provider has refused the sign-in: ${reason.slice(0, MAX_PROBLEM_CHARS)}`;
    return { problem, keepInTab };
  }
  return { code: { code, codeVerifier, redirectUri }, keepInTab };
}

function randomText(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
}

function base64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
