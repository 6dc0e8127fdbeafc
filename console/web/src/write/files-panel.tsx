/** Files that are dropped or chosen: each is previewed, its columns are assigned, and then it is sent in parts. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { Button, EmptyState, ErrorNote, Icon, Select, Spinner } from "../ui";
import { FileForm } from "./file-form";
import { type FileFormat, FORMAT_NAMES } from "./file-format";
import { describeProblem, mayHaveOtherFormat } from "./file-problem";
import { counted } from "./names";
import { type Inspection, inspect, type PendingFile, pendingFile } from "./pending-file";

export interface FilesPanelProps {
  database: string;
  files: readonly PendingFile[];
  onFiles(files: readonly PendingFile[]): void;
  onChange(files: readonly PendingFile[]): void;
}

/** The panel. It shows the first file that is not sent; the others wait. */
export function FilesPanel({ database, files, onFiles, onChange }: FilesPanelProps): JSX.Element {
  const [first, ...others] = files;
  const close = (file: PendingFile) => onChange(files.filter((other) => other !== file));
  return (
    <div class="write-files">
      <FileChooser onFiles={onFiles} isSmall={first !== undefined} />
      {first === undefined ? (
        <EmptyState icon="upload" title="Drop files here, or choose them">
          <p>
            Line protocol, CSV with a header, annotated CSV of InfluxDB 2, JSON lines, Parquet, and Arrow; text also
            compressed by gzip. You see the columns and types before anything is written.
          </p>
          <p class="muted">Large files are sent in parts: you can pause, cancel, and continue where a part ended.</p>
        </EmptyState>
      ) : (
        <FileCard key={first.id} file={first} database={database} onClose={() => close(first)} />
      )}
      <WaitingFiles files={others} onRemove={close} />
    </div>
  );
}

interface WaitingFilesProps {
  files: readonly PendingFile[];
  onRemove(file: PendingFile): void;
}

function WaitingFiles({ files, onRemove }: WaitingFilesProps): JSX.Element | null {
  if (files.length === 0) {
    return null;
  }
  return (
    <>
      <p class="muted" role="status">
        {counted(files.length, "more file")}: the next one is shown when this one is written or removed.
      </p>
      <ul class="write-waiting" aria-label="Files that wait">
        {files.map((file) => (
          <li key={file.id}>
            <span class="preview-cell">{file.name}</span>
            <span class="muted">{formatBytes(file.blob.size)}</span>
            <Button kind="quiet" onClick={() => onRemove(file)}>
              Remove
            </Button>
          </li>
        ))}
      </ul>
    </>
  );
}

function FileChooser({ onFiles, isSmall }: { onFiles(files: PendingFile[]): void; isSmall: boolean }): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class={isSmall ? "write-choose write-choose-small" : "write-choose"}>
      <input
        ref={input}
        type="file"
        multiple
        class="visually-hidden"
        aria-label="Files to write"
        tabIndex={-1}
        accept=".lp,.txt,.csv,.jsonl,.ndjson,.parquet,.arrow,.feather,.gz"
        onChange={(event) => {
          const chosen = [...(event.currentTarget.files ?? [])];
          event.currentTarget.value = "";
          onFiles(chosen.map((file) => pendingFile(file.name, file)));
        }}
      />
      <Button icon="upload" kind={isSmall ? "plain" : "primary"} onClick={() => input.current?.click()}>
        Choose files
      </Button>
    </div>
  );
}

const FORMATS: { value: FileFormat; label: string }[] = (Object.keys(FORMAT_NAMES) as FileFormat[]).map((value) => ({
  value,
  label: FORMAT_NAMES[value],
}));

/** The choices while no format fits. */
const OTHER_FORMATS: { value: FileFormat | ""; label: string }[] = [{ value: "", label: "Choose …" }, ...FORMATS];

interface FileCardProps {
  file: PendingFile;
  database: string;
  onClose(): void;
}

function FileCard({ file, database, onClose }: FileCardProps): JSX.Element {
  const [format, setFormat] = useState<FileFormat>();
  const { inspection, error } = useInspection(file, format);
  const choose = (value: FileFormat | "") => setFormat(value === "" ? undefined : value);
  return (
    <article class="write-file" aria-label={file.name}>
      <header class="write-file-head">
        <Icon name="table" />
        <h2 class="preview-name">{file.name}</h2>
        <span class="muted">{formatBytes(file.blob.size)}</span>
        {inspection !== undefined && (
          <Select label="Format" value={inspection.format} options={FORMATS} onChange={(value) => setFormat(value)} />
        )}
        <Button kind="quiet" icon="close" onClick={onClose}>
          Remove
        </Button>
      </header>
      {error !== undefined && (
        <>
          <ErrorNote title="The file cannot be written" error={describeProblem(error)} />
          {mayHaveOtherFormat(error) && (
            <Select label="Read it as" value={format ?? ""} options={OTHER_FORMATS} onChange={choose} />
          )}
        </>
      )}
      {error === undefined && inspection === undefined && <Spinner label="Reading the file" />}
      {inspection !== undefined && (
        <FileForm key={inspection.format} file={file} inspection={inspection} database={database} onStarted={onClose} />
      )}
    </article>
  );
}

function useInspection(file: PendingFile, format: FileFormat | undefined) {
  const [result, setResult] = useState<{ inspection?: Inspection; error?: unknown }>({});
  useEffect(() => {
    let isWanted = true;
    setResult({});
    inspect(file, format).then(
      (inspection) => isWanted && setResult({ inspection }),
      (error: unknown) => isWanted && setResult({ error }),
    );
    return () => {
      isWanted = false;
    };
  }, [file, format]);
  return result;
}
