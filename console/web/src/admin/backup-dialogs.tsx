/** Dialogs that create, cancel, delete and restore backups. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { databases, INTERNAL_DATABASE } from "../api/schema";
import { Checkbox, ConfirmDialog, notify, Select, TextField } from "../ui";
import { counted, databaseNameError, optionsOf } from "../write/names";
import {
  type Backup,
  cancelBackup,
  cancelRestore,
  createBackup,
  createRestore,
  deleteBackup,
  descendants,
  type Restore,
} from "./backups";
import { ChangeDialog } from "./change-dialog";

/** The open dialog. */
export type BackupDialogState =
  | { kind: "create"; parent?: string }
  | { kind: "cancel" | "delete" | "restore"; backup: Backup }
  | { kind: "cancel-restore"; restore: Restore };

interface DialogProps {
  backups: readonly Backup[];
  onChanged(): void;
  onClose(): void;
}

/** A dialog about a backup or a restore. */
export function BackupDialog({ dialog, ...props }: DialogProps & { dialog: BackupDialogState }): JSX.Element {
  switch (dialog.kind) {
    case "create":
      return <CreateDialog {...props} parent={dialog.parent} />;
    case "delete":
      return <DeleteDialog {...props} backup={dialog.backup} />;
    case "restore":
      return <RestoreDialog {...props} backup={dialog.backup} />;
    case "cancel":
      return <CancelDialog {...props} name={dialog.backup.name} cancel={() => cancelBackup(dialog.backup.name)} />;
    case "cancel-restore": {
      const id = dialog.restore.restore_id;
      return <CancelDialog {...props} name={`the restore ${id}`} cancel={() => cancelRestore(id)} isRestore />;
    }
  }
}

const ALL = "";

function CreateDialog({ backups, parent, onChanged, onClose }: DialogProps & { parent?: string }): JSX.Element {
  const [name, setName] = useState("");
  const [database, setDatabase] = useState(ALL);
  const [to, setTo] = useState("");
  const [force, setForce] = useState(false);
  const exists = backups.some((backup) => backup.name === name);
  const names = databases.value.map((known) => known.name).filter((known) => known !== INTERNAL_DATABASE);
  const create = async () => {
    const created = await createBackup({
      name: name || undefined,
      force,
      parent,
      database: database || undefined,
      to: parent === undefined && to !== "" ? to : undefined,
    });
    notify("success", `The backup ${created} is started.`);
  };
  return (
    <ChangeDialog
      title={parent === undefined ? "Create a backup" : `Continue the backup ${parent}`}
      action="Create backup"
      isReady={!exists || force}
      change={create}
      onChanged={onChanged}
      onClose={onClose}
    >
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        placeholder="made from the time"
        error={exists && !force ? "There is a backup with this name." : undefined}
        autoFocus
      />
      {exists && <Checkbox label="Replace it when the new one is completed" isChecked={force} onChange={setForce} />}
      <Select
        label="Databases"
        value={database}
        options={[{ value: ALL, label: "All databases" }, ...optionsOf(names)]}
        onChange={setDatabase}
      />
      {parent === undefined ? (
        <TextField
          label="Place"
          value={to}
          onInput={setTo}
          placeholder="the bucket itself, without a copy"
          hint="One of the places of --backup-to, such as s3://backups/neap."
          isMonospace
        />
      ) : (
        <p class="muted">It copies only the objects that {parent} lacks, to the same place.</p>
      )}
    </ChangeDialog>
  );
}

type OfBackup = DialogProps & { backup: Backup };

function DeleteDialog({ backup, backups, onChanged, onClose }: OfBackup): JSX.Element {
  const following = descendants(backups, backup.name);
  const confirm = async () => {
    await deleteBackup(backup.name, following.length > 0);
    notify("success", `The backup ${backup.name} is deleted.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={`Delete the backup ${backup.name}`}
      action="Delete backup"
      typeToConfirm={backup.name}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>This cannot be undone.</p>
      {following.length > 0 && (
        <p>
          {counted(following.length, "incremental backup")} that continue{following.length === 1 ? "s" : ""} it{" "}
          {following.length === 1 ? "is" : "are"} deleted, too: {following.join(", ")}.
        </p>
      )}
    </ConfirmDialog>
  );
}

function RestoreDialog({ backup, onChanged, onClose }: OfBackup): JSX.Element {
  const [database, setDatabase] = useState(ALL);
  const [to, setTo] = useState("");
  const isAll = database === ALL;
  const isCopy = !isAll && to !== "";
  const toError = isCopy ? newNameError(to) : undefined;
  const confirm = async () => {
    if (toError !== undefined) {
      throw new Error(toError);
    }
    await createRestore({
      backup_name: backup.name,
      database: database || undefined,
      to: isCopy ? to : undefined,
    });
    notify("success", `The restore of ${backup.name} is started.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={`Restore the backup ${backup.name}`}
      action="Restore"
      typeToConfirm={isCopy ? undefined : isAll ? backup.name : database}
      isDangerous={!isCopy}
      onConfirm={confirm}
      onClose={onClose}
    >
      <Select
        label="Databases"
        value={database}
        options={[{ value: ALL, label: "All databases" }, ...optionsOf(backup.databases)]}
        onChange={setDatabase}
      />
      {!isAll && (
        <TextField
          label="Restore it as"
          value={to}
          onInput={setTo}
          placeholder={`${database}, which it replaces`}
          error={toError}
        />
      )}
      <p>{consequence(backup, database, isCopy)}</p>
    </ConfirmDialog>
  );
}

function consequence(backup: Backup, database: string, isCopy: boolean): string {
  if (isCopy) {
    return "The restore creates a new database. The present ones stay as they are.";
  }
  const undo = "Replaced databases can be undeleted for 72 hours. Triggers of restored databases are disabled.";
  return database === ALL
    ? `The databases of the backup replace all present ones. Databases that it does not contain are dropped: ` +
        `it contains ${backup.databases.join(", ") || "none"}. ${undo}`
    : `The database of the backup replaces the present one, with everything that was written since. ${undo}`;
}

/** Returns why no new database can have a name; `undefined` if one can. */
export function newNameError(name: string): string | undefined {
  const exists = databases.value.some((known) => known.name === name);
  return databaseNameError(name) ?? (exists ? "This database exists. Choose another name." : undefined);
}

interface CancelDialogProps extends DialogProps {
  name: string;
  isRestore?: boolean;
  cancel(): Promise<void>;
}

function CancelDialog({ name, isRestore = false, cancel, onChanged, onClose }: CancelDialogProps): JSX.Element {
  const confirm = async () => {
    await cancel();
    notify("success", isRestore ? "The restore is cancelled." : `The backup ${name} is cancelled.`);
    onChanged();
  };
  return (
    <ConfirmDialog
      title={isRestore ? "Cancel the restore" : `Cancel the backup ${name}`}
      action={isRestore ? "End restore" : "End backup"}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>{isRestore ? "The present databases stay as they are." : "What it has copied is deleted."}</p>
    </ConfirmDialog>
  );
}
