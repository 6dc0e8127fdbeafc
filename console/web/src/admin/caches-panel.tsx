/** Last value and distinct value caches of a database. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { type Column, listTables, quoteText, type Table } from "../api/schema";
import { may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link } from "../router";
import { Button, ConfirmDialog, Dialog, EmptyState, ErrorNote, notify, Select, Spinner, TextField } from "../ui";
import { formatCount, optionsOf } from "../write/names";
import { AdminTable } from "./admin-table";
import { Choices } from "./choices";
import { useChange } from "./create-dialogs";
import { durationSeconds, formatDurationNs } from "./durations";
import { type CacheKind, createCache, deleteCache } from "./server";

interface CacheEntry {
  kind: CacheKind;
  table: string;
  name: string;
  columns: string;
  detail: string;
}

interface LastCacheRow {
  table: string;
  name: string;
  key_column_names: string[];
  value_column_names?: string[];
  count: number;
  ttl: number;
}

interface DistinctCacheRow {
  table: string;
  name: string;
  column_names: string[];
  max_cardinality: number;
  max_age_seconds: number;
}

async function listCaches(database: string): Promise<CacheEntry[]> {
  const [last, distinct] = await Promise.all([
    queryRows<LastCacheRow>(database, "SELECT * FROM system.last_caches"),
    queryRows<DistinctCacheRow>(database, "SELECT * FROM system.distinct_caches"),
  ]);
  const seconds = (count: number) => formatDurationNs(BigInt(count) * 1_000_000_000n);
  const entries = [
    ...last.map((row): CacheEntry => {
      const values = row.value_column_names?.join(", ") ?? "all columns";
      const rows = row.count === 1 ? "the newest row" : `the newest ${formatCount(row.count)} rows`;
      const key = row.key_column_names.join(", ") || "(no key)";
      return {
        kind: "last_cache",
        table: row.table,
        name: row.name,
        columns: key,
        detail: `${rows}, at most ${seconds(row.ttl)} old: ${values}`,
      };
    }),
    ...distinct.map(
      (row): CacheEntry => ({
        kind: "distinct_cache",
        table: row.table,
        name: row.name,
        columns: row.column_names.join(", "),
        detail: `at most ${formatCount(row.max_cardinality)} combinations of the last ${seconds(row.max_age_seconds)}`,
      }),
    ),
  ];
  return entries.sort((left, right) => left.table.localeCompare(right.table) || left.name.localeCompare(right.name));
}

/** The panel. */
export function CachesPanel({ database }: { database: string }): JSX.Element {
  const listed = useLoaded(database, () => listCaches(database));
  const [creates, setCreates] = useState<CacheKind>();
  const [toDelete, setToDelete] = useState<CacheEntry>();
  return (
    <section class="admin-section" aria-labelledby="caches-title">
      <header class="admin-head">
        <h2 id="caches-title">
          Caches of <span class="preview-name">{database}</span>
        </h2>
        {may("create", database) && (
          <>
            <Button icon="add" onClick={() => setCreates("last_cache")}>
              Last value cache
            </Button>
            <Button icon="add" onClick={() => setCreates("distinct_cache")}>
              Distinct value cache
            </Button>
          </>
        )}
      </header>
      {listed.error !== undefined && <ErrorNote error={listed.error} onRetry={listed.reload} />}
      {listed.value === undefined && listed.error === undefined && <Spinner label="Loading" />}
      {listed.value?.length === 0 && (
        <EmptyState icon="time" title="No cache yet">
          <p>
            A last value cache keeps the newest rows of each series ready, a distinct value cache the values that occur.
            Their contents follow from the rows of the table, also from those that were written before.
          </p>
        </EmptyState>
      )}
      {listed.value !== undefined && listed.value.length > 0 && (
        <CacheTable database={database} caches={listed.value} onDelete={setToDelete} />
      )}
      {creates !== undefined && (
        <CreateCacheDialog
          kind={creates}
          database={database}
          onCreated={listed.reload}
          onClose={() => setCreates(undefined)}
        />
      )}
      {toDelete !== undefined && (
        <DeleteCacheDialog
          cache={toDelete}
          database={database}
          onDeleted={listed.reload}
          onClose={() => setToDelete(undefined)}
        />
      )}
    </section>
  );
}

interface CacheTableProps {
  database: string;
  caches: readonly CacheEntry[];
  onDelete(cache: CacheEntry): void;
}

