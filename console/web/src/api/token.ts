/** The credential of the page, and whether the server can be reached and has rejected it. */

import { signal } from "@preact/signals";

/** A token, or the tokens of a user's session. They are never put into a URL, a log or long-lived storage. */
export interface Credential {
  /** The token that requests present, without a prefix. */
  token: string;
  /** The token that renews the session of a user, once. */
  refreshToken?: string;
  /** When the access token of a session expires, in milliseconds since the Unix epoch. */
  expiresAtMs?: number;
}

/** The credential of the page. */
export const credential = signal<Credential | undefined>(undefined);

/** Whether the server answered the newest request. `false` after a request that got no answer. */
export const isReachable = signal(true);

let onExpired: () => void = () => {};

/** Sets the function that is called when the server rejects the token. */
export function setExpiredHandler(handler: () => void): void {
  onExpired = handler;
}

/** Reports that the server rejected the token. */
export function reportExpired(): void {
  onExpired();
}

/** Why the page forgets a session: the user signed out, or the server rejected the token. */
export type ForgetReason = "signed out" | "expired";

const resets: ((reason: ForgetReason) => void)[] = [];

/** Registers a function that removes what the page knows by the token, so that the next user does not see it. */
export function onForget(reset: (reason: ForgetReason) => void): void {
  resets.push(reset);
}

/** Removes what the page knows by the token. */
export function forgetAll(reason: ForgetReason): void {
  for (const reset of resets) {
    reset(reason);
  }
}
