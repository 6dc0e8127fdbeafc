/** A ready command that imports everything that an InfluxDB has. The page itself may not read other servers. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { isRequired } from "../api/session";
import { CopyButton, Select, TextField } from "../ui";
import { type ImportChoice, importCommand, SOURCE_KINDS } from "./import-command";
import { databaseNameError } from "./names";
import { ScrollArea } from "./scroll-area";

const CONFLICTS: readonly { value: ImportChoice["conflict"]; label: string }[] = [
  { value: "refuse", label: "Stop before anything is sent" },
  { value: "suffix", label: "Give rarer types a column of their own" },
  { value: "convert", label: "Convert to one type" },
  { value: "skip", label: "Leave rarer types out" },
];

const FIRST_CHOICE: ImportChoice = {
  source: "running1",
  place: "",
  tokenFile: "source-token.txt",
  sourceDatabase: "",
  measurement: "",
  start: "",
  end: "",
  conflict: "refuse",
  into: "",
};

/** The panel. */
export function ImportPanel({ database }: { database: string }): JSX.Element {
  const [choice, setChoice] = useState(FIRST_CHOICE);
  const set = (change: Partial<ImportChoice>) => setChoice({ ...choice, ...change });
  const kind = SOURCE_KINDS.find(({ id }) => id === choice.source) ?? SOURCE_KINDS[0];
  const intoError = choice.into === "" ? undefined : databaseNameError(choice.into);
  const shown = { ...choice, into: choice.into === "" && kind?.needsInto ? database : choice.into };
  const command = (isDryRun: boolean) => importCommand(shown, location.origin, isRequired.value, isDryRun);
  return (
    <div class="write-import">
      <section class="import-form" aria-label="Source">
        <Select
          label="Import from"
          value={choice.source}
          options={SOURCE_KINDS.map(({ id, label }) => ({ value: id, label }))}
          onChange={(source) => set({ source, place: "" })}
          hint={kind?.hint}
        />
        <TextField
          label={kind?.placeLabel ?? "Place"}
          value={choice.place}
          onInput={(place) => set({ place })}
          placeholder={kind?.example}
          isMonospace
        />
        {kind?.isServer && (
          <TextField
            label="File with the token of the source"
            value={choice.tokenFile}
            onInput={(tokenFile) => set({ tokenFile })}
            hint="For InfluxDB 1: user:password, or nothing if it requires none. The page never asks for the token itself."
            isMonospace
          />
        )}
        <TextField
          label="Into database"
          value={choice.into}
          onInput={(into) => set({ into })}
          placeholder={kind?.needsInto ? database || "home" : "the names of the source"}
          error={intoError}
        />
        {kind?.hasParts && <PartFields choice={choice} onChange={set} />}
      </section>
      <section class="import-commands" aria-label="Commands">
        <h2>1. See what would be imported</h2>
        <Command name="Command of the dry run" text={command(true)} label="Copy the dry run" />
        <h2>2. Import it</h2>
        <Command name="Command of the import" text={command(false)} label="Copy the import" />
        <p class="muted">
          Run the commands where the source can be reached. An interrupted import continues when the same command runs
          again. At the end, the numbers of rows are compared.
        </p>
        {isRequired.value && (
          <p class="muted">
            Put a token of this server with the permissions to create and write databases into{" "}
            <code>neap-token.txt</code>, readable only by you.
          </p>
        )}
      </section>
    </div>
  );
}

interface PartFieldsProps {
  choice: ImportChoice;
  onChange(change: Partial<ImportChoice>): void;
}

function PartFields({ choice, onChange }: PartFieldsProps): JSX.Element {
  return (
    <details>
      <summary>Only a part, and fields of several types</summary>
      <div class="import-parts">
        <TextField
          label="Only the database or bucket"
          value={choice.sourceDatabase}
          onInput={(sourceDatabase) => onChange({ sourceDatabase })}
        />
        <TextField
          label="Only the measurement"
          value={choice.measurement}
          onInput={(measurement) => onChange({ measurement })}
        />
        <TextField
          label="From"
          value={choice.start}
          onInput={(start) => onChange({ start })}
          placeholder="2026-01-01"
        />
        <TextField
          label="Before"
          value={choice.end}
          onInput={(end) => onChange({ end })}
          placeholder="2026-07-01T00:00:00Z"
        />
        <Select
          label="If a field has several types"
          value={choice.conflict}
          options={CONFLICTS}
          onChange={(conflict) => onChange({ conflict })}
        />
      </div>
    </details>
  );
}

function Command({ name, text, label }: { name: string; text: string; label: string }): JSX.Element {
  return (
    <div class="command">
      <ScrollArea class="command-text" label={name}>
        <pre>{text}</pre>
      </ScrollArea>
      <CopyButton text={text} label={label} />
    </div>
  );
}
