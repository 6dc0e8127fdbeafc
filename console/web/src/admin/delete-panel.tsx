/** Deletes rows by time and tags: first the rows are counted and shown, then they are deleted. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { listTables, quoteIdentifier, type Table } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { link, route } from "../router";
import { zone } from "../time/zone";
import {
  Button,
  ConfirmDialog,
  CopyButton,
  EmptyState,
  ErrorNote,
  IconButton,
  Note,
  Select,
  Spinner,
  TextField,
} from "../ui";
import { shellQuote } from "../write/import-command";
import { formatCount, optionsOf } from "../write/names";
import { ownValue } from "../write/own-value";
import { ScrollArea } from "../write/scroll-area";
import { shortTime } from "./admin-table";
import { choiceProblem, conditionOf, type RowChoice, type TagChoice } from "./row-condition";
import { countRows, deleteRows, type RowCount } from "./server";

const EVERYTHING: RowChoice = { from: "", to: "", tags: [] };

/** Rows that are shown before a delete. */
const SHOWN_ROWS = 20;

/** Values of a tag that are proposed. */
const PROPOSED_VALUES = 200;

/** Rows that were counted: the delete is allowed for exactly this table and condition. */
interface Counted extends RowCount {
  table: string;
  condition: string;
  rowsShown: Record<string, unknown>[];
}

/** The panel. */
export function DeletePanel({ database }: { database: string }): JSX.Element {
  const tables = useLoaded(database, () => listTables(database));
  const [chosen, setChosen] = useState(route.value.params.get("table") ?? "");
  const names = (tables.value ?? []).map(({ name }) => name);
  const table = tables.value?.find(({ name }) => name === chosen) ?? tables.value?.[0];
  return (
    <section class="admin-section" aria-labelledby="delete-title">
      <h2 id="delete-title">
        Delete rows of <span class="preview-name">{database}</span>
      </h2>
      {tables.error !== undefined && <ErrorNote error={tables.error} onRetry={tables.reload} />}
      {tables.value === undefined && tables.error === undefined && <Spinner label="Loading" />}
      {tables.value?.length === 0 && (
        <EmptyState icon="table" title="The database has no table">
          <p>There is nothing to delete.</p>
        </EmptyState>
      )}
      {table !== undefined && (
        <>
          <Select
            class="write-table"
            label="Table"
            value={table.name}
            options={optionsOf(names)}
            onChange={setChosen}
          />
          <DeleteForm key={table.name} database={database} table={table} />
        </>
      )}
    </section>
  );
}

