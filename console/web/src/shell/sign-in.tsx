/** Asks for a token. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, messageOf } from "../api/client";
import { signIn, signInReason } from "../api/session";
import { Button, Checkbox, ErrorNote, Note, TextField } from "../ui";
import { Logo } from "./logo";

/** Asks for a token. */
export function SignIn(): JSX.Element {
  const [token, setToken] = useState("");
  const [keep, setKeep] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await signIn(token.trim(), keep);
    } catch (failure) {
      const isRejected = failure instanceof ApiError && failure.status === 401;
      setError(isRejected ? "The server does not accept this token." : messageOf(failure));
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <form
        class="sign-in-card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Logo />
        <h1>Sign in</h1>
        {signInReason.value && <Note kind="warning">{signInReason.value}</Note>}
        <TextField
          label="Token"
          type="password"
          value={token}
          onInput={setToken}
          autoComplete="off"
          required
          isMonospace
          inputRef={field}
          hint={keep ? "The tab keeps the token until it is closed." : "The page keeps the token in memory only."}
        />
        <Checkbox
          label="Keep the token until I close this tab"
          hint="Then a reload does not ask again."
          isChecked={keep}
          onChange={setKeep}
        />
        {error && <ErrorNote error={error} />}
        <Button kind="primary" type="submit" isBusy={isBusy} disabled={token.trim() === ""}>
          Sign in
        </Button>
        <p class="muted">
          No token yet? On the server's machine, <code>neap create token --admin</code> creates the first one.
        </p>
      </form>
    </main>
  );
}
