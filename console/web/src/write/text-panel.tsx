/** Typed or pasted line protocol, with its preview. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, request } from "../api/client";
import { currentDatabase } from "../api/schema";
import { Button, Checkbox, ErrorNote, Note, Select } from "../ui";
import { BodyPreview, type Preview } from "./body-preview";

import { useExistingTables } from "./existing-tables";
import { FORMAT_NAMES, formatOfText } from "./file-format";
import { lineProtocolHighlight } from "./line-highlight";
import { nextLine } from "./line-protocol";
import { type Mark, MarkedEditor } from "./marked-editor";
import { formatCount } from "./names";
import { type PendingFile, pendingFile } from "./pending-file";
import type { Precision } from "./precision";
import { exploreTable, fullMessage, IssueList, PreviewTables } from "./preview-tables";
import { refreshDatabases, writeProblem } from "./rights";

/** What the user has typed. It stays while other views are shown. */
const draft = signal("");

/** Longer texts are sent as files, in parts. */
const MAX_TEXT_CHARS = 1 << 20;

/** The time without a key after which the preview follows, in milliseconds. */
const PREVIEW_DELAY_MS = 120;

const WRITE_TIMEOUT_MS = 60_000;

const PRECISIONS: readonly { value: Precision; label: string }[] = [
  { value: "auto", label: "Automatic" },
  { value: "s", label: "Seconds" },
  { value: "ms", label: "Milliseconds" },
  { value: "us", label: "Microseconds" },
  { value: "ns", label: "Nanoseconds" },
];

/** The answer to the last write of the panel. */
type Outcome =
  | { kind: "stored"; rows: number; database: string; table: string | undefined }
  | { kind: "refused"; error: ApiError; stored: number; text: string }
  | { kind: "failed"; error: unknown };

export interface TextPanelProps {
  database: string;
  /** Called with a text that is too long for an editor, or has another format. */
  onFile(file: PendingFile): void;
}

/** The panel. */
export function TextPanel({ database, onFile }: TextPanelProps): JSX.Element {
  const [precision, setPrecision] = useState<Precision>("auto");
  const [acceptPartial, setAcceptPartial] = useState(true);
  const known = useExistingTables(database);
  const preview = usePreview(draft.value, precision, known.tables);
  const { outcome, isBusy, write, clear } = useWrite(database, precision, acceptPartial, preview, known.refresh);
  const marks = useMemo(() => [...issueMarks(preview), ...outcomeMarks(outcome, draft.value)], [preview, outcome]);
  const language = useMemo(() => lineProtocolHighlight(), []);
  const problem = writeProblem(database);
  const isReady = draft.value.trim() !== "" && problem === undefined && !isBusy;
  const submit = () => isReady && void write();
  return (
    <div
      class="write-text"
      onPasteCapture={(event) => {
        const text = event.clipboardData?.getData("text/plain") ?? "";
        if (text.length > MAX_TEXT_CHARS) {
          event.preventDefault();
          event.stopPropagation();
          onFile(pendingFile("pasted text", new Blob([text])));
        }
      }}
    >
      <section class="write-editor" aria-label="Lines">
        <MarkedEditor
          label="Line protocol"
          value={draft.value}
          onChange={(text) => {
            draft.value = text;
            clear();
          }}
          marks={marks}
          language={language}
          placeholder="Paste lines such as:  home,room=Kitchen temp=22.4,hum=36.1 1767225600"
          onSubmit={submit}
        />
        <div class="write-bar">
          <Button kind="primary" icon="write" onClick={submit} disabled={!isReady} isBusy={isBusy} title="Ctrl+Enter">
            {preview.rows > 0 ? `Write ${formatCount(preview.rows)} ${preview.rows === 1 ? "row" : "rows"}` : "Write"}
          </Button>
          {problem !== undefined && draft.value.trim() !== "" && <p class="field-error">{problem}</p>}
          <Select
            label="Unit of timestamps"
            value={precision}
            options={PRECISIONS}
            onChange={(value) => setPrecision(value)}
          />
          <Checkbox
            label="Keep good lines"
            isChecked={acceptPartial}
            onChange={setAcceptPartial}
            hint="Off: one refused line refuses all."
          />
        </div>
      </section>
      <section class="write-preview" aria-label="Preview">
        <OutcomeNote outcome={outcome} />
        <OtherFormat text={draft.value} onFile={onFile} />
        {draft.value.trim() === "" ? <FirstSteps /> : <TextPreview preview={preview} isKnown={known.isKnown} />}
      </section>
    </div>
  );
}

