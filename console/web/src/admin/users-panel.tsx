/** Users and roles: who may sign in, and what each role allows. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { mayOnUsers } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { zone } from "../time/zone";
import { Button, ErrorNote, Menu, type MenuItem, notify, Spinner } from "../ui";
import { AdminTable, shortSeconds } from "./admin-table";
import { RoleDialog, UserDialog, type UserDialogState } from "./user-dialogs";
import { listRoles, listUsers, type RoleEntry, requirePasswordReset, stateOf, type User, updateUser } from "./users";

type Open = (dialog: UserDialogState) => void;

/** The panel. */
export function UsersPanel(): JSX.Element {
  const users = useLoaded("users", listUsers);
  const roles = useLoaded("roles", listRoles);
  const [dialog, setDialog] = useState<UserDialogState>();
  const props = {
    roles: roles.value ?? [],
    onChanged: () => {
      users.reload();
      roles.reload();
    },
    onClose: () => setDialog(undefined),
  };
  return (
    <>
      <section class="admin-section" aria-labelledby="users-title">
        <header class="admin-head">
          <h2 id="users-title">Users</h2>
          {mayOnUsers("create") && (
            <Button kind="primary" icon="add" onClick={() => setDialog({ kind: "create-user" })}>
              Create user
            </Button>
          )}
        </header>
        {users.error !== undefined && <ErrorNote error={users.error} onRetry={users.reload} />}
        {users.value === undefined && users.error === undefined && <Spinner label="Loading" />}
        {users.value?.length === 0 && <p class="muted">There are no users yet. Only tokens can be used.</p>}
        {users.value !== undefined && users.value.length > 0 && (
          <UserTable users={users.value} onOpen={setDialog} onChanged={users.reload} />
        )}
      </section>
      <section class="admin-section" aria-labelledby="roles-title">
        <header class="admin-head">
          <h2 id="roles-title">Roles</h2>
          {mayOnUsers("create") && (
            <Button icon="add" onClick={() => setDialog({ kind: "create-role" })}>
              Create role
            </Button>
          )}
        </header>
        {roles.error !== undefined && <ErrorNote error={roles.error} onRetry={roles.reload} />}
        {roles.value !== undefined && <RoleTable roles={roles.value} onOpen={setDialog} />}
      </section>
      {dialog !== undefined &&
        ("role" in dialog || dialog.kind === "create-role" ? (
          <RoleDialog dialog={dialog} {...props} />
        ) : (
          <UserDialog dialog={dialog} {...props} />
        ))}
    </>
  );
}

interface UserTableProps {
  users: readonly User[];
  onOpen: Open;
  onChanged(): void;
}

function UserTable({ users, onOpen, onChanged }: UserTableProps): JSX.Element {
  const nowMs = Date.now();
  return (
    <AdminTable
      label="All users"
      heads={["Name", "Roles", "State", "Signs in with", `Created (${zone.value})`, `Expires (${zone.value})`]}
    >
      {users.map((user) => (
        <tr key={user.userId}>
          <th scope="row">
            <span class="preview-cell">{user.username}</span>{" "}
            {user.displayName && <span class="muted preview-cell">{user.displayName}</span>}
          </th>
          <td class="admin-wrap">{user.roles.join(", ")}</td>
          <td>{stateOf(user, nowMs)}</td>
          <td class="admin-wrap">{credentialsOf(user)}</td>
          <td>{shortSeconds(user.createdAt)}</td>
          <td>{shortSeconds(user.expiresAt) || <span class="muted">never</span>}</td>
          <td class="admin-actions">
            <UserMenu user={user} onOpen={onOpen} onChanged={onChanged} />
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

function credentialsOf(user: User): string {
  const password = user.requiresPasswordReset === undefined ? [] : ["password"];
  return [...password, ...(user.oauthId === undefined ? [] : [`provider: ${user.oauthId}`])].join(", ");
}

function UserMenu({ user, onOpen, onChanged }: { user: User; onOpen: Open; onChanged(): void }): JSX.Element | null {
  const change = async (work: Promise<void>, text: string) => {
    try {
      await work;
      notify("success", text);
    } catch (error) {
      notify("error", messageOf(error));
    }
    onChanged();
  };
  const items: MenuItem[] = [];
  if (mayOnUsers("update")) {
    const { userId, username, disabled } = user;
    items.push(
      { label: "Set roles", icon: "key", onSelect: () => onOpen({ kind: "roles", user }) },
      { label: "Set a password", icon: "edit", onSelect: () => onOpen({ kind: "password", user }) },
    );
    if (user.requiresPasswordReset === false) {
      const text = `${username} must set another password.`;
      const onSelect = () => void change(requirePasswordReset(userId), text);
      items.push({ label: "Require another password", icon: "refresh", onSelect });
    }
    const text = `${username} is ${disabled ? "enabled" : "disabled"}.`;
    const onSelect = () => void change(updateUser(userId, { disabled: !disabled }), text);
    items.push({ label: disabled ? "Enable" : "Disable", icon: disabled ? "play" : "pause", onSelect });
  }
  if (mayOnUsers("delete")) {
    const onSelect = () => onOpen({ kind: "delete-user", user });
    items.push({ label: "Delete user", icon: "trash", isDangerous: true, onSelect });
  }
  return items.length === 0 ? null : (
    <Menu label={`Actions for the user ${user.username}`} isIconOnly kind="quiet" items={items} />
  );
}

function RoleTable({ roles, onOpen }: { roles: readonly RoleEntry[]; onOpen: Open }): JSX.Element {
  return (
    <AdminTable label="All roles" heads={["Name", "Permissions", "Description"]}>
      {roles.map((role) => (
        <tr key={role.id}>
          <th scope="row">
            <span class="preview-cell">{role.name}</span>
          </th>
          <td class="admin-wrap">{permissionsText(role)}</td>
          <td class="admin-wrap">{role.description ?? ""}</td>
          <td class="admin-actions">{!role.isRequiredRole && <RoleMenu role={role} onOpen={onOpen} />}</td>
        </tr>
      ))}
    </AdminTable>
  );
}

function permissionsText({ permissions }: RoleEntry): string {
  if (permissions === undefined) {
    return "not read";
  }
  return permissions[0] === "*:*:*" ? "everything" : permissions.join(", ");
}

function RoleMenu({ role, onOpen }: { role: RoleEntry; onOpen: Open }): JSX.Element | null {
  const items: MenuItem[] = [];
  if (mayOnUsers("update") && role.permissions !== undefined) {
    items.push({ label: "Set permissions", icon: "edit", onSelect: () => onOpen({ kind: "permissions", role }) });
  }
  if (mayOnUsers("delete")) {
    const onSelect = () => onOpen({ kind: "delete-role", role });
    items.push({ label: "Delete role", icon: "trash", isDangerous: true, onSelect });
  }
  return items.length === 0 ? null : (
    <Menu label={`Actions for the role ${role.name}`} isIconOnly kind="quiet" items={items} />
  );
}
