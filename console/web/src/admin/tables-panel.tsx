/** The tables of a database: create, retention, drop, undelete. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { isAdmin, may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link } from "../router";
import { Button, EmptyState, ErrorNote, Icon, Menu, type MenuItem, Spinner, TextField } from "../ui";
import { exploreTable } from "../write/preview-tables";
import { AdminTable } from "./admin-table";
import { CreateTableDialog } from "./create-dialogs";
import { untilText } from "./databases-panel";
import { DropDialog, RetentionDialog, UndeleteDialog } from "./drop-dialogs";
import { formatDurationNs } from "./durations";
import { type ColumnChange, ColumnChangeDialog, ColumnsDialog, RenameDialog } from "./schema-dialogs";
import { listTableEntries, type TableEntry } from "./server";

type OpenDialog =
  | { kind: "create" }
  | { kind: "retention"; table: TableEntry }
  | { kind: "rename"; table: string }
  | { kind: "columns"; table: string }
  | { kind: "column"; table: string; change: ColumnChange; column: string }
  | { kind: "drop"; table: string }
  | { kind: "undelete"; table: string };

/** Maximum number of tables that are shown at once. A filter finds the others. */
const MAX_SHOWN = 500;

/** The panel. */
export function TablesPanel({ database }: { database: string }): JSX.Element {
  const listed = useLoaded(database, () => listTableEntries(database, isAdmin.value));
  const [filter, setFilter] = useState("");
  const [dialog, setDialog] = useState<OpenDialog>();
  const matching = (listed.value ?? []).filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
  const live = matching.filter(({ isDeleted }) => !isDeleted);
  const dropped = matching.filter(({ isDeleted }) => isDeleted);
  const isLarge = (listed.value?.length ?? 0) > 12;
  return (
    <section class="admin-section" aria-labelledby="tables-title">
      <header class="admin-head">
        <h2 id="tables-title">
          Tables of <span class="preview-name">{database}</span>
        </h2>
        {isLarge && (
          <TextField
            label="Filter tables"
            isLabelHidden
            type="search"
            value={filter}
            onInput={setFilter}
            placeholder="Filter"
          />
        )}
        {(may("create", database) || may("write", database)) && (
          <Button icon="add" onClick={() => setDialog({ kind: "create" })}>
            Create table
          </Button>
        )}
      </header>
      {listed.error !== undefined && <ErrorNote error={listed.error} onRetry={listed.reload} />}
      {listed.value === undefined && listed.error === undefined && <Spinner label="Loading" />}
      {listed.value !== undefined && listed.value.length === 0 && (
        <EmptyState icon="table" title="No table yet">
          <p>
            <a href={link("write", { db: database }, ["text"])}>Write rows</a>: the first row of a table creates it.
          </p>
        </EmptyState>
      )}
      {live.length > 0 && <LiveTables database={database} tables={live.slice(0, MAX_SHOWN)} onOpen={setDialog} />}
      {live.length > MAX_SHOWN && <p class="muted">{live.length - MAX_SHOWN} further tables: filter by their name.</p>}
      {dropped.length > 0 && (
        <details class="admin-dropped" open>
          <summary>
            {dropped.length} deleted {dropped.length === 1 ? "table" : "tables"}
          </summary>
          <ul>
            {dropped.map((table) => (
              <li key={table.name}>
                <Icon name="trash" />
                <span class="preview-cell">{table.name}</span>
                <span class="muted">{untilText(table.deletedAt)}</span>
                <Button kind="quiet" icon="undo" onClick={() => setDialog({ kind: "undelete", table: table.name })}>
                  Undelete
                </Button>
              </li>
            ))}
          </ul>
        </details>
      )}
      {dialog !== undefined && (
        <OpenedDialog
          database={database}
          dialog={dialog}
          onOpen={setDialog}
          onChanged={listed.reload}
          onClose={() => setDialog(undefined)}
        />
      )}
    </section>
  );
}

