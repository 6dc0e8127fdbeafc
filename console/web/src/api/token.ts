/** The token of the page, and whether the server can be reached and has rejected it. */

import { signal } from "@preact/signals";

/** The token of the signed-in user, without a prefix. It is never put into a URL, a log or long-lived storage. */
export const token = signal<string | undefined>(undefined);

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
