/** The dialog that creates a token with permissions by database. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { databases, INTERNAL_DATABASE } from "../api/schema";
import { isAdmin } from "../api/session";
import { Button, Dialog, ErrorNote, IconButton, Select, TextField } from "../ui";
import { Choices } from "./choices";
import { durationSeconds } from "./durations";
import {
  DATABASE_ACTIONS,
  type DatabaseRule,
  type PermissionChoice,
  permissionsOf,
  permissionText,
  ruleProblem,
  SYSTEM_NAMES,
} from "./permissions";
import { type CreatedToken, createToken } from "./server";

export interface CreateTokenDialogProps {
  onCreated(token: CreatedToken): void;
  onClose(): void;
}

type Power = "limited" | "admin";

/** The dialog. */
export function CreateTokenDialog({ onCreated, onClose }: CreateTokenDialogProps): JSX.Element {
  const [name, setName] = useState("");
  const [power, setPower] = useState<Power>("limited");
  const [expiry, setExpiry] = useState("90d");
  const [choice, setChoice] = useState<PermissionChoice>({
    databases: [{ names: "", actions: ["read"] }],
    system: [],
    tokens: [],
  });
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const known = databases.value.map((database) => database.name);
  const permissions = permissionsOf(choice);
  const expirySeconds = expiry === "" ? undefined : durationSeconds(expiry);
  const expiryError =
    expiry !== "" && expirySeconds === undefined ? "Write a duration such as 90d, or nothing." : undefined;
  const isRuleWrong = choice.databases.some((rule) => ruleProblem(rule, known) !== undefined);
  const hasPower = power === "admin" || (permissions.length > 0 && !isRuleWrong);
  const isReady = name !== "" && expiryError === undefined && hasPower && !isBusy;
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      onCreated(await createToken(name, power === "admin" ? undefined : permissions, expirySeconds));
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        Create token
      </Button>
    </>
  );
  return (
    <Dialog
      title="Create a token"
      size="medium"
      onClose={onClose}
      onSubmit={() => isReady && void create()}
      actions={actions}
    >
      <TextField label="Name" value={name} onInput={setName} placeholder="grafana" autoFocus />
      {isAdmin.value && (
        <Select
          label="Power"
          value={power}
          options={[
            { value: "limited", label: "Limited permissions" },
            { value: "admin", label: "Administrator: everything" },
          ]}
          onChange={(value) => setPower(value as Power)}
        />
      )}
      {power === "limited" && <PermissionFields choice={choice} known={known} onChange={setChoice} />}
      <TextField
        label="Expires after"
        value={expiry}
        onInput={setExpiry}
        placeholder="never"
        error={expiryError}
        suggestions={["1d", "30d", "90d", "1y"]}
        hint={expiry === "" ? "Without a time, it is valid until it is revoked." : undefined}
      />
      {power === "limited" && permissions.length > 0 && (
        <p class="muted">
          Permissions: <code>{permissions.map(permissionText).join("  ")}</code>
        </p>
      )}
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}

interface PermissionFieldsProps {
  choice: PermissionChoice;
  known: readonly string[];
  onChange(choice: PermissionChoice): void;
}

function PermissionFields({ choice, known, onChange }: PermissionFieldsProps): JSX.Element {
  const setRule = (index: number, rule: DatabaseRule) =>
    onChange({ ...choice, databases: choice.databases.map((old, place) => (place === index ? rule : old)) });
  const remove = (index: number) =>
    onChange({ ...choice, databases: choice.databases.filter((_, place) => place !== index) });
  return (
    <fieldset class="admin-fields">
      <legend>Permissions</legend>
      {choice.databases.map((rule, index) => (
        <RuleFields
          key={`rule ${index + 1}`}
          number={index + 1}
          rule={rule}
          known={known}
          onChange={(changed) => setRule(index, changed)}
          onRemove={() => remove(index)}
        />
      ))}
      <Button
        kind="quiet"
        icon="add"
        onClick={() => onChange({ ...choice, databases: [...choice.databases, { names: "", actions: ["read"] }] })}
      >
        Add databases
      </Button>
      <Choices
        label="System endpoints"
        options={SYSTEM_NAMES.map((id) => ({ id, label: id }))}
        chosen={choice.system}
        onChange={(system) => onChange({ ...choice, system })}
      />
      <Choices
        label="Tokens with no more permissions than this one"
        options={[
          { id: "create", label: "create" },
          { id: "delete", label: "revoke" },
        ]}
        chosen={choice.tokens}
        onChange={(tokens) => onChange({ ...choice, tokens })}
      />
    </fieldset>
  );
}

interface RuleFieldsProps {
  number: number;
  rule: DatabaseRule;
  known: readonly string[];
  onChange(rule: DatabaseRule): void;
  onRemove(): void;
}

function RuleFields({ number, rule, known, onChange, onRemove }: RuleFieldsProps): JSX.Element {
  return (
    <div class="admin-rule">
      <div class="admin-field-row">
        <TextField
          label={`Databases ${number}`}
          value={rule.names}
          onInput={(names) => onChange({ ...rule, names })}
          placeholder="home, or * for all"
          suggestions={["*", ...known.filter((name) => name !== INTERNAL_DATABASE)]}
          error={ruleProblem(rule, known)}
        />
        <IconButton icon="close" label={`Remove databases ${number}`} onClick={onRemove} />
      </div>
      <Choices
        label={`Actions ${number}`}
        options={DATABASE_ACTIONS}
        chosen={rule.actions}
        onChange={(actions) => onChange({ ...rule, actions })}
      />
    </div>
  );
}
