/** The dialog that uploads a Parquet file as an import job. */

import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { currentDatabase, databases, INTERNAL_DATABASE } from "../api/schema";
import { may } from "../api/session";
import { Note, notify, Select, TextField } from "../ui";
import { optionsOf, tableOfFile } from "../write/names";
import { ChangeDialog } from "./change-dialog";
import { createImport, parseColumnTypes } from "./imports";

/** Maximum size of a file, in bytes. */
const MAX_FILE_BYTES = 4 * 1024 ** 3;

interface CreateImportDialogProps {
  onChanged(): void;
  onClose(): void;
}

/** Uploads a file. Closing the dialog ends the upload. */
export function CreateImportDialog({ onChanged, onClose }: CreateImportDialogProps): JSX.Element {
  const fileId = useId();
  const names = databases.value
    .map(({ name }) => name)
    .filter((name) => name !== INTERNAL_DATABASE && may("append", name));
  const [database, setDatabase] = useState(names.find((name) => name === currentDatabase.value) ?? names[0] ?? "");
  const [table, setTable] = useState("");
  const [columns, setColumns] = useState("");
  const [file, setFile] = useState<File>();
  const abort = useRef(new AbortController());
  useEffect(() => () => abort.current.abort(new DOMException("The upload was ended.", "AbortError")), []);
  const columnError = errorOf(columns);
  const isTooLarge = file !== undefined && file.size > MAX_FILE_BYTES;
  const upload = async () => {
    if (file === undefined) {
      return;
    }
    await createImport(database, table, parseColumnTypes(columns), file, abort.current.signal);
    notify("success", `${file.name} is uploaded. The server imports it.`);
  };
  return (
    <ChangeDialog
      title="Import a Parquet file"
      action="Upload"
      isReady={file !== undefined && !isTooLarge && database !== "" && table !== "" && columnError === undefined}
      change={upload}
      onChanged={onChanged}
      onClose={onClose}
    >
      {names.length === 0 && <Note kind="warning">There is no database that you may write to.</Note>}
      <div class="field">
        <label for={fileId} class="field-label">
          File
        </label>
        <input
          id={fileId}
          type="file"
          accept=".parquet"
          onChange={(event) => {
            const chosen = event.currentTarget.files?.[0];
            setFile(chosen);
            setTable((before) => before || tableOfFile(chosen?.name ?? ""));
          }}
        />
        {isTooLarge && <p class="field-error">A file has at most {formatBytes(MAX_FILE_BYTES)}.</p>}
      </div>
      <Select label="Database" value={database} options={optionsOf(names)} onChange={setDatabase} />
      <TextField
        label="Table"
        value={table}
        onInput={setTable}
        hint="A missing table is created. Points with the same tags and time are replaced."
      />
      <TextField
        label="Types of columns"
        value={columns}
        onInput={setColumns}
        lines={4}
        isMonospace
        placeholder={"bed:tag\nat:time"}
        error={columnError}
        hint="NAME:TYPE in each line, where the file has no tags or another column with the time. Types: tag, time, i64, u64, f64, bool, string."
      />
    </ChangeDialog>
  );
}

function errorOf(columns: string): string | undefined {
  try {
    parseColumnTypes(columns);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
