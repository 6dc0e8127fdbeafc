/** Tokens: create, show once, revoke. The page never stores a token that it shows. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { INTERNAL_DATABASE } from "../api/schema";
import { isAdmin, isRequired } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatAnswerTime, parseAnswerTime, zone } from "../time/zone";
import {
  Button,
  ConfirmDialog,
  CopyButton,
  Dialog,
  EmptyState,
  ErrorNote,
  Note,
  notify,
  Spinner,
  TextField,
} from "../ui";
import { AdminTable } from "./admin-table";
import { useChange } from "./create-dialogs";
import { type CreatedToken, deleteToken, regenerateOperatorToken } from "./server";
import { CreateTokenDialog } from "./token-dialog";

const OPERATOR = "_admin";

interface TokenRow {
  token_id: number;
  name: string;
  created_at: string;
  description?: string;
  created_by_token_id?: number;
  expiry?: string;
  permissions: string;
}

type OpenDialog =
  | { kind: "create" }
  | { kind: "created"; token: CreatedToken }
  | { kind: "revoke"; name: string }
  | { kind: "revoke-by-name" }
  | { kind: "replace" };

/** The panel. */
export function TokensPanel(): JSX.Element {
  const [dialog, setDialog] = useState<OpenDialog>();
  const listed = useLoaded(isAdmin.value && isRequired.value ? "tokens" : undefined, listTokens);
  if (!isRequired.value) {
    return <WithoutTokens />;
  }
  return (
    <section class="admin-section" aria-labelledby="tokens-title">
      <header class="admin-head">
        <h2 id="tokens-title">Tokens</h2>
        {!isAdmin.value && <Button onClick={() => setDialog({ kind: "revoke-by-name" })}>Revoke a token</Button>}
        <Button kind="primary" icon="add" onClick={() => setDialog({ kind: "create" })}>
          Create token
        </Button>
      </header>
      {!isAdmin.value && (
        <Note>
          <p>
            You may create tokens that have no more permissions than you and do not expire later. Only administrators
            see the list.
          </p>
        </Note>
      )}
      {listed.error !== undefined && <ErrorNote error={listed.error} onRetry={listed.reload} />}
      {isAdmin.value && listed.value === undefined && listed.error === undefined && <Spinner label="Loading" />}
      {listed.value !== undefined && <TokenTable tokens={listed.value} onOpen={setDialog} />}
      {dialog !== undefined && (
        <OpenedDialog
          dialog={dialog}
          onOpen={setDialog}
          onChanged={listed.reload}
          onClose={() => setDialog(undefined)}
        />
      )}
    </section>
  );
}

function listTokens(): Promise<TokenRow[]> {
  const columns = "token_id, name, created_at, description, created_by_token_id, expiry, permissions";
  return queryRows<TokenRow>(INTERNAL_DATABASE, `SELECT ${columns} FROM system.tokens ORDER BY token_id`);
}

function WithoutTokens(): JSX.Element {
  return (
    <EmptyState icon="key" title="This server requires no tokens">
      <p>
        Everyone who can reach it may do everything. To require tokens, start it without <code>--without-auth</code>,
        and create the first one in a terminal, because web pages must not:
      </p>
      <p>
        <code>neap create token --admin --host {location.origin}</code>
      </p>
    </EmptyState>
  );
}

