/** The dialog that creates a trigger. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { listTables } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { Button, Checkbox, Dialog, ErrorNote, notify, Select, TextField } from "../ui";
import { useChange } from "./create-dialogs";
import { listPluginFiles, pluginNames } from "./plugins";
import { createTrigger, parseArguments, specificationError } from "./triggers";

export interface CreateTriggerDialogProps {
  database: string;
  /** The plugin that is proposed. */
  plugin: string;
  onCreated(): void;
  onClose(): void;
}

const ERROR_BEHAVIORS = [
  { value: "log", label: "Log the error and go on" },
  { value: "retry", label: "Repeat the run until it succeeds" },
  { value: "disable", label: "Disable the trigger" },
];

/** The dialog. */
export function CreateTriggerDialog({ database, plugin, onCreated, onClose }: CreateTriggerDialogProps): JSX.Element {
  const [form, setForm] = useState({ name: "", plugin, specification: "", argumentText: "", errorBehavior: "log" });
  const [isAsync, setAsync] = useState(false);
  const [isDisabled, setDisabled] = useState(false);
  const { isBusy, error, run } = useChange(onClose);
  const set = (change: Partial<typeof form>) => setForm({ ...form, ...change });
  const tables = useLoaded(database, () => listTables(database));
  const plugins = useLoaded("plugins", async () => pluginNames(await listPluginFiles()));
  const given = parseArguments(form.argumentText);
  const problem = form.specification === "" ? undefined : specificationError(form.specification);
  const isReady =
    form.name !== "" &&
    form.plugin !== "" &&
    form.specification !== "" &&
    problem === undefined &&
    typeof given !== "string";
  const create = async () => {
    await createTrigger(database, { ...form, arguments: typeof given === "string" ? {} : given, isAsync, isDisabled });
    notify("success", `The trigger ${form.name} is created.`);
    onCreated();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        Create trigger
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Create a trigger in ${database}`}
      size="medium"
      onClose={onClose}
      onSubmit={() => isReady && void run(create)}
      actions={actions}
    >
      <TextField label="Name" value={form.name} onInput={(name) => set({ name })} autoFocus />
      <TextField
        label="Plugin"
        value={form.plugin}
        onInput={(text) => set({ plugin: text })}
        suggestions={plugins.value ?? []}
        hint="A file or folder that was uploaded, or is in the plugin folder of the server; or gh:PATH of the public repository."
        isMonospace
      />
      <TextField
        label="Runs on"
        value={form.specification}
        onInput={(specification) => set({ specification })}
        suggestions={[
          ...(tables.value ?? []).slice(0, 50).map(({ name }) => `table:${name}`),
          "all_tables",
          "every:1m",
          "cron:0 0 * * * *",
          "request:path",
        ]}
        error={problem}
        hint="table:NAME, all_tables, every:5m, cron:0 30 7 * * 1-5 (second first), or request:PATH."
        isMonospace
      />
      <TextField
        label="Arguments"
        value={form.argumentText}
        onInput={(argumentText) => set({ argumentText })}
        lines={3}
        placeholder="limit=30"
        hint="One name=value in each line."
        error={typeof given === "string" ? given : undefined}
        isMonospace
      />
      <Select
        label="If a run fails"
        value={form.errorBehavior}
        options={ERROR_BEHAVIORS}
        onChange={(errorBehavior) => set({ errorBehavior })}
      />
      <Checkbox label="Runs may overlap" isChecked={isAsync} onChange={setAsync} />
      <Checkbox label="Create it disabled" isChecked={isDisabled} onChange={setDisabled} />
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
