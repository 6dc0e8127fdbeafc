/** The view that writes: text, files, sample data, and commands that import from elsewhere. */

import "./tables.css";
import "./write.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { currentDatabase, databases, INTERNAL_DATABASE } from "../api/schema";
import { may } from "../api/session";
import { link, navigate, route } from "../router";
import { type Command, useCommands } from "../shell/commands";
import { EmptyState, Tabs, TextField } from "../ui";
import { FilesPanel } from "./files-panel";
import { ImportPanel } from "./import-panel";
import { droppedFiles, type PendingFile } from "./pending-file";
import { mayWriteSomewhere, writeProblem } from "./rights";
import { SamplesPanel } from "./samples-panel";
import { TextPanel } from "./text-panel";
import { LiveStatus, UploadsPanel } from "./uploads-panel";

type Section = "text" | "files" | "samples" | "import";

const SECTIONS: readonly { id: Section; label: string }[] = [
  { id: "text", label: "Line protocol" },
  { id: "files", label: "Files" },
  { id: "samples", label: "Sample data" },
  { id: "import", label: "Import from InfluxDB" },
];

/** The ways to write, for the palette of commands. */
const COMMANDS: readonly Command[] = SECTIONS.map(({ id, label }) => ({
  id: `write ${id}`,
  label: `Write: ${label}`,
  group: "Write",
  icon: "write",
  run: () => navigate(link("write", {}, [id])),
}));

/** The view. Files can be dropped anywhere on it. */
export default function WriteView(): JSX.Element {
  const section = SECTIONS.find(({ id }) => id === route.value.path[0])?.id ?? "text";
  const [database, setDatabase] = useTargetDatabase();
  const [files, setFiles] = useState<readonly PendingFile[]>([]);
  const [isDropping, setDropping] = useState(false);
  useCommands(COMMANDS);
  const select = (id: Section) => navigate(link("write", {}, [id]));
  const open = (chosen: readonly PendingFile[]) => {
    if (chosen.length > 0) {
      setFiles((before) => [...before, ...chosen]);
      select("files");
    }
  };
  if (!mayWriteSomewhere()) {
    return (
      <EmptyState icon="write" title="You may not write">
        <p>Sign in with a token or as a user with the permission to write to a database, such as db:home:write.</p>
      </EmptyState>
    );
  }
  const panel = {
    text: <TextPanel database={database} onFile={(file) => open([file])} />,
    files: <FilesPanel database={database} files={files} onFiles={open} onChange={setFiles} />,
    samples: <SamplesPanel database={database} />,
    import: <ImportPanel database={database} />,
  }[section];
  return (
    <div
      class={`write-view ${isDropping ? "write-dropping" : ""}`}
      onDragOver={(event) => {
        if (event.dataTransfer?.types.includes("Files")) {
          event.preventDefault();
          setDropping(true);
        }
      }}
      onDragLeave={(event) => {
        if (!(event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget))) {
          setDropping(false);
        }
      }}
      onDrop={(event) => {
        event.preventDefault();
        setDropping(false);
        open(droppedFiles(event.dataTransfer));
      }}
    >
      <h1 class="visually-hidden">Write</h1>
      <Tabs label="Ways to write" tabs={SECTIONS} selected={section} onSelect={select} panel={panel}>
        {section !== "import" && <DatabaseField value={database} onInput={setDatabase} />}
      </Tabs>
      <LiveStatus />
      <UploadsPanel />
      {isDropping && <p class="write-drop-hint">Drop files to preview them</p>}
    </div>
  );
}

/** The database that is written to: the chosen one of the page, or a new name. */
function useTargetDatabase(): [string, (name: string) => void] {
  const chosen = currentDatabase.value === INTERNAL_DATABASE ? "" : currentDatabase.value;
  const [database, setDatabase] = useState(chosen);
  useEffect(() => setDatabase(chosen), [chosen]);
  return [database, setDatabase];
}

function DatabaseField({ value, onInput }: { value: string; onInput(value: string): void }): JSX.Element {
  const names = databases.value.map(({ name }) => name).filter((name) => name !== INTERNAL_DATABASE);
  const writable = names.filter((name) => may("append", name));
  const isNew = value !== "" && !names.includes(value);
  const error = value === "" ? undefined : writeProblem(value);
  const hint = isNew && error === undefined ? "New: the first write creates it." : undefined;
  return (
    <TextField
      class="write-database"
      label="Into database"
      value={value}
      onInput={onInput}
      suggestions={writable}
      placeholder="home"
      error={error}
      hint={hint}
    />
  );
}
