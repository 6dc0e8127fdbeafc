/** Running and slow queries of the process. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase, INTERNAL_DATABASE } from "../api/schema";
import { info, isAdmin, may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatWall, parseAnswerTime, zone } from "../time/zone";
import { Button, Checkbox, EmptyState, ErrorNote, IconButton, Select } from "../ui";
import { type DataColumn, DataTable } from "./data-table";
import { formatSeconds } from "./format";
import { QueryDetails } from "./query-details";
import { type LoggedQuery, listQueries } from "./system-tables";

/** The time between two readings of the list, in milliseconds. */
const REFRESH_MS = 3_000;

/** Which queries are shown. */
type Filter = "all" | "running" | "failed";

/** The queries of the process that answers: running ones, and the slowest of the last ones. */
export function QueriesPanel(): JSX.Element {
  const [filter, setFilter] = useState<Filter>("all");
  const [hasSystem, setSystem] = useState(false);
  const [isLive, setLive] = useState(true);
  const [opened, setOpened] = useState<string>();
  const database = currentDatabase.value;
  const isReadable = database !== "" && (isAdmin.value || may("read", database));
  const loaded = useLoaded(
    `queries-${hasSystem}-${database}`,
    async (signal) => (isReadable ? listQueries(database, hasSystem, signal) : []),
    isLive ? REFRESH_MS : undefined,
  );
  if (!isReadable) {
    return (
      <EmptyState icon="operate" title="No queries to show">
        <p>The log of queries belongs to a database. Choose one above that you may read.</p>
      </EmptyState>
    );
  }
  const shown = (loaded.value ?? []).filter((query) => isShown(query, filter));
  return (
    <div class="operate-queries">
      <div class="operate-controls">
        <Select<Filter>
          label="Show"
          value={filter}
          options={[
            { value: "all", label: "all queries, the slowest first" },
            { value: "running", label: "running queries" },
            { value: "failed", label: "failed and cancelled queries" },
          ]}
          onChange={setFilter}
        />
        <Checkbox label="Queries of system tables, too" isChecked={hasSystem} onChange={setSystem} />
        <Checkbox label={`Refresh every ${REFRESH_MS / 1_000} s`} isChecked={isLive} onChange={setLive} />
        <Button icon="refresh" onClick={loaded.reload}>
          Refresh
        </Button>
      </div>
      <p class="operate-scope">
        The last queries of{" "}
        {database === INTERNAL_DATABASE ? "all databases" : <span class="operate-name">{database}</span>} in one process
        {info.value?.node_id ? `, ${info.value.node_id}` : ""}. Each process keeps a log of its own.
      </p>
      {loaded.error !== undefined && <ErrorNote error={loaded.error} onRetry={loaded.reload} />}
      {loaded.value !== undefined && shown.length === 0 && (
        <EmptyState icon="check" title={filter === "running" ? "No query runs" : "No such query"}>
          <p>Run a query in Explore, and it appears here.</p>
        </EmptyState>
      )}
      {shown.length > 0 && (
        <QueryTable
          queries={shown}
          database={database}
          opened={opened}
          onToggle={(id) => setOpened(id === opened ? undefined : id)}
          onChanged={loaded.reload}
        />
      )}
    </div>
  );
}

function isShown(query: LoggedQuery, filter: Filter): boolean {
  switch (filter) {
    case "all":
      return true;
    case "running":
      return query.running;
    case "failed":
      return !query.running && !query.success;
  }
}

const COLUMNS: readonly DataColumn[] = [
  { name: "" },
  { name: "Query" },
  { name: "State" },
  { name: "Time", isNumber: true },
  { name: "Began" },
];

interface QueryTableProps {
  queries: readonly LoggedQuery[];
  database: string;
  opened: string | undefined;
  onToggle(id: string): void;
  onChanged(): void;
}

function QueryTable({ queries, database, opened, onToggle, onChanged }: QueryTableProps): JSX.Element {
  return (
    <DataTable label="Queries" columns={COLUMNS}>
      {queries.map((query) => (
        <QueryRows
          key={query.id}
          query={query}
          database={database}
          isOpen={query.id === opened}
          onToggle={() => onToggle(query.id)}
          onChanged={onChanged}
        />
      ))}
    </DataTable>
  );
}

interface QueryRowsProps {
  query: LoggedQuery;
  database: string;
  isOpen: boolean;
  onToggle(): void;
  onChanged(): void;
}

function QueryRows({ query, database, isOpen, onToggle, onChanged }: QueryRowsProps): JSX.Element {
  const began = parseAnswerTime(query.issue_time);
  const elapsed = query.running ? (Date.now() - began) / 1_000 : (query.end2end_ns ?? 0) / 1e9;
  return (
    <>
      <tr>
        <td>
          <IconButton
            icon={isOpen ? "chevronDown" : "chevronRight"}
            label={isOpen ? "Hide the details" : "Show the details"}
            onClick={onToggle}
          />
        </td>
        <td class="query-text monospace" title={query.query_text.slice(0, 1_000)}>
          {query.query_text.slice(0, 300)}
        </td>
        <td>
          <span class={`query-state query-state-${stateOf(query)}`}>{stateOf(query)}</span>
        </td>
        <td class="number">{formatSeconds(Math.max(0, elapsed))}</td>
        <td class="query-began">{formatWall(began, zone.value)}</td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={5} class="query-details-cell">
            <QueryDetails query={query} database={database} onChanged={onChanged} />
          </td>
        </tr>
      )}
    </>
  );
}

/** Returns the state of a query in one word. */
export function stateOf(query: LoggedQuery): string {
  if (query.running) {
    return "running";
  }
  return query.cancelled ? "cancelled" : query.success ? "done" : "failed";
}