function CacheTable({ database, caches, onDelete }: CacheTableProps): JSX.Element {
  return (
    <AdminTable label="All caches" heads={["Table", "Cache", "Kind", "Key", "Contents"]}>
      {caches.map((cache) => (
        <tr key={`${cache.kind} ${cache.table} ${cache.name}`}>
          <td>
            <span class="preview-cell">{cache.table}</span>
          </td>
          <th scope="row">
            <a class="preview-cell" href={link("explore", { db: database, q: cacheQuery(cache) })}>
              {cache.name}
            </a>
          </th>
          <td>{cache.kind === "last_cache" ? "last values" : "distinct values"}</td>
          <td>
            <span class="preview-cell">{cache.columns}</span>
          </td>
          <td class="admin-wrap">{cache.detail}</td>
          <td class="admin-actions">
            {may("delete", database) && (
              <Button kind="quiet" icon="trash" onClick={() => onDelete(cache)}>
                Delete
              </Button>
            )}
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

function cacheQuery(cache: CacheEntry): string {
  return `SELECT * FROM ${cache.kind}(${quoteText(cache.table)}, ${quoteText(cache.name)})`;
}

interface DeleteCacheDialogProps {
  cache: CacheEntry;
  database: string;
  onDeleted(): void;
  onClose(): void;
}

function DeleteCacheDialog({ cache, database, onDeleted, onClose }: DeleteCacheDialogProps): JSX.Element {
  const confirm = async () => {
    await deleteCache(cache.kind, database, cache.table, cache.name);
    notify("success", `The cache ${cache.name} is deleted.`);
    onDeleted();
  };
  return (
    <ConfirmDialog title={`Delete the cache ${cache.name}`} action="Delete cache" onConfirm={confirm} onClose={onClose}>
      <p>Queries of the cache fail then. The rows of the table stay, and a new cache has the same contents.</p>
    </ConfirmDialog>
  );
}

interface CacheForm {
  table: string;
  name: string;
  /** The key columns; empty: the default of the server. */
  key: string[];
  values: string[];
  count: string;
  age: string;
}

const EMPTY_FORM: CacheForm = { table: "", name: "", key: [], values: [], count: "", age: "" };

interface CreateCacheDialogProps {
  kind: CacheKind;
  database: string;
  onCreated(): void;
  onClose(): void;
}

function CreateCacheDialog({ kind, database, onCreated, onClose }: CreateCacheDialogProps): JSX.Element {
  const tables = useLoaded(database, () => listTables(database));
  const [form, setForm] = useState<CacheForm>(EMPTY_FORM);
  const { isBusy, error, run } = useChange(onClose);
  const set = (change: Partial<CacheForm>) => setForm({ ...form, ...change });
  const table = tables.value?.find(({ name }) => name === form.table);
  const isLast = kind === "last_cache";
  const ageSeconds = form.age === "" ? undefined : durationSeconds(form.age);
  const ageError = form.age !== "" && ageSeconds === undefined ? "Write a duration such as 4h or 7d." : undefined;
  const countError = form.count === "" || /^[1-9]\d{0,8}$/.test(form.count) ? undefined : "A number from 1 on.";
  const isReady =
    table !== undefined && ageError === undefined && countError === undefined && (isLast || form.key.length > 0);
  const create = async () => {
    await createCache(kind, cacheBody(kind, database, form, ageSeconds));
    notify("success", `The cache of ${form.table} is created.`);
    onCreated();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        Create cache
      </Button>
    </>
  );
  return (
    <Dialog
      title={isLast ? "Create a last value cache" : "Create a distinct value cache"}
      size="medium"
      onClose={onClose}
      onSubmit={() => isReady && void run(create)}
      actions={actions}
    >
      <Select
        label="Table"
        value={form.table}
        options={[{ value: "", label: "Choose a table" }, ...optionsOf((tables.value ?? []).map(({ name }) => name))]}
        onChange={(name) => set({ table: name, values: [], key: isLast ? [] : tagsOf(tables.value, name) })}
      />
      <TextField
        label="Name"
        value={form.name}
        onInput={(name) => set({ name })}
        placeholder="made from the table and its columns"
      />
      {table !== undefined && (
        <Choices
          label={isLast ? "Key columns (none: all tags)" : "Columns"}
          options={choicesOf(table, isLast ? isLastKey : isDistinct)}
          chosen={form.key}
          onChange={(key) => set({ key })}
        />
      )}
      {table !== undefined && isLast && (
        <Choices
          label="Value columns (none: all, also later ones)"
          options={choicesOf(table, (column) => !form.key.includes(column.name))}
          chosen={form.values}
          onChange={(values) => set({ values })}
        />
      )}
      <TextField
        label={isLast ? "Rows for each key" : "Combinations at most"}
        value={form.count}
        onInput={(count) => set({ count })}
        placeholder={isLast ? "1" : "100000"}
        error={countError}
      />
      <TextField
        label="Age of rows at most"
        value={form.age}
        onInput={(age) => set({ age })}
        placeholder={isLast ? "4h" : "1d"}
        error={ageError}
      />
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}

function tagsOf(tables: readonly Table[] | undefined, name: string): string[] {
  const columns = tables?.find((table) => table.name === name)?.columns ?? [];
  return columns.filter(({ role }) => role === "tag").map((column) => column.name);
}

function choicesOf(
  table: Table,
  isAllowed: (column: Column) => boolean,
): { id: string; label: string; detail: string }[] {
  const columns = table.columns.filter((column) => column.role !== "time" && isAllowed(column));
  return columns.map((column) => ({
    id: column.name,
    label: column.name.slice(0, 80),
    detail: column.role === "tag" ? "tag" : column.type,
  }));
}

/** Floats cannot be keys. */
function isLastKey(column: Column): boolean {
  return column.type !== "Float64";
}

function isDistinct(column: Column): boolean {
  return column.role === "tag" || column.type.includes("Utf8");
}

/** Returns the body of the request. What is empty gets the default of the server. */
export function cacheBody(
  kind: CacheKind,
  db: string,
  form: Omit<CacheForm, "age">,
  ageSeconds: number | undefined,
): Record<string, unknown> {
  const count = form.count === "" ? undefined : Number(form.count);
  const common = { db, table: form.table, name: form.name || undefined };
  if (kind === "distinct_cache") {
    return { ...common, columns: form.key, max_cardinality: count, max_age: ageSeconds };
  }
  const key = form.key.length === 0 ? undefined : form.key;
  const values = form.values.length === 0 ? undefined : form.values;
  return { ...common, key_columns: key, value_columns: values, count, ttl: ageSeconds };
}
