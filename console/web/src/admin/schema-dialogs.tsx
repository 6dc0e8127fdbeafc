/** Dialogs that rename databases and tables, and change columns and what writes create. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { type Column, listTables } from "../api/schema";
import { may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { Button, ConfirmDialog, Dialog, ErrorNote, Menu, notify, Select, Spinner, TextField } from "../ui";
import { AdminTable } from "./admin-table";
import { ChangeDialog } from "./change-dialog";
import {
  addColumn,
  type ColumnType,
  deleteAlias,
  dropColumn,
  listAliases,
  rename,
  type SchemaObject,
  setAutoCreate,
  widenColumn,
} from "./schema-changes";
import type { AutoCreate } from "./server";

interface RenameDialogProps {
  object: SchemaObject;
  /** Gets the new name. */
  onRenamed(name: string): void;
  onClose(): void;
}

/** Renames a database, a table or a column, and deletes its former names. */
export function RenameDialog({ object, onRenamed, onClose }: RenameDialogProps): JSX.Element {
  const present = object.column ?? object.table ?? object.db;
  const [name, setName] = useState(present);
  const typed = name.trim();
  return (
    <ChangeDialog
      title={`Rename ${present}`}
      action="Rename"
      isReady={typed !== "" && typed !== present}
      change={() => rename(object, typed)}
      onChanged={() => {
        notify("success", `${present} has the name ${typed}.`);
        onRenamed(typed);
      }}
      onClose={onClose}
    >
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        hint="Requests and writes with the present name go on to work. The answer takes five seconds."
        autoFocus
      />
      <FormerNames object={object} />
    </ChangeDialog>
  );
}

