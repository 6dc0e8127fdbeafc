/** Dialogs that create, change and delete users and roles. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { passwordError } from "../shell/password-error";
import { Checkbox, ConfirmDialog, notify, Select, TextField } from "../ui";
import { ChangeDialog } from "./change-dialog";
import { Choices } from "./choices";
import { durationSeconds } from "./durations";
import {
  createRole,
  createUser,
  deleteRole,
  deleteUser,
  permissionLines,
  type RoleEntry,
  setRolePermissions,
  setUserRoles,
  type User,
  updateUser,
} from "./users";

/** The open dialog. */
export type UserDialogState =
  | { kind: "create-user" }
  | { kind: "roles" | "password" | "delete-user"; user: User }
  | RoleDialogState;

type RoleDialogState = { kind: "create-role" } | { kind: "permissions" | "delete-role"; role: RoleEntry };

interface DialogProps {
  roles: readonly RoleEntry[];
  onChanged(): void;
  onClose(): void;
}

/** A dialog about a user. */
export function UserDialog(props: DialogProps & { dialog: Exclude<UserDialogState, RoleDialogState> }): JSX.Element {
  const { dialog } = props;
  switch (dialog.kind) {
    case "create-user":
      return <CreateUserDialog {...props} />;
    case "roles":
      return <UserRolesDialog {...props} user={dialog.user} />;
    case "password":
      return <SetPasswordDialog {...props} user={dialog.user} />;
    case "delete-user":
      return <DeleteUserDialog {...props} user={dialog.user} />;
  }
}

/** A dialog about a role. */
export function RoleDialog(props: DialogProps & { dialog: RoleDialogState }): JSX.Element {
  const { dialog } = props;
  switch (dialog.kind) {
    case "create-role":
      return <RoleForm {...props} />;
    case "permissions":
      return <RoleForm {...props} role={dialog.role} />;
    case "delete-role":
      return <DeleteRoleDialog {...props} role={dialog.role} />;
  }
}

type SignInKind = "password" | "provider";

const SIGN_IN_KINDS: readonly { value: SignInKind; label: string }[] = [
  { value: "password", label: "A password" },
  { value: "provider", label: "The identity provider" },
];

function CreateUserDialog({ roles, onChanged, onClose }: DialogProps): JSX.Element {
  const [username, setUsername] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [kind, setKind] = useState<SignInKind>("password");
  const [secret, setSecret] = useState("");
  const [mustReset, setMustReset] = useState(true);
  const [expiry, setExpiry] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const isByPassword = kind === "password";
  const secretError = secret !== "" && isByPassword ? passwordError(secret) : undefined;
  const expirySecs = expiry === "" ? undefined : durationSeconds(expiry);
  const isExpiryWrong = expiry !== "" && expirySecs === undefined;
  const create = async () => {
    await createUser({
      username,
      displayName: displayName || undefined,
      ...(isByPassword ? { password: secret } : { oauthId: secret }),
      roleIds: chosen.map(Number),
      requiresPasswordReset: mustReset,
      expirySecs,
    });
    notify("success", `The user ${username} is created.`);
  };
  return (
    <ChangeDialog
      title="Create a user"
      action="Create user"
      isReady={username !== "" && secret !== "" && secretError === undefined && !isExpiryWrong}
      change={create}
      onChanged={onChanged}
      onClose={onClose}
    >
      <TextField label="Name" value={username} onInput={setUsername} autoFocus />
      <TextField label="Full name" value={displayName} onInput={setDisplayName} placeholder="optional" />
      <RoleChoices roles={roles} chosen={chosen} onChange={setChosen} />
      <Select
        label="Signs in with"
        value={kind}
        options={SIGN_IN_KINDS}
        onChange={(value) => {
          setKind(value);
          setSecret("");
        }}
      />
      {isByPassword ? (
        <>
          <TextField
            label="Password"
            type="password"
            autoComplete="new-password"
            value={secret}
            onInput={setSecret}
            error={secretError}
          />
          <Checkbox
            label="The user must set another one at the first sign-in"
            isChecked={mustReset}
            onChange={setMustReset}
          />
        </>
      ) : (
        <TextField
          label="Id at the provider"
          value={secret}
          onInput={setSecret}
          hint="The claim sub of the user's tokens."
          isMonospace
        />
      )}
      <TextField
        label="Expires after"
        value={expiry}
        onInput={setExpiry}
        placeholder="never"
        error={isExpiryWrong ? "Write a duration such as 90d, or nothing." : undefined}
      />
    </ChangeDialog>
  );
}

