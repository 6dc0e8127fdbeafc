/** Databases: create, retention, drop, undelete; and the tables of the chosen one. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase, INTERNAL_DATABASE } from "../api/schema";
import { isAdmin, may, mayAnywhere } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatAnswerTime, zone } from "../time/zone";
import { Button, EmptyState, ErrorNote, Icon, Menu, type MenuItem, Spinner } from "../ui";
import { mayCreateDatabases, refreshDatabases } from "../write/rights";
import { AdminTable } from "./admin-table";
import { CreateDatabaseDialog } from "./create-dialogs";
import { DropDialog, RetentionDialog, UndeleteDialog } from "./drop-dialogs";
import { formatDurationNs } from "./durations";
import { AutoCreateDialog, RenameDialog } from "./schema-dialogs";
import { type DatabaseEntry, listAllDatabases, listVisibleDatabases } from "./server";
import { TablesPanel } from "./tables-panel";

type OpenDialog =
  | { kind: "create" }
  | { kind: "retention"; database: DatabaseEntry }
  | { kind: "autoCreate"; database: DatabaseEntry }
  | { kind: "rename"; database: string }
  | { kind: "drop"; database: string }
  | { kind: "undelete"; database: DatabaseEntry };

/** The panel. */
export function DatabasesPanel(): JSX.Element {
  const listed = useLoaded("databases", () => (isAdmin.value ? listAllDatabases() : listVisibleDatabases()));
  const [dialog, setDialog] = useState<OpenDialog>();
  const changed = () => {
    listed.reload();
    void refreshDatabases();
  };
  const shown = (listed.value ?? []).filter(({ name }) => name !== INTERNAL_DATABASE);
  const live = shown.filter(({ isDeleted }) => !isDeleted);
  const dropped = shown.filter(({ isDeleted }) => isDeleted);
  const chosen = live.find(({ name }) => name === currentDatabase.value);
  return (
    <div class="admin-databases">
      <section class="admin-section" aria-labelledby="databases-title">
        <header class="admin-head">
          <h2 id="databases-title">Databases</h2>
          {mayCreateDatabases() && (
            <Button kind="primary" icon="add" onClick={() => setDialog({ kind: "create" })}>
              Create database
            </Button>
          )}
        </header>
        {listed.error !== undefined && <ErrorNote error={listed.error} onRetry={listed.reload} />}
        {listed.value === undefined && listed.error === undefined && <Spinner label="Loading" />}
        {listed.value !== undefined && live.length === 0 && (
          <EmptyState icon="database" title="No database yet">
            <p>A database is created by the first write to it, or here.</p>
          </EmptyState>
        )}
        {live.length > 0 && <LiveDatabases databases={live} onOpen={setDialog} />}
        {dropped.length > 0 && <DroppedDatabases databases={dropped} onOpen={setDialog} />}
      </section>
      {chosen !== undefined && <TablesPanel key={chosen.name} database={chosen.name} />}
      {dialog !== undefined && (
        <OpenedDialog dialog={dialog} onChanged={changed} onClose={() => setDialog(undefined)} />
      )}
    </div>
  );
}

interface ListProps {
  databases: readonly DatabaseEntry[];
  onOpen(dialog: OpenDialog): void;
}

function LiveDatabases({ databases, onOpen }: ListProps): JSX.Element {
  return (
    <AdminTable label="Live databases" heads={["Name", ...(isAdmin.value ? ["Rows are kept", "Writes create"] : [])]}>
      {databases.map((database) => (
        <tr key={database.name} class={database.name === currentDatabase.value ? "admin-chosen" : ""}>
          <th scope="row">
            <button
              type="button"
              class="link-button preview-cell"
              aria-pressed={database.name === currentDatabase.value}
              onClick={() => {
                currentDatabase.value = database.name;
              }}
            >
              {database.name}
            </button>
          </th>
          {isAdmin.value && (
            <>
              <td>{database.retentionNs === undefined ? "for ever" : formatDurationNs(database.retentionNs)}</td>
              <td>{database.autoCreate}</td>
            </>
          )}
          <td class="admin-actions">
            <DatabaseMenu database={database} onOpen={onOpen} />
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

function DatabaseMenu({ database, onOpen }: { database: DatabaseEntry; onOpen: ListProps["onOpen"] }) {
  const items: MenuItem[] = [];
  if (isAdmin.value) {
    items.push({ label: "Set retention", icon: "time", onSelect: () => onOpen({ kind: "retention", database }) });
    items.push({ label: "What writes create", icon: "key", onSelect: () => onOpen({ kind: "autoCreate", database }) });
  }
  if (may("delete", database.name)) {
    items.push({ label: "Rename", icon: "edit", onSelect: () => onOpen({ kind: "rename", database: database.name }) });
    const onSelect = () => onOpen({ kind: "drop", database: database.name });
    items.push({ label: "Delete database", icon: "trash", isDangerous: true, onSelect });
  }
  return items.length === 0 ? null : (
    <Menu label={`Actions for the database ${database.name}`} isIconOnly kind="quiet" items={items} />
  );
}

function DroppedDatabases({ databases, onOpen }: ListProps): JSX.Element {
  return (
    <details class="admin-dropped" open>
      <summary>
        {databases.length} deleted {databases.length === 1 ? "database" : "databases"}
      </summary>
      <ul>
        {databases.map((database) => (
          <li key={database.name}>
            <Icon name="trash" />
            <span class="preview-cell">{database.name}</span>
            {isAdmin.value && <span class="muted">{untilText(database.deletedAt)}</span>}
            {(isAdmin.value || mayAnywhere("delete")) && (
              <Button kind="quiet" icon="undo" onClick={() => onOpen({ kind: "undelete", database })}>
                Undelete
              </Button>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Returns until when a drop can be undone. */
export function untilText(deletedAt: string | undefined): string {
  if (deletedAt === undefined) {
    return "the data is kept until it is undeleted";
  }
  const moment = `${formatAnswerTime(deletedAt, zone.value)} ${zone.value}`;
  return new Date(deletedAt) <= new Date()
    ? `the data is being deleted since ${moment}`
    : `can be undeleted until ${moment}`;
}

interface OpenedDialogProps {
  dialog: OpenDialog;
  onChanged(): void;
  onClose(): void;
}

function OpenedDialog({ dialog, onChanged, onClose }: OpenedDialogProps): JSX.Element {
  switch (dialog.kind) {
    case "create":
      return <CreateDatabaseDialog onCreated={onChanged} onClose={onClose} />;
    case "retention":
      return (
        <RetentionDialog
          database={dialog.database.name}
          present={dialog.database.retentionNs}
          onChanged={onChanged}
          onClose={onClose}
        />
      );
    case "autoCreate":
      return (
        <AutoCreateDialog
          database={dialog.database.name}
          present={dialog.database.autoCreate ?? "all"}
          onChanged={onChanged}
          onClose={onClose}
        />
      );
    case "rename":
      return (
        <RenameDialog
          object={{ db: dialog.database }}
          onRenamed={(name) => {
            if (currentDatabase.value === dialog.database) {
              currentDatabase.value = name;
            }
            onChanged();
          }}
          onClose={onClose}
        />
      );
    case "drop":
      return <DropDialog database={dialog.database} onChanged={onChanged} onClose={onClose} />;
    case "undelete":
      return <UndeleteDialog database={dialog.database.name} onChanged={onChanged} onClose={onClose} />;
  }
}
