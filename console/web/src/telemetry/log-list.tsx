/** A list of log records. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { link } from "../router";
import { formatAnswerTime, timeInZone, zone } from "../time/zone";
import type { LogRow } from "./queries";
import { attributesOf } from "./trace";

/** Characters of a record that a line shows, and that its details show. */
const MAX_LINE_CHARS = 500;
const MAX_DETAIL_CHARS = 20_000;

/** Log records, of which a click shows all fields. `hasTraces`: they lead to their traces. */
export function LogList({ logs, hasTraces }: { logs: readonly LogRow[]; hasTraces: boolean }): JSX.Element {
  const [open, setOpen] = useState<LogRow>();
  return (
    <ul aria-label="Log records">
      {logs.map((log, index) => (
        <li key={`${log.time} ${index}`} class={`record record-${levelOf(log)}`}>
          <button
            type="button"
            class="record-head"
            aria-expanded={log === open}
            onClick={() => setOpen(log === open ? undefined : log)}
          >
            <time class="muted">{formatAnswerTime(log.time, zone.value, "milliseconds")}</time>
            <span class="record-level">{severityOf(log)}</span>
            <bdi class="record-service muted">{(log.service ?? "").slice(0, 60)}</bdi>
            <bdi class="record-body">{bodyOf(log).slice(0, MAX_LINE_CHARS)}</bdi>
          </button>
          {hasTraces && log.trace_id && <a href={link("telemetry", {}, ["trace", log.trace_id])}>Trace</a>}
          {log === open && <LogDetails log={log} />}
        </li>
      ))}
    </ul>
  );
}

function LogDetails({ log }: { log: LogRow }): JSX.Element {
  const fields: [string, string][] = [
    ["time", timeInZone(log.time, zone.value)],
    ["trace_id", log.trace_id ?? ""],
    ["span_id", log.span_id ?? ""],
    ...attributesOf(log.attributes),
  ];
  return (
    <div class="record-details">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text scrolls by keyboard. */}
      <pre class="value-text" tabIndex={0}>
        {bodyOf(log).slice(0, MAX_DETAIL_CHARS)}
      </pre>
      <Attributes fields={fields.filter(([, value]) => value !== "")} />
    </div>
  );
}

/** Names and values. */
export function Attributes({ fields }: { fields: readonly [string, string][] }): JSX.Element {
  return (
    <dl class="attributes">
      {fields.map(([name, value]) => (
        <div key={name}>
          <dt>
            <bdi>{name.slice(0, 200)}</bdi>
          </dt>
          <dd>
            <bdi>{value.slice(0, MAX_DETAIL_CHARS)}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function bodyOf({ body, event }: LogRow): string {
  return body ?? event ?? "";
}

function severityOf({ severity, severity_number, event, body }: LogRow): string {
  return (
    severity?.slice(0, 12) ?? (body === undefined && event !== undefined ? "event" : (severity_number ?? "").toString())
  );
}

/** The kind of a record by its number: 1 to 24, in steps of four from trace to fatal. */
function levelOf({ severity_number: number = 0 }: LogRow): "error" | "warning" | "other" {
  return number >= 17 ? "error" : number >= 13 ? "warning" : "other";
}
