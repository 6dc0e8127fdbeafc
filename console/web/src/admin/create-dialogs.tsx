/** Dialogs that create a database or a table. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase } from "../api/schema";
import { isAdmin } from "../api/session";
import { Button, Checkbox, Dialog, ErrorNote, IconButton, notify, Select, TextField } from "../ui";
import { databaseNameError } from "../write/names";
import { durationError } from "./durations";
import { createDatabase, createTable, type NewField } from "./server";

export interface CreateDialogProps {
  onCreated(): void;
  onClose(): void;
}

/** Runs the change of a dialog: shows its error, or closes the dialog. */
export function useChange(onClose: () => void) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = async (change: () => Promise<void>) => {
    if (isBusy) {
      return;
    }
    setBusy(true);
    setError(undefined);
    try {
      await change();
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return { isBusy, error, run };
}

/** Creates a database. */
export function CreateDatabaseDialog({ onCreated, onClose }: CreateDialogProps): JSX.Element {
  const [name, setName] = useState("");
  const [retention, setRetention] = useState("");
  const [isStrict, setStrict] = useState(false);
  const { isBusy, error, run } = useChange(onClose);
  const nameError = name === "" ? undefined : databaseNameError(name);
  const retentionError = retention === "" ? undefined : durationError(retention);
  const isReady = name !== "" && nameError === undefined && retentionError === undefined;
  const create = async () => {
    await createDatabase(name, retention, isStrict);
    currentDatabase.value = name;
    notify("success", `The database ${name} is created.`);
    onCreated();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        Create database
      </Button>
    </>
  );
  return (
    <Dialog title="Create a database" onClose={onClose} onSubmit={() => isReady && void run(create)} actions={actions}>
      <TextField label="Name" value={name} onInput={setName} error={nameError} autoFocus />
      <TextField
        label="Keep rows for"
        value={retention}
        onInput={setRetention}
        placeholder="for ever"
        error={retentionError}
        hint="Such as 30d or 1y. Older rows are not shown, and then deleted."
        suggestions={["7d", "30d", "90d", "1y"]}
      />
      {isAdmin.value && (
        <Checkbox
          label="Strict order of writes"
          isChecked={isStrict}
          onChange={setStrict}
          hint="Each write comes after every write that any process has acknowledged. Costs one listing for each put."
        />
      )}
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}

const FIELD_TYPES: readonly { value: NewField["type"]; label: string }[] = [
  { value: "float64", label: "float" },
  { value: "int64", label: "integer" },
  { value: "uint64", label: "unsigned integer" },
  { value: "utf8", label: "string" },
  { value: "bool", label: "boolean" },
];

/** Creates a table. */
export function CreateTableDialog(props: CreateDialogProps & { database: string }): JSX.Element {
  const { database, onCreated, onClose } = props;
  const [name, setName] = useState("");
  const [tags, setTags] = useState("");
  const [fields, setFields] = useState<NewField[]>([{ name: "", type: "float64" }]);
  const { isBusy, error, run } = useChange(onClose);
  const tagNames = tags
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
  const used = fields.filter((field) => field.name !== "");
  const setField = (index: number, change: Partial<NewField>) =>
    setFields(fields.map((field, place) => (place === index ? { ...field, ...change } : field)));
  const isReady = name !== "" && (used.length > 0 || tagNames.length > 0);
  const create = async () => {
    await createTable(database, name, tagNames, used);
    notify("success", `The table ${name} is created.`);
    onCreated();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        Create table
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Create a table in ${database}`}
      size="medium"
      onClose={onClose}
      onSubmit={() => isReady && void run(create)}
      actions={actions}
    >
      <p class="muted">A write creates tables by itself. Here you fix the types and the order of the tags first.</p>
      <TextField label="Name" value={name} onInput={setName} autoFocus />
      <TextField
        label="Tags"
        value={tags}
        onInput={setTags}
        placeholder="room, sensor"
        hint="Separated by commas. Their order is the order of the series key."
      />
      <fieldset class="admin-fields">
        <legend>Fields</legend>
        {fields.map((field, index) => (
          <div class="admin-field-row" key={`field ${index + 1}`}>
            <TextField
              label={`Name of field ${index + 1}`}
              isLabelHidden
              value={field.name}
              onInput={(text) => setField(index, { name: text })}
              placeholder="temperature"
            />
            <Select
              label={`Type of field ${index + 1}`}
              isLabelHidden
              value={field.type}
              options={FIELD_TYPES}
              onChange={(type) => setField(index, { type })}
            />
            <IconButton
              icon="close"
              label={`Remove field ${index + 1}`}
              onClick={() => setFields(fields.filter((_, place) => place !== index))}
            />
          </div>
        ))}
        <Button kind="quiet" icon="add" onClick={() => setFields([...fields, { name: "", type: "float64" }])}>
          Add a field
        </Button>
      </fieldset>
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