interface LiveTablesProps {
  database: string;
  tables: readonly TableEntry[];
  onOpen(dialog: OpenDialog): void;
}

function LiveTables({ database, tables, onOpen }: LiveTablesProps): JSX.Element {
  return (
    <AdminTable label="Live tables" heads={["Name", ...(isAdmin.value ? ["Columns", "Tags"] : []), "Rows are kept"]}>
      {tables.map((table) => (
        <tr key={table.name}>
          <th scope="row">
            <a class="preview-cell" href={exploreTable(database, table.name)}>
              {table.name}
            </a>
          </th>
          {isAdmin.value && <td>{table.columns}</td>}
          {isAdmin.value && (
            <td>
              <span class="preview-cell">{table.tags}</span>
            </td>
          )}
          <td>
            {table.retentionNs === undefined ? "for ever" : formatDurationNs(table.retentionNs)}
            {table.retentionSource === "database" && <span class="muted"> (database)</span>}
          </td>
          <td class="admin-actions">
            <TableMenu database={database} table={table} onOpen={onOpen} />
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

interface TableMenuProps {
  database: string;
  table: TableEntry;
  onOpen(dialog: OpenDialog): void;
}

function TableMenu({ database, table, onOpen }: TableMenuProps): JSX.Element | null {
  const items: MenuItem[] = [];
  if (isAdmin.value) {
    items.push({ label: "Set retention", icon: "time", onSelect: () => onOpen({ kind: "retention", table }) });
  }
  if (may("read", database) && may("write", database)) {
    const onSelect = () => {
      location.hash = link("administer", { table: table.name }, ["delete"]);
    };
    items.push({ label: "Delete rows", icon: "filter", onSelect });
  }
  if (may("create", database) || may("write", database) || may("delete", database)) {
    const onSelect = () => onOpen({ kind: "columns", table: table.name });
    items.push({ label: "Columns", icon: "column", onSelect });
  }
  if (may("delete", database)) {
    const onRename = () => onOpen({ kind: "rename", table: table.name });
    items.push({ label: "Rename", icon: "edit", onSelect: onRename });
    const onSelect = () => onOpen({ kind: "drop", table: table.name });
    items.push({ label: "Delete table", icon: "trash", isDangerous: true, onSelect });
  }
  return items.length === 0 ? null : (
    <Menu label={`Actions for the table ${table.name}`} isIconOnly kind="quiet" items={items} />
  );
}

interface OpenedDialogProps {
  database: string;
  dialog: OpenDialog;
  onOpen(dialog: OpenDialog): void;
  onChanged(): void;
  onClose(): void;
}

function OpenedDialog({ database, dialog, onOpen, onChanged, onClose }: OpenedDialogProps): JSX.Element {
  switch (dialog.kind) {
    case "create":
      return <CreateTableDialog database={database} onCreated={onChanged} onClose={onClose} />;
    case "retention":
      return (
        <RetentionDialog
          database={database}
          table={dialog.table.name}
          present={dialog.table.retentionSource === "table" ? dialog.table.retentionNs : undefined}
          onChanged={onChanged}
          onClose={onClose}
        />
      );
    case "rename":
      return <RenameDialog object={{ db: database, table: dialog.table }} onRenamed={onChanged} onClose={onClose} />;
    case "columns":
      return (
        <ColumnsDialog
          database={database}
          table={dialog.table}
          onChange={(change, column = "") => onOpen({ kind: "column", table: dialog.table, change, column })}
          onClose={onClose}
        />
      );
    case "column":
      return (
        <ColumnChangeDialog
          {...dialog}
          database={database}
          onClose={() => {
            onChanged();
            onOpen({ kind: "columns", table: dialog.table });
          }}
        />
      );
    case "drop":
      return <DropDialog database={database} table={dialog.table} onChanged={onChanged} onClose={onClose} />;
    case "undelete":
      return <UndeleteDialog database={database} table={dialog.table} onChanged={onChanged} onClose={onClose} />;
  }
}