function usePreview(text: string, precision: Precision, tables: Parameters<BodyPreview["preview"]>[2]): Preview {
  const parser = useRef(new BodyPreview());
  const [preview, setPreview] = useState(() => parser.current.preview("", precision, tables));
  useEffect(() => {
    const show = () => setPreview(parser.current.preview(text.slice(0, 4 * MAX_TEXT_CHARS), precision, tables));
    const timer = setTimeout(show, PREVIEW_DELAY_MS);
    return () => clearTimeout(timer);
  }, [text, precision, tables]);
  return preview;
}

function useWrite(
  database: string,
  precision: Precision,
  acceptPartial: boolean,
  preview: Preview,
  onStored: () => void,
) {
  const [outcome, setOutcome] = useState<Outcome>();
  const [isBusy, setBusy] = useState(false);
  const write = async () => {
    const text = draft.value;
    setBusy(true);
    try {
      const query = { db: database, precision, accept_partial: acceptPartial };
      const headers = { "content-type": "text/plain; charset=utf-8" };
      await request("/api/v3/write_lp", { method: "POST", query, headers, body: text, timeoutMs: WRITE_TIMEOUT_MS });
      const [table] = preview.tables;
      setOutcome({ kind: "stored", rows: countLines(text), database, table: table?.name });
      draft.value = "";
      await showDatabase(database);
    } catch (error) {
      if (error instanceof ApiError && error.lines !== undefined) {
        const stored = acceptPartial ? countLines(text) - error.lines.length : 0;
        setOutcome({ kind: "refused", error, stored, text });
      } else {
        setOutcome({ kind: "failed", error });
      }
    } finally {
      setBusy(false);
      onStored();
    }
  };
  return {
    outcome,
    isBusy,
    write,
    clear: () => setOutcome((before) => (before?.kind === "stored" ? before : undefined)),
  };
}

/** Chooses the database in the whole page, which may be new. */
async function showDatabase(database: string): Promise<void> {
  await refreshDatabases();
  currentDatabase.value = database;
}

function countLines(text: string): number {
  let lines = 0;
  for (let line = nextLine(text, 0); line !== undefined; line = nextLine(text, line.next)) {
    lines += 1;
  }
  return lines;
}

function issueMarks(preview: Preview): Mark[] {
  return preview.issues.map((issue) => ({
    from: issue.from,
    to: issue.to,
    message: fullMessage(issue),
    severity: "error",
  }));
}

/** Marks the lines that the server refused, where the page has not found an error itself. */
function outcomeMarks(outcome: Outcome | undefined, text: string): Mark[] {
  if (outcome?.kind !== "refused" || outcome.text !== text) {
    return [];
  }
  const messages = new Map(outcome.error.lines?.map(({ line, message }) => [line, message]));
  const marks: Mark[] = [];
  let number = 0;
  for (let line = nextLine(text, 0); line !== undefined; line = nextLine(text, line.next)) {
    number += 1;
    const message = messages.get(number);
    if (message !== undefined) {
      marks.push({ from: line.start, to: line.end, message, severity: "error", source: "server" });
    }
  }
  return marks;
}

