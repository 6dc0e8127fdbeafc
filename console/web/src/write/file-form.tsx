/** What a file would write: its columns with their roles and types, or the tables of its lines. */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, request } from "../api/client";
import { formatBytes } from "../api/format-value";
import { may } from "../api/session";
import { Button, Checkbox, ErrorNote, Note, Select, TextField } from "../ui";
import type { ExistingTables } from "./body-preview";
import { ColumnTable } from "./column-table";
import { useExistingTables } from "./existing-tables";
import { firstChoice, type MappingChoice, mappingOf, mappingProblem, type NewTable, newTable } from "./mapping";
import { counted, formatCount, tableOfFile } from "./names";
import { type Inspection, type PendingFile, previewStart } from "./pending-file";
import { findPosition } from "./positions";
import type { Precision } from "./precision";
import { fullMessage, IssueList, PreviewTables } from "./preview-tables";
import { mayCreateDatabases, writeProblem } from "./rights";
import { Upload, type UploadTarget } from "./upload";
import { addUpload } from "./upload-list";

export interface FileFormProps {
  file: PendingFile;
  inspection: Inspection;
  database: string;
  /** Called when the upload is under way. */
  onStarted(): void;
}

/** The form. */
export function FileForm(props: FileFormProps): JSX.Element {
  const { inspection, database } = props;
  const known = useExistingTables(database);
  if (inspection.sample === undefined) {
    return <PlainForm {...props} tables={known.tables} isKnown={known.isKnown} />;
  }
  return <ColumnForm {...props} sample={inspection.sample} tables={known.tables} isKnown={known.isKnown} />;
}

interface KnownProps {
  tables: ExistingTables;
  isKnown: boolean;
}

const PRECISIONS: readonly { value: Precision; label: string }[] = [
  { value: "auto", label: "Automatic" },
  { value: "s", label: "Seconds" },
  { value: "ms", label: "Milliseconds" },
  { value: "us", label: "Microseconds" },
  { value: "ns", label: "Nanoseconds" },
];

/** The form of files whose rows name their tables: line protocol; and of Arrow files, which are not read before. */
function PlainForm(props: FileFormProps & KnownProps): JSX.Element {
  const { file, inspection, database, tables, isKnown, onStarted } = props;
  const [precision, setPrecision] = useState<Precision>("auto");
  const [table, setTable] = useState(tableOfFile(file.name));
  const isArrow = inspection.format === "arrow";
  const preview = useMemo(() => previewStart(inspection, tables, "auto"), [inspection, tables]);
  const mapping = { table, tags: undefined, timeColumn: undefined, timeFormat: "", timeZone: "" };
  const target: UploadTarget = { database, precision, acceptPartial: true, mapping: isArrow ? mapping : undefined };
  const problem = isArrow && table === "" ? "Name the table." : inspection.problem;
  return (
    <>
      {isArrow ? (
        <>
          <TextField label="Table" value={table} onInput={setTable} suggestions={[...tables.keys()]} />
          <p class="muted">Arrow files are sent whole. Columns that are dictionaries of texts become tags.</p>
        </>
      ) : (
        <>
          <p class="write-summary">
            {inspection.isWhole ? "The file has" : "The start of the file has"} {counted(preview.lines, "line")}:{" "}
            {formatCount(preview.rows)} can be stored.
          </p>
          {preview.issues.length > 0 && (
            <IssueList
              label="Lines with errors"
              issues={preview.issues.map((issue) => ({
                line: issue.textLine,
                message: fullMessage(issue),
                text: undefined,
              }))}
            />
          )}
          <PreviewTables tables={preview.tables} isKnown={isKnown} />
          <Select
            label="Unit of timestamps"
            value={precision}
            options={PRECISIONS}
            onChange={(value) => setPrecision(value)}
          />
        </>
      )}
      <StartButtons file={file} inspection={inspection} target={target} problem={problem} onStarted={onStarted} />
    </>
  );
}

interface ColumnFormProps extends FileFormProps, KnownProps {
  sample: NonNullable<Inspection["sample"]>;
}