function DeleteForm({ database, table }: { database: string; table: Table }): JSX.Element {
  const [choice, setChoice] = useState(EVERYTHING);
  const [counted, setCounted] = useState<Counted>();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [isAsking, setAsking] = useState(false);
  const [deleted, setDeleted] = useState<{ rows: number; before: string | undefined }>();
  const problem = choiceProblem(choice);
  const condition = problem === undefined ? conditionOf(choice) : "";
  const change = (next: RowChoice) => {
    setChoice(next);
    setCounted(undefined);
    setDeleted(undefined);
  };
  const count = async () => {
    setBusy(true);
    setError(undefined);
    setDeleted(undefined);
    try {
      const [rows, rowsShown] = await Promise.all([
        countRows(database, table.name, condition),
        firstRows(database, table.name, condition),
      ]);
      setCounted({ ...rows, rowsShown, table: table.name, condition });
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const remove = async (selection: Counted) => {
    const before = await deleteRows(database, selection.table, selection.condition);
    setDeleted({ rows: selection.rows, before });
    setCounted(undefined);
  };
  return (
    <>
      <ChoiceFields database={database} table={table} choice={choice} onChange={change} />
      {problem !== undefined && (
        <p class="field-error" role="alert">
          {problem}
        </p>
      )}
      <ScrollArea class="command-text" label="Condition">
        <code>{condition === "" ? `all rows of ${table.name}` : condition}</code>
      </ScrollArea>
      <div class="write-buttons admin-buttons">
        <Button icon="explore" onClick={() => void count()} disabled={problem !== undefined} isBusy={isBusy}>
          Count the rows
        </Button>
        {counted !== undefined && counted.rows > 0 && (
          <Button kind="danger" icon="trash" onClick={() => setAsking(true)}>
            Delete {formatCount(counted.rows)} {counted.rows === 1 ? "row" : "rows"}
          </Button>
        )}
      </div>
      {error !== undefined && <ErrorNote error={error} />}
      {counted !== undefined && <CountedRows counted={counted} table={table} />}
      {deleted !== undefined && (
        <Deleted database={database} table={table.name} rows={deleted.rows} before={deleted.before} />
      )}
      {isAsking && counted !== undefined && (
        <ConfirmDialog
          title={`Delete ${formatCount(counted.rows)} rows of ${counted.table}`}
          action="Delete rows"
          typeToConfirm={counted.table}
          onConfirm={() => remove(counted)}
          onClose={() => setAsking(false)}
        >
          <p>
            {counted.condition === "" ? "All rows of the table" : <code>{counted.condition}</code>}, {span(counted)}.
          </p>
          <p class="muted">
            Rows that are written since the count and match are deleted, too. Queries no longer show the rows at once;
            they can be restored from an earlier state for the time-travel period, one hour unless set otherwise.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}

function span(counted: RowCount): string {
  return `from ${shortTime(counted.first)} to ${shortTime(counted.last)} ${zone.value}`;
}

async function firstRows(database: string, table: string, condition: string): Promise<Record<string, unknown>[]> {
  const where = condition === "" ? "" : ` WHERE ${condition}`;
  return queryRows(database, `SELECT * FROM ${quoteIdentifier(table)}${where} ORDER BY time DESC LIMIT ${SHOWN_ROWS}`);
}

function CountedRows({ counted, table }: { counted: Counted; table: Table }): JSX.Element {
  if (counted.rows === 0) {
    return <p role="status">No row matches.</p>;
  }
  const columns = table.columns.map(({ name }) => name);
  return (
    <>
      <p role="status">
        <strong>{formatCount(counted.rows)}</strong> {counted.rows === 1 ? "row matches" : "rows match"},{" "}
        {span(counted)}. The newest ones:
      </p>
      <ScrollArea class="preview-scroll" label="Rows that match">
        <table class="plain-table">
          <thead>
            <tr>
              {columns.map((name) => (
                <th key={name} scope="col">
                  <span class="preview-cell">{name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {counted.rowsShown.map((row, index) => (
              <tr key={`row ${index + 1}`}>
                {columns.map((name) => (
                  <td key={name}>
                    <span class="preview-cell">{cellText(ownValue(row, name))}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollArea>
    </>
  );
}

function cellText(value: unknown): string {
  return value === undefined || value === null ? "" : String(value).slice(0, 200);
}

interface DeletedProps {
  database: string;
  table: string;
  rows: number;
  before: string | undefined;
}

/** Says that rows are deleted, and how to bring them back. */
function Deleted({ database, table, rows, before }: DeletedProps): JSX.Element {
  const command = `neap restore --database ${shellQuote(database)} --as-of ${before ?? "TIME"} --to ${shellQuote(`${database}_before`)}`;
  const q = `SELECT * FROM ${quoteIdentifier(table)} ORDER BY time DESC LIMIT 100`;
  return (
    <Note>
      <p role="status">
        {formatCount(rows)} {rows === 1 ? "row is" : "rows are"} deleted.
        {before !== undefined && (
          <>
            {" "}
            <a href={link("explore", { db: database, q, asof: before })}>See the table as it was before</a>.
          </>
        )}
      </p>
      <p>
        For the time-travel period (one hour unless set otherwise), this command, with the options of the store, makes a
        database from the state before:
      </p>
      <ScrollArea class="command-text" label="Command">
        <pre>{command}</pre>
      </ScrollArea>
      <CopyButton text={command} label="Copy the command" />
    </Note>
  );
}

interface ChoiceFieldsProps {
  database: string;
  table: Table;
  choice: RowChoice;
  onChange(choice: RowChoice): void;
}

function ChoiceFields({ database, table, choice, onChange }: ChoiceFieldsProps): JSX.Element {
  const tags = useMemo(() => table.columns.filter(({ role }) => role === "tag").map(({ name }) => name), [table]);
  const free = tags.filter((tag) => !choice.tags.some((other) => other.tag === tag));
  const setTag = (index: number, tag: TagChoice) =>
    onChange({ ...choice, tags: choice.tags.map((old, place) => (place === index ? tag : old)) });
  return (
    <fieldset class="admin-fields">
      <legend>Rows</legend>
      <div class="admin-filters">
        <TextField
          label={`From (${zone.value})`}
          value={choice.from}
          onInput={(from) => onChange({ ...choice, from })}
          placeholder="the beginning"
          hint="2026-01-31, or 2026-01-31T12:00:00Z"
        />
        <TextField
          label={`Before (${zone.value})`}
          value={choice.to}
          onInput={(to) => onChange({ ...choice, to })}
          placeholder="without end"
        />
      </div>
      {choice.tags.map((tag, index) => (
        <TagFields
          key={tag.tag}
          database={database}
          table={table.name}
          choice={tag}
          onChange={(changed) => setTag(index, changed)}
          onRemove={() => onChange({ ...choice, tags: choice.tags.filter((_, place) => place !== index) })}
        />
      ))}
      {free.length > 0 && (
        <Select
          class="write-table"
          label="Only with a tag"
          value=""
          options={[{ value: "", label: "Choose a tag" }, ...optionsOf(free)]}
          onChange={(tag) => tag !== "" && onChange({ ...choice, tags: [...choice.tags, { tag, values: [] }] })}
        />
      )}
      <p class="muted">A delete selects rows by time and tags; fields cannot be part of it.</p>
    </fieldset>
  );
}

interface TagFieldsProps {
  database: string;
  table: string;
  choice: TagChoice;
  onChange(choice: TagChoice): void;
  onRemove(): void;
}

/** The values of a tag: one of several. */
function TagFields({ database, table, choice, onChange, onRemove }: TagFieldsProps): JSX.Element {
  const { tag, values } = choice;
  const [typed, setTyped] = useState("");
  const known = useLoaded(`${database} ${table} ${tag}`, () => listValues(database, table, tag));
  const add = (value: string | null) => {
    setTyped("");
    if (!values.includes(value)) {
      onChange({ tag, values: [...values, value] });
    }
  };
  return (
    <div class="admin-tag">
      <div class="admin-field-row">
        <TextField
          label={`Values of ${tag}`}
          value={typed}
          onInput={setTyped}
          onEnter={() => typed !== "" && add(typed)}
          suggestions={known.value ?? []}
          hint="Enter adds a value."
        />
        <Button onClick={() => add(typed)} disabled={typed === ""}>
          Add
        </Button>
        <Button kind="quiet" onClick={() => add(null)} disabled={values.includes(null)}>
          Without {tag.slice(0, 40)}
        </Button>
        <IconButton icon="close" label={`Remove the tag ${tag}`} onClick={onRemove} />
      </div>
      <ul class="admin-chips" aria-label={`Chosen values of ${tag}`}>
        {values.map((value) => (
          <li key={value ?? ""} class="badge">
            <span class="preview-cell">{value ?? "no value"}</span>
            <IconButton
              icon="close"
              label={`Remove ${value ?? "rows without a value"}`}
              onClick={() => onChange({ tag, values: values.filter((other) => other !== value) })}
            />
          </li>
        ))}
        {values.length === 0 && <li class="muted">Any value: add those that are to be deleted.</li>}
      </ul>
    </div>
  );
}

async function listValues(database: string, table: string, tag: string): Promise<string[]> {
  const column = quoteIdentifier(tag);
  const text = `SELECT DISTINCT ${column} AS value FROM ${quoteIdentifier(table)} WHERE ${column} IS NOT NULL
    ORDER BY value LIMIT ${PROPOSED_VALUES}`;
  const rows = await queryRows<{ value: string }>(database, text);
  return rows.map(({ value }) => value);
}
