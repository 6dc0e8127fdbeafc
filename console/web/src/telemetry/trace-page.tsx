/** One trace as a waterfall: each span with its time, below the span that called it. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { formatDuration } from "../api/query";
import type { Table } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { readColours, seriesStyle } from "../chart/palette";
import { theme } from "../shell/theme";
import { EmptyState, ErrorNote, Spinner } from "../ui";
import { Attributes, LogList } from "./log-list";
import { type LogRow, MAX_SPANS, readRows, traceLogsQuery, traceQuery } from "./queries";
import { attributesOf, type SpanRow, type TraceLine, traceLength, traceLines } from "./trace";

/** The properties of a trace. */
export interface TracePageProps {
  database: string;
  traceId: string;
  spans: Table;
  /** The table of log records, if there is one with traces. */
  logs?: Table | undefined;
}

/** A trace. */
export function TracePage({ database, traceId, spans, logs }: TracePageProps): JSX.Element {
  const key = JSON.stringify([database, traceId]);
  const trace = useLoaded(key, (signal) => readRows<SpanRow>(database, traceQuery(spans, traceId), signal));
  const records = useLoaded(logs && key, async (signal) => {
    return logs === undefined ? [] : readRows<LogRow>(database, traceLogsQuery(logs, traceId), signal);
  });
  const rows = trace.value ?? [];
  return (
    <section class="trace" aria-label="Trace">
      <h2>
        Trace <code>{traceId.slice(0, 64)}</code>
      </h2>
      {trace.error !== undefined && <ErrorNote error={trace.error} onRetry={trace.reload} />}
      {trace.value === undefined && trace.error === undefined && <Spinner label="Loading the trace" />}
      {trace.value?.length === 0 && <EmptyState icon="tree" title="No spans of this trace are stored" />}
      {rows.length === MAX_SPANS && <p class="muted">The first {MAX_SPANS.toLocaleString("en")} spans.</p>}
      {rows.length > 0 && <Waterfall spans={rows} />}
      {records.error !== undefined && <ErrorNote error={records.error} onRetry={records.reload} />}
      {records.value !== undefined && records.value.length > 0 && (
        <>
          <h3>Log records and events</h3>
          <LogList logs={records.value} hasTraces={false} />
        </>
      )}
    </section>
  );
}

function Waterfall({ spans }: { spans: readonly SpanRow[] }): JSX.Element {
  const [open, setOpen] = useState<SpanRow>();
  const lines = useMemo(() => traceLines(spans), [spans]);
  const length = traceLength(spans);
  const services = [...new Set(lines.map(({ span }) => span.service ?? ""))];
  const colours = useMemo(() => readColours(document.documentElement), [theme.value]);
  return (
    <div class="waterfall-box">
      <table class="waterfall">
        <caption class="visually-hidden">
          {`${spans.length} spans of ${services.length} services in ${formatDuration(length)}`}
        </caption>
        <thead>
          <tr>
            <th scope="col">Span</th>
            <th scope="col">Service</th>
            <th scope="col" class="number">
              Duration
            </th>
            <th scope="col">{`0 – ${formatDuration(length)}`}</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <SpanLine
              key={line.span.span_id}
              line={line}
              length={length}
              colour={seriesStyle(colours, services.indexOf(line.span.service ?? "")).colour}
              isOpen={line.span === open}
              onToggle={() => setOpen(line.span === open ? undefined : line.span)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Levels of the tree that are indented. */
const MAX_INDENT = 20;

interface SpanLineProps {
  line: TraceLine;
  length: number;
  colour: string;
  isOpen: boolean;
  onToggle(): void;
}

function SpanLine({ line, length, colour, isOpen, onToggle }: SpanLineProps): JSX.Element {
  const { span, depth, isOrphan } = line;
  const duration = span.duration_nano ?? 0;
  const isError = span.status === "Error";
  const left = (100 * span.offset_nano) / length;
  const width = Math.max(0.2, (100 * duration) / length);
  return (
    <>
      <tr>
        <th scope="row" style={{ paddingInlineStart: `${Math.min(depth, MAX_INDENT) * 14 + 4}px` }}>
          <button type="button" class="span-name" aria-expanded={isOpen} onClick={onToggle}>
            <bdi>{(span.name ?? span.span_id).slice(0, 120)}</bdi>
          </button>
          {isError && <span class="field-error"> error</span>}
          {isOrphan && <span class="muted"> (its parent is missing)</span>}
        </th>
        <td>
          <bdi>{(span.service ?? "").slice(0, 60)}</bdi>
        </td>
        <td class="number">{formatDuration(duration)}</td>
        <td class="span-time">
          <span class="span-bar" style={{ "--bar-left": `${left}%`, "--bar-width": `${width}%`, background: colour }} />
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={4}>
            <Attributes fields={detailsOf(span)} />
          </td>
        </tr>
      )}
    </>
  );
}

function detailsOf(span: SpanRow): [string, string][] {
  const fields: [string, string | undefined][] = [
    ["span_id", span.span_id],
    ["parent_span_id", span.parent_span_id],
    ["kind", span.kind],
    ["start", `after ${formatDuration(span.offset_nano)}`],
    ["status", span.status],
    ["status_description", span.status_description],
    ...attributesOf(span.attributes),
  ];
  return fields.flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]));
}