function OutcomeNote({ outcome }: { outcome: Outcome | undefined }): JSX.Element | null {
  switch (outcome?.kind) {
    case "stored":
      return (
        <div class="write-stored" role="status">
          <p>
            <strong>{formatCount(outcome.rows)}</strong> {outcome.rows === 1 ? "row is" : "rows are"} stored in{" "}
            <span class="monospace">{outcome.database}</span>.
          </p>
          {outcome.table !== undefined && <a href={exploreTable(outcome.database, outcome.table)}>Explore the rows</a>}
        </div>
      );
    case "refused":
      return (
        <>
          <ErrorNote
            title={
              outcome.stored > 0
                ? `${formatCount(outcome.stored)} rows are stored, ${formatCount(outcome.error.lines?.length ?? 0)} are refused`
                : "Nothing is stored"
            }
            error={outcome.error}
          />
          <IssueList
            label="Lines that the server refused"
            issues={(outcome.error.lines ?? []).map(({ line, message, original }) => ({
              line,
              message,
              text: original,
            }))}
          />
        </>
      );
    case "failed":
      return <ErrorNote title="The write failed" error={outcome.error} />;
    default:
      return null;
  }
}

/** Offers to treat a text as a file, if it is not line protocol. */
function OtherFormat({ text, onFile }: { text: string; onFile(file: PendingFile): void }): JSX.Element | null {
  const format = text.trim() === "" ? "lp" : formatOfText(text.slice(0, 20_000));
  if (format === "lp" && text.length <= MAX_TEXT_CHARS) {
    return null;
  }
  const name = format === "lp" ? "text.lp" : `text.${format}`;
  return (
    <Note>
      <p>{format === "lp" ? "This text is long: send it in parts." : `This looks like ${FORMAT_NAMES[format]}.`}</p>
      <Button
        onClick={() => {
          draft.value = "";
          onFile(pendingFile(name, new Blob([text])));
        }}
      >
        Open it as a file
      </Button>
    </Note>
  );
}

function TextPreview({ preview, isKnown }: { preview: Preview; isKnown: boolean }): JSX.Element {
  const refused = preview.issues.length + preview.moreIssues;
  return (
    <>
      <h2 class="visually-hidden">What a write would store</h2>
      <p class="write-summary" aria-live="polite">
        {formatCount(preview.rows)} of {formatCount(preview.lines)} {preview.lines === 1 ? "line" : "lines"} can be
        stored{refused > 0 ? `, ${formatCount(refused)} cannot` : ""}
        {preview.units.length > 0 && `; timestamps in ${preview.units.join(", ")}`}.
      </p>
      {refused > 0 && (
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
    </>
  );
}

function FirstSteps(): JSX.Element {
  const example = () => {
    const now = Math.floor(Date.now() / 1000);
    draft.value = [
      "# table,tag=value field=value,field=value timestamp",
      `home,room=Kitchen temp=22.4,hum=36.1,window="closed",people=2i ${now - 60}`,
      `home,room=Living\\ room temp=21.1,hum=38.4,window="open",people=0i ${now - 60}`,
      `home,room=Kitchen temp=22.6,hum=36.0,window="closed",people=2i ${now}`,
      "",
    ].join("\n");
  };
  return (
    <div class="write-first">
      <h2>Lines become rows</h2>
      <p>
        A line names a table, its tags, its fields and a time. Tables and columns that do not exist are created. What a
        write would create is shown here before it happens.
      </p>
      <dl class="write-grammar">
        <dt>
          <code>temp=22.4</code>
        </dt>
        <dd>a float</dd>
        <dt>
          <code>people=2i</code>
        </dt>
        <dd>an integer; 2u is an unsigned one</dd>
        <dt>
          <code>window="open"</code>
        </dt>
        <dd>a string</dd>
        <dt>
          <code>is_on=true</code>
        </dt>
        <dd>a boolean</dd>
        <dt>
          <code>room=Living\ room</code>
        </dt>
        <dd>a tag; spaces, commas and = follow a backslash</dd>
      </dl>
      <Button icon="edit" onClick={example}>
        Insert an example
      </Button>
    </div>
  );
}
