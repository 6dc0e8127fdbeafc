/** Asks who the user is: by a password, at an identity provider, or by a token. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, messageOf } from "../api/client";
import { canSignInAtProvider, goToProvider } from "../api/provider-redirect";
import { signIn, signInReason } from "../api/session";
import { type Provider, readSignInMethods, type SignInMethods } from "../api/user-sign-in";
import { Button, Checkbox, ErrorNote, Note, Spinner, TextField } from "../ui";
import { Logo } from "./logo";
import { PasswordForm } from "./password-form";

/** Asks who the user is. */
export function SignIn(): JSX.Element {
  const [methods, setMethods] = useState<SignInMethods>();
  const [wantsToken, setWantsToken] = useState(false);
  const [keep, setKeep] = useState(false);
  useEffect(() => {
    void readSignInMethods().then(setMethods);
  }, []);
  const hasUsers = methods !== undefined && (methods.password || methods.provider !== undefined);
  const isByToken = wantsToken || !hasUsers;
  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <Logo />
        <h1>Sign in</h1>
        {signInReason.value && <Note kind="warning">{signInReason.value}</Note>}
        {methods === undefined ? (
          <Spinner label="Loading" />
        ) : (
          <>
            {isByToken && <TokenForm keep={keep} />}
            {!isByToken && methods.provider && <ProviderButton provider={methods.provider} keep={keep} />}
            {!isByToken && methods.problem && <Note kind="warning">{methods.problem}</Note>}
            {!isByToken && methods.provider && methods.password && <p class="sign-in-or muted">or</p>}
            {!isByToken && methods.password && <PasswordForm keep={keep} />}
            <Checkbox
              label={isByToken ? "Keep the token until I close this tab" : "Stay signed in until I close this tab"}
              hint={
                keep
                  ? "The tab stores the sign-in until it is closed."
                  : "The page stores nothing: a reload asks again."
              }
              isChecked={keep}
              onChange={setKeep}
            />
            {hasUsers && (
              <Button kind="quiet" icon={wantsToken ? "user" : "key"} onClick={() => setWantsToken(!wantsToken)}>
                {wantsToken ? "Use a user" : "Use a token"}
              </Button>
            )}
          </>
        )}
      </div>
    </main>
  );
}

function ProviderButton({ provider, keep }: { provider: Provider; keep: boolean }): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  if (provider.authorizationEndpoint === undefined || !canSignInAtProvider()) {
    const isOld = provider.authorizationEndpoint === undefined;
    return (
      <Note kind="warning">
        {isOld
          ? "The identity provider has no sign-in for web pages."
          : "To sign in at the identity provider, open this page over HTTPS."}
      </Note>
    );
  }
  const go = async () => {
    setBusy(true);
    try {
      await goToProvider(provider, keep);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <>
      <Button kind="primary" icon="user" isBusy={isBusy} onClick={() => void go()}>
        Continue to {hostOf(provider.issuer)}
      </Button>
      {error !== undefined && <ErrorNote error={error} />}
    </>
  );
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "the identity provider";
  }
}

function TokenForm({ keep }: { keep: boolean }): JSX.Element {
  const [token, setToken] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await signIn({ token: token.trim() }, keep);
    } catch (failure) {
      const isRejected = failure instanceof ApiError && failure.status === 401;
      setError(isRejected ? "The server does not accept this token." : messageOf(failure));
      setBusy(false);
    }
  };
  return (
    <form
      class="sign-in-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <TextField
        label="Token"
        type="password"
        value={token}
        onInput={setToken}
        autoComplete="off"
        required
        isMonospace
        inputRef={field}
      />
      {error && <ErrorNote error={error} />}
      <Button kind="primary" type="submit" isBusy={isBusy} disabled={token.trim() === ""}>
        Sign in
      </Button>
      <p class="muted">
        No token yet? On the server's machine, <code>neap create token --admin</code> creates the first one.
      </p>
    </form>
  );
}