function TokenTable({ tokens, onOpen }: { tokens: readonly TokenRow[]; onOpen(dialog: OpenDialog): void }) {
  const names = new Map(tokens.map((token) => [token.token_id, token.name]));
  return (
    <AdminTable
      label="All tokens"
      heads={["Name", "Permissions", `Created (${zone.value})`, "Created by", `Expires (${zone.value})`]}
    >
      {tokens.map((token) => (
        <tr key={token.token_id}>
          <th scope="row">
            <span class="preview-cell">{token.name}</span>
          </th>
          <td class="admin-wrap">{token.permissions === "*:*:*" ? "everything" : token.permissions}</td>
          <td>{formatAnswerTime(token.created_at, zone.value, "minutes")}</td>
          <td>{creator(token, names)}</td>
          <td>
            <Expiry text={token.expiry} />
          </td>
          <td class="admin-actions">
            {token.name === OPERATOR ? (
              <Button kind="quiet" icon="refresh" onClick={() => onOpen({ kind: "replace" })}>
                Replace
              </Button>
            ) : (
              <Button kind="quiet" icon="trash" onClick={() => onOpen({ kind: "revoke", name: token.name })}>
                Revoke
              </Button>
            )}
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

function creator(token: TokenRow, names: Map<number, string>): string {
  const id = token.created_by_token_id;
  return id === undefined ? "" : (names.get(id) ?? `token ${id}, revoked`);
}

function Expiry({ text }: { text: string | undefined }): JSX.Element {
  if (text === undefined) {
    return <span class="muted">never</span>;
  }
  const isOver = parseAnswerTime(text) < Date.now();
  return (
    <span
      class={isOver ? "field-error" : ""}
    >{`${formatAnswerTime(text, zone.value, "minutes")}${isOver ? " (over)" : ""}`}</span>
  );
}

interface OpenedDialogProps {
  dialog: OpenDialog;
  onOpen(dialog: OpenDialog): void;
  onChanged(): void;
  onClose(): void;
}

function OpenedDialog({ dialog, onOpen, onChanged, onClose }: OpenedDialogProps): JSX.Element {
  const created = (token: CreatedToken) => {
    onChanged();
    onOpen({ kind: "created", token });
  };
  switch (dialog.kind) {
    case "create":
      return <CreateTokenDialog onCreated={created} onClose={onClose} />;
    case "created":
      return <ShowTokenDialog token={dialog.token} onClose={onClose} />;
    case "revoke":
      return <RevokeDialog name={dialog.name} onChanged={onChanged} onClose={onClose} />;
    case "revoke-by-name":
      return <RevokeByNameDialog onClose={onClose} />;
    case "replace":
      return <ReplaceDialog onReplaced={created} onClose={onClose} />;
  }
}

/** Shows a new token. It is forgotten when the dialog closes. */
function ShowTokenDialog({ token, onClose }: { token: CreatedToken; onClose(): void }): JSX.Element {
  const actions = (
    <Button kind="primary" onClick={onClose}>
      I have stored it
    </Button>
  );
  return (
    <Dialog title={`The token ${token.name}`} size="medium" onClose={onClose} actions={actions}>
      <p>Store it now: it is shown only once. The server keeps only its hash.</p>
      <p class="token-secret monospace" data-testid="token">
        {token.token}
      </p>
      <div>
        <CopyButton text={token.token} label="Copy the token" />
      </div>
      <p class="muted">
        Clients send it in the header <code>Authorization: Bearer …</code>
        {token.expiry === null ? "; it does not expire." : `; it expires at ${token.expiry}.`}
      </p>
    </Dialog>
  );
}

interface RevokeDialogProps {
  name: string;
  onChanged(): void;
  onClose(): void;
}

function RevokeDialog({ name, onChanged, onClose }: RevokeDialogProps): JSX.Element {
  const confirm = async () => {
    await deleteToken(name);
    notify("success", `The token ${name} is revoked.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={`Revoke the token ${name}`}
      action="Revoke token"
      typeToConfirm={name}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        Clients that use it are refused: by this server at once, by others within five seconds. This cannot be undone;
        tokens that it has created stay valid.
      </p>
    </ConfirmDialog>
  );
}

function RevokeByNameDialog({ onClose }: { onClose(): void }): JSX.Element {
  const [name, setName] = useState("");
  const { isBusy, error, run } = useChange(onClose);
  const revoke = async () => {
    await deleteToken(name);
    notify("success", `The token ${name} is revoked.`);
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="danger" type="submit" disabled={name === ""} isBusy={isBusy}>
        Revoke token
      </Button>
    </>
  );
  return (
    <Dialog title="Revoke a token" onClose={onClose} onSubmit={() => name !== "" && void run(revoke)} actions={actions}>
      <TextField label="Name of the token" value={name} onInput={setName} autoFocus />
      <p class="muted">This cannot be undone. The token must not have more permissions than yours.</p>
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}

interface ReplaceDialogProps {
  onReplaced(token: CreatedToken): void;
  onClose(): void;
}

function ReplaceDialog({ onReplaced, onClose }: ReplaceDialogProps): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<unknown>();
  const replace = async () => {
    setBusy(true);
    try {
      onReplaced(await regenerateOperatorToken());
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="danger" type="submit" disabled={typed !== OPERATOR} isBusy={isBusy}>
        Replace token
      </Button>
    </>
  );
  return (
    <Dialog
      title="Replace the operator token"
      onClose={onClose}
      onSubmit={() => typed === OPERATOR && !isBusy && void replace()}
      actions={actions}
    >
      <p>
        The present operator token stops working at once, also on this page if you are signed in with it. The new one is
        shown once.
      </p>
      <TextField label={`To confirm, type ${OPERATOR}`} value={typed} onInput={setTyped} isMonospace autoFocus />
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
