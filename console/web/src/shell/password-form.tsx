/** Asks for a name and a password, and for another password if the user wants or must set one. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, messageOf } from "../api/client";
import { signIn } from "../api/session";
import { changePassword, signInWithPassword } from "../api/user-sign-in";
import { Button, ErrorNote, Note, TextField } from "../ui";
import { passwordError } from "./password-error";

/** Asks for a name and a password. `keep`: the tab stores the session. */
export function PasswordForm({ keep }: { keep: boolean }): JSX.Element {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [isChanging, setChanging] = useState(false);
  const [mustChange, setMustChange] = useState(false);
  const [newPassword, setNewPassword] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const newError = newPassword === "" ? undefined : passwordError(newPassword);
  const isReady = name !== "" && password !== "" && (!isChanging || (newPassword !== "" && newError === undefined));
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      if (isChanging) {
        await changePassword(name, password, newPassword);
      }
      await signIn(await signInWithPassword(name, isChanging ? newPassword : password), keep);
    } catch (failure) {
      const status = failure instanceof ApiError ? failure.status : 0;
      if (status === 403 && !isChanging) {
        setMustChange(true);
        setChanging(true);
      } else {
        setError(status === 401 ? "The name or the password is wrong." : messageOf(failure));
      }
      setBusy(false);
    }
  };
  return (
    <form
      class="sign-in-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isReady && !isBusy) {
          void submit();
        }
      }}
    >
      <TextField label="Name" value={name} onInput={setName} autoComplete="username" required inputRef={field} />
      <TextField
        label="Password"
        type="password"
        value={password}
        onInput={setPassword}
        autoComplete="current-password"
        required
      />
      {mustChange && <Note>An administrator requires that you set another password.</Note>}
      {isChanging && (
        <TextField
          label="New password"
          type="password"
          value={newPassword}
          onInput={setNewPassword}
          autoComplete="new-password"
          error={newError}
          hint="All sessions of the user end."
          required
        />
      )}
      {error && <ErrorNote error={error} />}
      <Button kind="primary" type="submit" isBusy={isBusy} disabled={!isReady}>
        {isChanging ? "Set the password and sign in" : "Sign in"}
      </Button>
      {!mustChange && (
        <Button kind="quiet" onClick={() => setChanging(!isChanging)}>
          {isChanging ? "Keep the password" : "Change the password"}
        </Button>
      )}
    </form>
  );
}
