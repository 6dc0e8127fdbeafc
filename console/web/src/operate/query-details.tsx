/** The text, the times and the plan of a query. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { isAdmin } from "../api/session";
import { PlanTree } from "../explain/plan-tree";
import { link } from "../router";
import { Button, CopyButton, ErrorNote } from "../ui";
import { formatSeconds } from "./format";
import { killQuery } from "./kill-query";
import { canCancel, cancelQuery } from "./own-queries";
import { explain, type LoggedQuery } from "./system-tables";

/** The properties of the details of a query. */
export interface QueryDetailsProps {
  query: LoggedQuery;
  database: string;
  /** Called after the query was cancelled. */
  onChanged(): void;
}

/** Shows where the time of a query went, and its plan. */
export function QueryDetails({ query, database, onChanged }: QueryDetailsProps): JSX.Element {
  const [plan, setPlan] = useState<string>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState<"plan" | "run" | "cancel">();
  const isOwn = canCancel(query, database);
  const show = async (isRun: boolean): Promise<void> => {
    setBusy(isRun ? "run" : "plan");
    setError(undefined);
    try {
      setPlan(await explain(database, query, isRun));
    } catch (failure) {
      setError(failure);
    }
    setBusy(undefined);
  };
  const cancel = async (): Promise<void> => {
    setBusy("cancel");
    setError(undefined);
    try {
      if (isOwn) {
        cancelQuery(query, database);
      } else {
        await killQuery(query, database);
      }
    } catch (failure) {
      setError(failure);
    }
    setBusy(undefined);
    onChanged();
  };
  return (
    <div class="query-details">
      <pre class="query-full monospace" role="region" aria-label="Text of the query">
        {query.query_text}
      </pre>
      <dl class="query-facts">
        {factsOf(query).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div class="operate-controls">
        {query.running && (isOwn || isAdmin.value) && (
          <Button kind="danger" icon="stop" isBusy={busy === "cancel"} onClick={() => void cancel()}>
            Cancel the query
          </Button>
        )}
        <Button icon="tree" isBusy={busy === "plan"} onClick={() => void show(false)}>
          Show the plan
        </Button>
        <Button icon="play" isBusy={busy === "run"} onClick={() => void show(true)}>
          Run it again and measure its plan
        </Button>
        <a class="button button-plain" href={link("explore", { db: database, q: query.query_text })}>
          Open in Explore
        </a>
        <CopyButton text={query.query_text} label="Copy the text" />
      </div>
      {query.running && !isOwn && !isAdmin.value && (
        <p class="operate-status">
          A query ends when its client disconnects. You can cancel the queries of this page, and administrators all.
        </p>
      )}
      {error !== undefined && <ErrorNote error={error} />}
      {plan !== undefined && (
        <>
          <h2>Plan</h2>
          <PlanTree text={plan} />
        </>
      )}
    </div>
  );
}

function factsOf(query: LoggedQuery): [string, string][] {
  const time = (ns: number | undefined): string => (ns === undefined || ns === null ? "–" : formatSeconds(ns / 1e9));
  const count = (value: number | undefined): string => (value ?? "–").toLocaleString("en");
  return [
    ["Whole time", time(query.end2end_ns)],
    ["Planning", time(query.plan_ns)],
    ["Waiting for a permit", time(query.permit_ns)],
    ["Execution", time(query.execute_ns)],
    ["Processor time", time(query.compute_ns)],
    ["Maximum memory", query.max_memory === undefined ? "–" : formatBytes(query.max_memory)],
    ["Parts", count(query.partitions)],
    ["Objects read", count(query.parquet_files)],
    ["Language", query.query_type],
    ["Request", query.trace_id ?? "–"],
  ];
}