interface RoleChoicesProps {
  roles: readonly RoleEntry[];
  /** The ids of the chosen roles. */
  chosen: readonly string[];
  onChange(chosen: string[]): void;
}

function RoleChoices({ roles, chosen, onChange }: RoleChoicesProps): JSX.Element {
  const options = roles.map(({ id, name }) => ({ id: String(id), label: name }));
  return <Choices label="Roles" options={options} chosen={chosen} onChange={onChange} />;
}

type OfUser = DialogProps & { user: User };

function UserRolesDialog({ user, roles, onChanged, onClose }: OfUser): JSX.Element {
  const present = roles.filter(({ name }) => user.roles.includes(name));
  const [chosen, setChosen] = useState(present.map(({ id }) => String(id)));
  return (
    <ChangeDialog
      title={`Roles of ${user.username}`}
      action="Set roles"
      isReady
      change={() => setUserRoles(user.userId, chosen.map(Number))}
      onChanged={onChanged}
      onClose={onClose}
    >
      <RoleChoices roles={roles} chosen={chosen} onChange={setChosen} />
      <p class="muted">
        The user may do what any of the roles allows. Other processes apply the change within five seconds. Roles of
        groups at the identity provider are set again at each sign-in.
      </p>
    </ChangeDialog>
  );
}

function SetPasswordDialog({ user, onChanged, onClose }: OfUser): JSX.Element {
  const [password, setPassword] = useState("");
  const error = password === "" ? undefined : passwordError(password);
  return (
    <ChangeDialog
      title={`Password of ${user.username}`}
      action="Set password"
      isReady={password !== "" && error === undefined}
      change={() => updateUser(user.userId, { password })}
      onChanged={onChanged}
      onClose={onClose}
    >
      <TextField
        label="Password"
        type="password"
        autoComplete="new-password"
        value={password}
        onInput={setPassword}
        error={error}
        autoFocus
      />
      <p class="muted">All sessions of the user end. The user must set another password at the next sign-in.</p>
    </ChangeDialog>
  );
}

function DeleteUserDialog({ user, onChanged, onClose }: OfUser): JSX.Element {
  const confirm = async () => {
    await deleteUser(user.userId);
    notify("success", `The user ${user.username} is deleted.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={`Delete the user ${user.username}`}
      action="Delete user"
      typeToConfirm={user.username}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>All sessions of the user end. Tokens that the user has created stay valid. This cannot be undone.</p>
    </ConfirmDialog>
  );
}

function RoleForm({ role, onChanged, onClose }: DialogProps & { role?: RoleEntry }): JSX.Element {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [text, setText] = useState(role?.permissions?.join("\n") ?? "");
  const permissions = permissionLines(text);
  const save = () =>
    role === undefined ? createRole(name, description, permissions) : setRolePermissions(role.id, permissions);
  return (
    <ChangeDialog
      title={role === undefined ? "Create a role" : `Permissions of ${role.name}`}
      action={role === undefined ? "Create role" : "Set permissions"}
      isReady={permissions.length > 0 && (role !== undefined || name !== "")}
      change={save}
      onChanged={onChanged}
      onClose={onClose}
    >
      {role === undefined && (
        <>
          <TextField label="Name" value={name} onInput={setName} autoFocus />
          <TextField label="Description" value={description} onInput={setDescription} placeholder="optional" />
        </>
      )}
      <TextField
        label="Permissions"
        value={text}
        onInput={setText}
        lines={5}
        isMonospace
        placeholder={"db:home:read,write\nsystem:metrics:read"}
        hint="One in each line: db:NAME:read,write,append,create,delete, system:NAME:read, token:*:create,delete, user:*:read,create,update,delete, audit:*:read. * stands for all names."
      />
    </ChangeDialog>
  );
}

function DeleteRoleDialog({ role, onChanged, onClose }: DialogProps & { role: RoleEntry }): JSX.Element {
  const confirm = async () => {
    await deleteRole(role.id);
    notify("success", `The role ${role.name} is deleted.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={`Delete the role ${role.name}`}
      action="Delete role"
      typeToConfirm={role.name}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>Users who have the role lose its permissions. This cannot be undone.</p>
    </ConfirmDialog>
  );
}
