/** Passwords that the server accepts. */

const MIN_BYTES = 8;
const MAX_BYTES = 1_024;

/** Returns why a password is not accepted; `undefined` if it is. */
export function passwordError(password: string): string | undefined {
  const bytes = new TextEncoder().encode(password).length;
  if (bytes < MIN_BYTES) {
    return `A password has at least ${MIN_BYTES} bytes.`;
  }
  return bytes > MAX_BYTES ? `A password has at most ${MAX_BYTES} bytes.` : undefined;
}
