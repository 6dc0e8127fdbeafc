/** Dialogs about the end of data: retention, drop, undelete. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { isAdmin } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { zone } from "../time/zone";
import { Button, ConfirmDialog, Dialog, ErrorNote, Note, notify, Select, Spinner, TextField } from "../ui";
import { counted, databaseNameError, formatCount } from "../write/names";
import { shortTime } from "./admin-table";
import { useChange } from "./create-dialogs";
import { durationError, durationSeconds, formatDurationNs } from "./durations";
import {
  countOlderRows,
  countRows,
  drop,
  type HardDelete,
  listAllDatabases,
  listTableEntries,
  setRetention,
  undelete,
} from "./server";

interface TargetProps {
  database: string;
  /** `undefined`: the database itself. */
  table?: string;
  onChanged(): void;
  onClose(): void;
}

/** Sets or removes a retention period. If rows end with it, their number is shown, and the name is asked for. */
export function RetentionDialog(props: TargetProps & { present: bigint | undefined }): JSX.Element {
  const { database, table, present, onChanged, onClose } = props;
  const [duration, setDuration] = useState(present === undefined ? "" : formatDurationNs(present));
  const [typed, setTyped] = useState("");
  const { isBusy, error, run } = useChange(onClose);
  const problem = duration === "" ? undefined : durationError(duration);
  const subject = table ?? database;
  const seconds = problem === undefined && duration !== "" ? durationSeconds(duration) : undefined;
  const key = seconds === undefined ? undefined : `${database} ${table ?? ""} ${seconds}`;
  const older = useLoaded(key, () => countOlderRows(database, table, seconds ?? 0));
  const isLoss = duration !== "" && older.value !== 0;
  const isReady = problem === undefined && (!isLoss || typed === subject);
  const save = async () => {
    await setRetention(database, table, duration);
    notify(
      "success",
      `${subject}: rows are kept ${duration === "" ? "without a limit of its own" : `for ${duration}`}.`,
    );
    onChanged();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind={isLoss ? "danger" : "primary"} type="submit" disabled={!isReady} isBusy={isBusy}>
        Set retention
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Retention of ${subject}`}
      onClose={onClose}
      onSubmit={() => isReady && void run(save)}
      actions={actions}
    >
      <TextField
        label="Keep rows for"
        value={duration}
        onInput={setDuration}
        placeholder={table === undefined ? "for ever" : "as the database"}
        error={problem}
        suggestions={["7d", "30d", "90d", "1y"]}
        autoFocus
      />
      {problem === undefined && isLoss && (
        <>
          <Note kind="warning">
            <p>
              {older.value === undefined ? "Older rows" : `${counted(older.value, "row")} older than that`}: not shown
              any more at once, and deleted by the next compaction. Deleted rows do not return if you make the period
              longer later.
            </p>
          </Note>
          <TextField label={`To confirm, type ${subject}`} value={typed} onInput={setTyped} isMonospace />
        </>
      )}
      {problem === undefined && duration !== "" && !isLoss && <p class="muted">No present row is older than that.</p>}
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}

const HARD_DELETES: readonly { value: string; label: string }[] = [
  { value: "default", label: "After the server's time (72 h unless set otherwise)" },
  { value: "never", label: "Never: only hide it" },
  { value: "now", label: "Now: this cannot be undone" },
];

/** Drops a database or a table. */
export function DropDialog({ database, table, onChanged, onClose }: TargetProps): JSX.Element {
  const [hardDelete, setHardDelete] = useState<HardDelete>("default");
  const kind = table === undefined ? "database" : "table";
  const name = table ?? database;
  const confirm = async () => {
    await drop(database, table, hardDelete);
    onChanged();
    if (hardDelete === "now") {
      notify("success", `The ${kind} ${name} is deleted.`);
      return;
    }
    const undo = () => void undoDrop(database, table, onChanged);
    notify("success", `The ${kind} ${name} is deleted. ${await untilWhen(database, table)}`, undo);
  };
  return (
    <ConfirmDialog
      title={`Delete the ${kind} ${name}`}
      action={`Delete ${kind}`}
      typeToConfirm={name}
      onConfirm={confirm}
      onClose={onClose}
    >
      <DropContents database={database} table={table} />
      <Select
        label="Delete the data"
        value={hardDelete}
        options={HARD_DELETES}
        onChange={(value) => setHardDelete(value)}
        hint={
          hardDelete === "now"
            ? "The rows are removed by the next compaction. Nothing brings them back."
            : "Until then, it can be undeleted on this page or with neap undelete."
        }
      />
      <p class="muted">
        The {kind} is answered as deleted after five seconds, when every process knows it.
        {table === undefined ? " Its triggers stop." : " Its caches go with it, and return if it is undeleted."}
      </p>
    </ConfirmDialog>
  );
}

/** Says what a drop would remove. */
function DropContents({ database, table }: { database: string; table: string | undefined }): JSX.Element {
  const key = `${database} ${table ?? ""}`;
  const loaded = useLoaded(key, async () => {
    if (table !== undefined) {
      const { rows, first, last } = await countRows(database, table, "");
      return rows === 0
        ? "It has no rows."
        : `It has ${formatCount(rows)} rows, from ${shortTime(first)} to ${shortTime(last)} (${zone.value}).`;
    }
    const tables = await listTableEntries(database, false);
    return `It has ${formatCount(tables.length)} ${tables.length === 1 ? "table" : "tables"}.`;
  });
  if (loaded.error !== undefined) {
    return <p class="muted">Its contents cannot be counted: {messageOf(loaded.error)}</p>;
  }
  return loaded.value === undefined ? <Spinner label="Counting" /> : <p>{loaded.value}</p>;
}

async function undoDrop(database: string, table: string | undefined, onChanged: () => void): Promise<void> {
  try {
    const name = await undelete(database, table, "");
    notify("success", `${name} is there again.`);
  } catch (error) {
    notify("error", messageOf(error));
  }
  onChanged();
}

/** Returns until when a drop can be undone, as far as the caller may know it. */
async function untilWhen(database: string, table: string | undefined): Promise<string> {
  if (!isAdmin.value) {
    return "It can be undeleted until the server deletes its data.";
  }
  try {
    const entries = table === undefined ? await listAllDatabases() : await listTableEntries(database, true);
    const prefix = `${table ?? database}-`;
    const dropped = entries.filter(({ name, isDeleted }) => isDeleted && name.startsWith(prefix));
    const newest = dropped.sort((left, right) => right.name.localeCompare(left.name))[0];
    const until = newest?.deletedAt;
    return until === undefined
      ? "It can be undeleted at any time."
      : `It can be undeleted until ${shortTime(until)} ${zone.value}.`;
  } catch {
    return "It can be undeleted until the server deletes its data.";
  }
}

/** Undoes a drop, if needed under another name. */
export function UndeleteDialog({ database, table, onChanged, onClose }: TargetProps): JSX.Element {
  const dropped = table ?? database;
  const original = dropped.replace(/-\d{8}T\d{6}.*$/, "");
  const [name, setName] = useState(original);
  const { isBusy, error, run } = useChange(onClose);
  const problem = table === undefined ? databaseNameError(name) : name === "" ? "Enter a name." : undefined;
  const restore = async () => {
    const given = await undelete(database, table, name === original ? "" : name);
    notify("success", `${given} is there again.`);
    onChanged();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={problem !== undefined} isBusy={isBusy}>
        Undelete
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Undelete ${dropped}`}
      onClose={onClose}
      onSubmit={() => problem === undefined && void run(restore)}
      actions={actions}
    >
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        error={problem}
        hint="Choose another name if there is a new one with the old name. The answer takes five seconds."
        autoFocus
      />
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