/** The form of CSV, JSON lines and Parquet. */
function ColumnForm(props: ColumnFormProps): JSX.Element {
  const { file, inspection, database, sample, tables, isKnown, onStarted } = props;
  const [choice, setChoice] = useState<MappingChoice>(() => firstChoice(sample, tableOfFile(file.name), undefined));
  const [precision, setPrecision] = useState<Precision>("auto");
  const [isTableFirst, setTableFirst] = useState(true);
  const existing = tables.get(choice.table);
  useEffect(
    () => setChoice((before) => ({ ...firstChoice(sample, before.table, existing), ...times(before) })),
    [sample, existing],
  );
  const isNewTable = isKnown && existing === undefined && !sample.namesTables;
  const isParquet = inspection.format === "parquet";
  const mayCreate = may("create", database) || may("write", database) || mayCreateDatabases();
  const createsTable = isNewTable && mayCreate && !choice.areTagsMarked;
  const target: UploadTarget = { database, precision, acceptPartial: true, mapping: mappingOf(sample, choice) };
  const prepare = async () => {
    if (createsTable && isTableFirst) {
      await createTable(newTable(database, sample, choice));
    }
  };
  return (
    <>
      {sample.namesTables ? (
        <Note>
          <p>The annotations of the file name its tables, tags and types.</p>
        </Note>
      ) : (
        <TextField
          class="write-table"
          label="Table"
          value={choice.table}
          onInput={(table) => setChoice({ ...choice, table })}
          suggestions={[...tables.keys()]}
          hint={isNewTable && choice.table !== "" ? "New: it is created." : undefined}
        />
      )}
      <ColumnTable sample={sample} choice={choice} existing={existing} isNewTable={isNewTable} onChange={setChoice} />
      {sample.issues.length > 0 && (
        <IssueList
          label="Rows that cannot be read"
          issues={sample.issues.map(({ row, message }) => ({ line: row, message, text: undefined }))}
        />
      )}
      {!sample.namesTables && (
        <TimeFields choice={choice} precision={precision} onChange={setChoice} onPrecision={setPrecision} />
      )}
      {isParquet && (
        <Checkbox
          label="Tags are the columns that the file marks"
          isChecked={choice.areTagsMarked}
          onChange={(areTagsMarked) => setChoice({ ...choice, areTagsMarked })}
          hint="Dictionaries of texts, and the tags of InfluxDB 3 and Neap. Off: choose them above."
        />
      )}
      {createsTable && (
        <Checkbox
          label="Create the table with these types first"
          isChecked={isTableFirst}
          onChange={setTableFirst}
          hint="Otherwise the first rows decide: a column of integers then refuses later fractions."
        />
      )}
      <StartButtons
        file={file}
        inspection={inspection}
        target={target}
        problem={inspection.problem ?? mappingProblem(sample, choice)}
        prepare={prepare}
        onStarted={onStarted}
      />
    </>
  );
}

/** Creates a table. It may exist since an attempt that failed later. */
async function createTable(table: NewTable): Promise<void> {
  try {
    await request("/api/v3/configure/table", { method: "POST", json: table });
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) {
      throw error;
    }
  }
}

function times({ timeFormat, timeZone }: MappingChoice): Pick<MappingChoice, "timeFormat" | "timeZone"> {
  return { timeFormat, timeZone };
}

const TIME_FORMATS = [
  { value: "", label: "Automatic" },
  { value: "rfc3339", label: "RFC 3339: 2026-01-31T12:00:00Z" },
  { value: "s", label: "Seconds since 1970" },
  { value: "ms", label: "Milliseconds since 1970" },
  { value: "us", label: "Microseconds since 1970" },
  { value: "ns", label: "Nanoseconds since 1970" },
  { value: "%", label: "A pattern of strftime" },
];

interface TimeFieldsProps {
  choice: MappingChoice;
  precision: Precision;
  onChange(choice: MappingChoice): void;
  onPrecision(precision: Precision): void;
}

function TimeFields({ choice, precision, onChange, onPrecision }: TimeFieldsProps): JSX.Element {
  const isPattern = choice.timeFormat.includes("%");
  const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <div class="write-time">
      <Select
        label="Format of times"
        value={isPattern ? "%" : choice.timeFormat}
        options={TIME_FORMATS}
        onChange={(format) => onChange({ ...choice, timeFormat: format === "%" ? "%d.%m.%Y %H:%M" : format })}
      />
      {isPattern && (
        <TextField
          label="Pattern"
          value={choice.timeFormat}
          onInput={(timeFormat) => onChange({ ...choice, timeFormat })}
          isMonospace
        />
      )}
      {choice.timeFormat === "" && (
        <Select label="Unit of numbers" value={precision} options={PRECISIONS} onChange={onPrecision} />
      )}
      <TextField
        label="Zone of times without an offset"
        value={choice.timeZone}
        onInput={(timeZone) => onChange({ ...choice, timeZone })}
        placeholder="UTC"
        suggestions={["UTC", ownZone]}
      />
    </div>
  );
}

interface StartButtonsProps {
  file: PendingFile;
  inspection: Inspection;
  target: UploadTarget;
  problem: string | undefined;
  /** What must precede the upload. */
  prepare?(): Promise<void>;
  onStarted(): void;
}

function StartButtons({ file, inspection, target, problem, prepare, onStarted }: StartButtonsProps): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [acceptPartial, setAcceptPartial] = useState(true);
  const source = { name: file.name, blob: file.blob, format: inspection.format, isGzip: inspection.isGzip };
  const full: UploadTarget = { ...target, acceptPartial };
  const before = findPosition(source, full);
  const reason = writeProblem(target.database) ?? problem;
  const start = async (from?: { position: number; rows: number }) => {
    setBusy(true);
    setError(undefined);
    try {
      await prepare?.();
      addUpload(new Upload(source, full, undefined, from));
      onStarted();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <div class="write-start">
      {error !== undefined && <ErrorNote title="The table cannot be created" error={error} />}
      <Checkbox
        label="Keep good rows"
        isChecked={acceptPartial}
        onChange={setAcceptPartial}
        hint="Off: the first refused row stops the file, and nothing of its part is stored."
      />
      <div class="write-buttons">
        <Button
          kind="primary"
          icon="write"
          onClick={() => void start()}
          disabled={reason !== undefined}
          isBusy={isBusy}
        >
          Write the file
        </Button>
        {before !== undefined && (
          <Button icon="play" onClick={() => void start(before)} disabled={reason !== undefined || isBusy}>
            Continue at {formatBytes(before.position)}, after {formatCount(before.rows)} rows
          </Button>
        )}
        {reason !== undefined && <p class="field-error">{reason}</p>}
      </div>
    </div>
  );
}
