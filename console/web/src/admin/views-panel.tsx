/** Lists, creates and drops materialized views and continuous queries. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { quoteIdentifier } from "../api/schema";
import { may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatSeconds } from "../operate/format";
import { link, route, setParams } from "../router";
import { zone } from "../time/zone";
import { Button, ConfirmDialog, EmptyState, ErrorNote, notify, Spinner, TextField } from "../ui";
import { formatCount } from "../write/names";
import { AdminTable, shortTime } from "./admin-table";
import { ChangeDialog } from "./change-dialog";
import { formatDurationNs } from "./durations";
import { createView, dropView, listViews, type View, viewQuery } from "./views";

/** The time between two reads of the state, in milliseconds. */
const REFRESH_MS = 10_000;

const EXAMPLE =
  "SELECT date_bin(INTERVAL '1 hour', time) AS time, tag, avg(field) AS field\nFROM table GROUP BY 1, tag";

/** The panel. */
export function ViewsPanel({ database }: { database: string }): JSX.Element {
  const views = useLoaded(database, () => listViews(database), REFRESH_MS);
  const draft = route.value.params.get("q");
  const [isCreating, setCreating] = useState(draft !== null);
  const [dropped, setDropped] = useState<View>();
  const mayWrite = may("write", database);
  const closeDraft = () => {
    setCreating(false);
    setParams({ q: undefined });
  };
  return (
    <section class="admin-section" aria-labelledby="views-title">
      <header class="admin-head">
        <h2 id="views-title">
          Materialized views of <span class="preview-name">{database}</span>
        </h2>
        {mayWrite && (
          <Button icon="add" onClick={() => setCreating(true)}>
            Create view
          </Button>
        )}
      </header>
      {views.error !== undefined && <ErrorNote error={views.error} onRetry={views.reload} />}
      {views.value === undefined && views.error === undefined && <Spinner label="Loading" />}
      {views.value?.length === 0 && (
        <EmptyState icon="table" title="No view yet">
          <p>
            A view keeps the result of a query in a table, such as the mean of each hour. It follows all changes of its
            source, also late and deleted rows. Continuous queries are views in InfluxQL.
          </p>
        </EmptyState>
      )}
      {views.value !== undefined && views.value.length > 0 && (
        <ViewTable database={database} views={views.value} onDrop={mayWrite ? setDropped : undefined} />
      )}
      {isCreating && (
        <CreateViewDialog database={database} draft={draft ?? ""} onCreated={views.reload} onClose={closeDraft} />
      )}
      {dropped !== undefined && (
        <ConfirmDialog
          title="Drop the view"
          action="Drop the view"
          onConfirm={async () => {
            await dropView(database, dropped);
            notify("success", `The view ${dropped.view_name.slice(0, 60)} is dropped. Its table is still there.`);
            views.reload();
          }}
          onClose={() => setDropped(undefined)}
        >
          <p>
            “<bdi>{dropped.view_name}</bdi>” is not refreshed any more. The table “<bdi>{dropped.target_table}</bdi>”
            and its rows stay.
          </p>
        </ConfirmDialog>
      )}
    </section>
  );
}

interface ViewTableProps {
  database: string;
  views: readonly View[];
  /** Absent: the caller may not drop views. */
  onDrop?: ((view: View) => void) | undefined;
}

function ViewTable({ database, views, onDrop }: ViewTableProps): JSX.Element {
  const heads = ["View", "Source", "Table", "Window", "State", "Lag", `Refreshed (${zone.value})`, "Query"];
  return (
    <AdminTable label="All views" heads={heads} hasActions={onDrop !== undefined}>
      {views.map((view) => (
        <tr key={view.view_name}>
          <th scope="row">
            <span class="preview-cell">{view.view_name}</span>{" "}
            <span class="muted">{view.language === "sql" ? "view" : "continuous query"}</span>
          </th>
          <td class="admin-wrap">{view.source_table}</td>
          <td class="admin-wrap">
            <TargetTable database={database} view={view} />
          </td>
          <td>{formatDurationNs(BigInt(view.window_ns))}</td>
          <td class="admin-wrap">
            <ViewState view={view} />
          </td>
          <td>{view.staleness_s === undefined ? "" : formatSeconds(view.staleness_s)}</td>
          <td>{shortTime(view.refreshed_at)}</td>
          <td class="admin-wrap">
            <code>{view.query.slice(0, 2_000)}</code>
          </td>
          {onDrop && (
            <td class="admin-actions">
              <Button kind="quiet" icon="trash" onClick={() => onDrop(view)}>
                Drop
              </Button>
            </td>
          )}
        </tr>
      ))}
    </AdminTable>
  );
}

function TargetTable({ database, view }: { database: string; view: View }): JSX.Element {
  const { target_table: table, target_database: other } = view;
  if (other !== undefined) {
    return <>{`${other}.${table}`}</>;
  }
  const q = `SELECT * FROM ${quoteIdentifier(table)} ORDER BY time DESC LIMIT 100`;
  return <a href={link("explore", { db: database, q })}>{table}</a>;
}

function ViewState({ view }: { view: View }): JSX.Element {
  const { state, error, pending_windows: pending = 0 } = view;
  const windows = pending > 0 ? `, ${formatCount(pending)} ${pending === 1 ? "window" : "windows"} to compute` : "";
  return (
    <span class={state === "failed" ? "field-error" : ""}>
      {state}
      {windows}
      {error ? `: ${error.slice(0, 1_000)}` : ""}
    </span>
  );
}

interface CreateViewDialogProps {
  database: string;
  /** A query of Explore, or the empty text. */
  draft: string;
  onCreated(): void;
  onClose(): void;
}

function CreateViewDialog({ database, draft, onCreated, onClose }: CreateViewDialogProps): JSX.Element {
  const [name, setName] = useState("");
  const [query, setQuery] = useState(viewQuery(draft));
  const create = async () => {
    await createView(database, name.trim(), query);
    notify("success", `The view ${name.trim().slice(0, 60)} is created. Its rows appear after the next flush.`);
  };
  return (
    <ChangeDialog
      title="Create a materialized view"
      action="Create view"
      isReady={name.trim() !== "" && query.trim() !== ""}
      change={create}
      onChanged={onCreated}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onInput={setName} autoFocus hint="The view is a table of this name." />
      <TextField
        label="Query"
        value={query}
        onInput={setQuery}
        lines={8}
        isMonospace
        placeholder={EXAMPLE}
        hint="SQL that groups the rows of one table by date_bin with a fixed interval and by any tags, without a time range."
      />
    </ChangeDialog>
  );
}