function FormerNames({ object }: { object: SchemaObject }): JSX.Element | null {
  const aliases = useLoaded(JSON.stringify(object), () => listAliases(object));
  const [deleted, setDeleted] = useState<string>();
  const remove = async (alias: string): Promise<void> => {
    setDeleted(alias);
    try {
      await deleteAlias(object, alias);
    } catch (error) {
      notify("error", messageOf(error));
    }
    setDeleted(undefined);
    aliases.reload();
  };
  if (aliases.value === undefined || aliases.value.length === 0) {
    return null;
  }
  return (
    <div>
      <p>Former names that still stand for it:</p>
      <ul class="admin-dropped">
        {aliases.value.map((alias) => (
          <li key={alias}>
            <span class="preview-cell">{alias}</span>
            <Button kind="quiet" icon="trash" isBusy={deleted === alias} onClick={() => void remove(alias)}>
              Delete
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A change of a column. */
export type ColumnChange = "rename" | "widen" | "drop" | "add";

interface ColumnsDialogProps {
  database: string;
  table: string;
  /** Starts a change of a column; of a new one if there is no name. */
  onChange(change: ColumnChange, column?: string): void;
  onClose(): void;
}

/** Lists the columns of a table. */
export function ColumnsDialog({ database, table, onChange, onClose }: ColumnsDialogProps): JSX.Element {
  const columns = useLoaded(`${database} ${table}`, async () => {
    const tables = await listTables(database);
    return tables.find(({ name }) => name === table)?.columns ?? [];
  });
  const mayChange = may("delete", database);
  const actions = (
    <>
      {(may("create", database) || may("write", database)) && (
        <Button icon="add" onClick={() => onChange("add")}>
          Add column
        </Button>
      )}
      <Button kind="primary" onClick={onClose}>
        Done
      </Button>
    </>
  );
  return (
    <Dialog title={`Columns of ${table}`} size="medium" onClose={onClose} actions={actions}>
      {columns.error !== undefined && <ErrorNote error={columns.error} onRetry={columns.reload} />}
      {columns.value === undefined && columns.error === undefined && <Spinner label="Loading" />}
      {columns.value !== undefined && (
        <AdminTable label="All columns" heads={["Name", "Kind", "Type"]} hasActions={mayChange}>
          {columns.value.map((column) => (
            <tr key={column.name}>
              <th scope="row">
                <span class="preview-cell">{column.name}</span>
              </th>
              <td>{column.role}</td>
              <td>{column.type}</td>
              {mayChange && (
                <td class="admin-actions">
                  {column.role !== "time" && <ColumnMenu column={column} onChange={onChange} />}
                </td>
              )}
            </tr>
          ))}
        </AdminTable>
      )}
    </Dialog>
  );
}

function ColumnMenu({ column, onChange }: { column: Column; onChange: ColumnsDialogProps["onChange"] }): JSX.Element {
  const { name, role, type } = column;
  const isField = role === "field";
  return (
    <Menu
      label={`Actions for the column ${name}`}
      isIconOnly
      kind="quiet"
      items={[
        { label: "Rename", icon: "edit", onSelect: () => onChange("rename", name) },
        {
          label: "Make it a float",
          icon: "field",
          disabled: !isField || !/^U?Int/.test(type),
          onSelect: () => onChange("widen", name),
        },
        {
          label: "Delete column",
          icon: "trash",
          isDangerous: true,
          disabled: !isField,
          onSelect: () => onChange("drop", name),
        },
      ]}
    />
  );
}

const TYPES: readonly { value: ColumnType; label: string }[] = [
  { value: "float64", label: "float" },
  { value: "int64", label: "integer" },
  { value: "uint64", label: "unsigned integer" },
  { value: "utf8", label: "string" },
  { value: "bool", label: "boolean" },
  { value: "tag", label: "tag" },
];

interface ColumnChangeDialogProps {
  database: string;
  table: string;
  change: ColumnChange;
  /** The column; the empty text for a new one. */
  column: string;
  onClose(): void;
}

/** Makes a change of a column. */
export function ColumnChangeDialog({ database, table, change, column, onClose }: ColumnChangeDialogProps): JSX.Element {
  switch (change) {
    case "rename":
      return <RenameDialog object={{ db: database, table, column }} onRenamed={() => undefined} onClose={onClose} />;
    case "add":
      return <AddColumnDialog database={database} table={table} onClose={onClose} />;
    case "widen":
      return (
        <ConfirmDialog
          title={`Make ${column} a float`}
          action="Make it a float"
          isDangerous={false}
          onConfirm={() => widenColumn(database, table, column)}
          onClose={onClose}
        >
          <p>
            Its integers are converted when they are read; those beyond 53 bits are rounded. It takes floats only from
            then on, and can't become an integer again. The answer takes five seconds.
          </p>
        </ConfirmDialog>
      );
    case "drop":
      return (
        <ConfirmDialog
          title={`Delete the column ${column}`}
          action="Delete column"
          typeToConfirm={column}
          onConfirm={() => dropColumn(database, table, column)}
          onClose={onClose}
        >
          <p>Its values are hidden at once, and can't be restored, except from a backup.</p>
        </ConfirmDialog>
      );
  }
}

function AddColumnDialog({ database, table, onClose }: Omit<ColumnChangeDialogProps, "change" | "column">) {
  const [name, setName] = useState("");
  const [type, setType] = useState<ColumnType>("float64");
  return (
    <ChangeDialog
      title={`Add a column to ${table}`}
      action="Add column"
      isReady={name.trim() !== ""}
      change={() => addColumn(database, table, name.trim(), type)}
      onChanged={() => undefined}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onInput={setName} autoFocus />
      <Select label="Type" value={type} options={TYPES} onChange={(chosen) => setType(chosen)} />
    </ChangeDialog>
  );
}

const AUTO_CREATE: readonly { value: AutoCreate; label: string }[] = [
  { value: "all", label: "Tables and columns" },
  { value: "columns", label: "Columns of existing tables" },
  { value: "none", label: "Nothing" },
];

interface AutoCreateDialogProps {
  database: string;
  present: AutoCreate;
  onChanged(): void;
  onClose(): void;
}

/** Sets what writes create. */
export function AutoCreateDialog({ database, present, onChanged, onClose }: AutoCreateDialogProps): JSX.Element {
  const [chosen, setChosen] = useState(present);
  return (
    <ChangeDialog
      title={`What writes create in ${database}`}
      action="Apply"
      isReady={chosen !== present}
      change={() => setAutoCreate(database, chosen)}
      onChanged={onChanged}
      onClose={onClose}
    >
      <Select
        label="Writes create"
        value={chosen}
        options={AUTO_CREATE}
        onChange={(value) => setChosen(value)}
        hint="A row that needs more is refused. The answer takes five seconds."
      />
    </ChangeDialog>
  );
}
