/** The view "Telemetry": logs and traces from the tables of OpenTelemetry. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { formatDuration } from "../api/query";
import { currentDatabase, type Table } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { range } from "../explore/explore-state";
import { loadedSchema, loadSchema, schemas } from "../explore/schema-store";
import { link, navigate, route } from "../router";
import { rangeParameters } from "../time/range";
import { formatAnswerTime, zone } from "../time/zone";
import { EmptyState, ErrorNote, Spinner, Tabs } from "../ui";
import { LogList } from "./log-list";
import { type LogRow, logsQuery, MAX_LOGS, MAX_TRACES, readRows, type TraceRow, tracesQuery } from "./queries";
import { filterOf, SignalBar } from "./signal-bar";
import { TracePage } from "./trace-page";
import "./telemetry.css";

type Section = "logs" | "traces";

/** The view. */
export default function TelemetryView(): JSX.Element {
  return (
    <div class="telemetry">
      <h1 class="visually-hidden">Telemetry</h1>
      <Signals database={currentDatabase.value} />
    </div>
  );
}

function Signals({ database }: { database: string }): JSX.Element {
  const schema = schemas.value.get(database);
  useEffect(() => void loadSchema(database), [database]);
  if (schema?.state === "failed") {
    return <ErrorNote error={schema.error} onRetry={() => void loadSchema(database)} />;
  }
  if (database !== "" && schema?.state !== "loaded") {
    return <Spinner label="Loading" />;
  }
  const { tables } = loadedSchema(database);
  const logs = tables.find(({ name, columns }) => name === "logs" && hasColumn(columns, "time"));
  const spans = tables.find(({ name, columns }) => name === "spans" && hasColumn(columns, "trace_id"));
  if (logs === undefined && spans === undefined) {
    return (
      <EmptyState icon="tree" title="No logs or traces yet">
        <p>
          Set the endpoint of an OpenTelemetry SDK or Collector to this server, and choose this database. Its log
          records and spans appear here.
        </p>
      </EmptyState>
    );
  }
  const section: Section = route.value.path[0] === "logs" || spans === undefined ? "logs" : "traces";
  return (
    <Tabs
      label="Signals"
      tabs={[
        { id: "traces", label: "Traces", icon: "tree" },
        { id: "logs", label: "Logs", icon: "table" },
      ]}
      selected={section}
      onSelect={(id) => navigate(sectionLink(id))}
      panel={
        <div class="telemetry-panel">
          <Panel database={database} section={section} logs={logs} spans={spans} />
        </div>
      }
    />
  );
}

interface PanelProps {
  database: string;
  section: Section;
  logs?: Table | undefined;
  spans?: Table | undefined;
}

function Panel({ database, section, logs, spans }: PanelProps): JSX.Element {
  const [place, traceId] = route.value.path;
  if (spans !== undefined && place === "trace" && traceId !== undefined) {
    const related = logs !== undefined && hasColumn(logs.columns, "trace_id") ? logs : undefined;
    const key = `${database} ${traceId}`;
    return <TracePage key={key} database={database} traceId={traceId} spans={spans} logs={related} />;
  }
  if (section === "logs") {
    return logs === undefined ? (
      <EmptyState icon="table" title="No log records yet" />
    ) : (
      <Logs database={database} table={logs} hasTraces={spans !== undefined} />
    );
  }
  return spans === undefined ? (
    <EmptyState icon="tree" title="No traces yet" />
  ) : (
    <Traces database={database} table={spans} />
  );
}

function hasColumn(columns: Table["columns"], name: string): boolean {
  return columns.some((column) => column.name === name);
}

/** Returns the place of a list with the present filter. */
function sectionLink(section: Section): string {
  return link("telemetry", Object.fromEntries(route.value.params), [section]);
}

/** Reads the rows of a list in the present range and filter. Returns them, and the properties of the bar above them. */
function useRows<T>(database: string, table: Table, query: typeof logsQuery) {
  const filter = filterOf(route.value.params);
  const { from, to } = range.value;
  const key = JSON.stringify([database, filter, from, to]);
  const moments = rangeParameters(range.value, Date.now());
  const rows = useLoaded(key, (signal) => readRows<T>(database, query(table, filter, moments), signal));
  const bar = { database, table, filter, moments, isLoading: rows.isLoading, onReload: rows.reload };
  return { rows, bar };
}

function Logs({ database, table, hasTraces }: { database: string; table: Table; hasTraces: boolean }): JSX.Element {
  const { rows: logs, bar } = useRows<LogRow>(database, table, logsQuery);
  return (
    <>
      <SignalBar {...bar} label="Words of log records" />
      {logs.error !== undefined && <ErrorNote error={logs.error} onRetry={logs.reload} />}
      {logs.value?.length === 0 && <EmptyState icon="table" title="No log record matches" />}
      {logs.value?.length === MAX_LOGS && <p class="muted">The newest {MAX_LOGS} log records.</p>}
      {logs.value !== undefined && logs.value.length > 0 && <LogList logs={logs.value} hasTraces={hasTraces} />}
    </>
  );
}

function Traces({ database, table }: { database: string; table: Table }): JSX.Element {
  const { rows: traces, bar } = useRows<TraceRow>(database, table, tracesQuery);
  return (
    <>
      <SignalBar {...bar} label="Words of spans" />
      {traces.error !== undefined && <ErrorNote error={traces.error} onRetry={traces.reload} />}
      {traces.value?.length === 0 && <EmptyState icon="tree" title="No trace matches" />}
      {traces.value?.length === MAX_TRACES && <p class="muted">The newest {MAX_TRACES} traces.</p>}
      {traces.value !== undefined && traces.value.length > 0 && <TraceTable traces={traces.value} />}
    </>
  );
}

function TraceTable({ traces }: { traces: readonly TraceRow[] }): JSX.Element {
  return (
    <div class="waterfall-box">
      <table class="waterfall" aria-label="Traces">
        <thead>
          <tr>
            <th scope="col">Trace</th>
            <th scope="col">Service</th>
            <th scope="col">{`Start (${zone.value})`}</th>
            <th scope="col" class="number">
              Duration
            </th>
            <th scope="col" class="number">
              Spans
            </th>
            <th scope="col" class="number">
              Errors
            </th>
          </tr>
        </thead>
        <tbody>
          {traces.map((trace) => (
            <tr key={trace.trace_id}>
              <th scope="row">
                <a href={link("telemetry", Object.fromEntries(route.value.params), ["trace", trace.trace_id])}>
                  <bdi>{(trace.name ?? trace.trace_id).slice(0, 120)}</bdi>
                </a>
              </th>
              <td>
                <bdi>{(trace.service ?? "").slice(0, 60)}</bdi>
              </td>
              <td>{formatAnswerTime(trace.start, zone.value)}</td>
              <td class="number">{formatDuration(trace.duration_nano)}</td>
              <td class="number">{trace.spans.toLocaleString("en")}</td>
              <td class="number">{trace.errors > 0 ? trace.errors.toLocaleString("en") : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
