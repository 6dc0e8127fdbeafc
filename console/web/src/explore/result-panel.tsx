/** The result of a query: as a table, a chart or a plan. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import type { QueryResult } from "../api/query";
import { currentDatabase, databases, INTERNAL_DATABASE } from "../api/schema";
import { mayAnywhere } from "../api/session";
import { DEFAULT_CHART } from "../chart/settings";
import { link, navigate } from "../router";
import { formatMoment, type TimeRange } from "../time/range";
import { Button, EmptyState, ErrorNote, Lazy, Note, Spinner, Tabs } from "../ui";
import { type Batch, batches, type Execution, explain, type PlanState, planText, showExecution } from "./execution";
import { range, resultView, setRange, zoomInto, zoomOut, zooms } from "./explore-state";
import { hasFinerPoints, usesRange } from "./parameters";
import { previewRows } from "./preview";
import { type QueryTab, updateTab } from "./query-tabs";
import { ResultActions } from "./result-actions";
import { ResultTable } from "./result-table";
import { type Statement, statementKind } from "./statements";
import { truncationNote } from "./truncation-note";

/** The properties of the lower part of the view. */
export interface ResultPanelProps {
  tab: QueryTab;
  execution?: Execution;
  plan?: PlanState;
  /** Runs the statement of the last run again. */
  onRunAgain(): void;
  statement(): Statement | undefined;
  /** Asks the assistant to correct the statement that has failed; absent if there is none. */
  onFix?(): void;
}

/** The result of a query: as table, as chart, and the plan of the query. */
export function ResultPanel(props: ResultPanelProps): JSX.Element {
  const { execution, tab } = props;
  const batch = batches.value.get(tab.id);
  return (
    <section class="result" aria-label="Result">
      {batch && <Statements tab={tab} batch={batch} shown={execution} />}
      <Tabs
        label="Forms of the result"
        tabs={[
          { id: "table", label: "Table", icon: "table" },
          { id: "chart", label: "Chart", icon: "chart" },
          { id: "plan", label: "Plan", icon: "tree" },
        ]}
        selected={resultView.value}
        onSelect={(view) => {
          resultView.value = view;
        }}
        panel={<Panel {...props} />}
      >
        <Status execution={execution} />
        <ResultActions execution={execution} tab={tab} />
      </Tabs>
    </section>
  );
}

/** The statements of a batch, of which one is shown. */
function Statements({ tab, batch, shown }: { tab: QueryTab; batch: Batch; shown?: Execution }): JSX.Element {
  const { executions, count } = batch;
  const missing = count - executions.length;
  return (
    <div class="statement-list" role="group" aria-label="Statements">
      {executions.map((execution, index) => (
        <button
          key={execution.statement.start}
          type="button"
          class="statement-item"
          aria-pressed={execution === shown}
          title={execution.statement.text.slice(0, 400)}
          onClick={() => showExecution(tab.id, execution)}
        >
          <code>{`${index + 1} ${execution.statement.text.replace(/\s+/g, " ").slice(0, 40)}`}</code>{" "}
          <span class={execution.status === "failed" ? "field-error" : "muted"}>{outcomeOf(execution)}</span>
        </button>
      ))}
      {missing > 0 && shown?.status !== "running" && <span class="muted">{missing} not run</span>}
    </div>
  );
}

function outcomeOf({ status, rows }: Execution): string {
  return status === "done" ? `${rows.toLocaleString("en")} ${rows === 1 ? "row" : "rows"}` : status;
}

function Panel(props: ResultPanelProps): JSX.Element {
  const { execution, onRunAgain, onFix } = props;
  if (resultView.value === "plan") {
    return <PlanPanel {...props} />;
  }
  if (!execution) {
    return <NoResult />;
  }
  if (execution.status === "failed") {
    return (
      <div class="result-note">
        <ErrorNote
          error={execution.failure?.message ?? ""}
          title="The query failed"
          onRetry={onRunAgain}
          actions={
            onFix && (
              <Button kind="quiet" icon="assistant" onClick={onFix}>
                Fix this error
              </Button>
            )
          }
        />
      </div>
    );
  }
  if (execution.status === "cancelled") {
    return (
      <EmptyState icon="stop" title="Cancelled">
        <p>The server ended the query.</p>
        <Button icon="play" onClick={onRunAgain}>
          Run again
        </Button>
      </EmptyState>
    );
  }
  if (!execution.result) {
    return (
      <div class="result-note">
        <Spinner label="Running" />
      </div>
    );
  }
  return <Result {...props} result={execution.result} />;
}

function NoResult(): JSX.Element {
  const isEmpty = databases.value.every(({ name }) => name === INTERNAL_DATABASE);
  if (isEmpty && mayAnywhere("write")) {
    return (
      <EmptyState icon="write" title="Write the first rows">
        <p>Load a sample with one click, paste line protocol, or drop a CSV or Parquet file. Then query it here.</p>
        <div class="form-actions">
          <Button kind="primary" icon="chart" onClick={() => navigate(link("write", {}, ["samples"]))}>
            Load a sample
          </Button>
          <Button icon="write" onClick={() => navigate(link("write"))}>
            Write data
          </Button>
        </div>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon="play" title="No result yet">
      <p>
        Click a table in the tree to draw it, or type a query and press <kbd>Ctrl+Enter</kbd>.
      </p>
    </EmptyState>
  );
}

function Result({ tab, result, execution, onRunAgain }: ResultPanelProps & { result: QueryResult }): JSX.Element {
  if (result.rows === 0) {
    return <NoRows execution={execution} onRunAgain={onRunAgain} />;
  }
  const truncation = truncationNote(result);
  return (
    <>
      {truncation !== undefined && (
        <Note kind="warning">
          <p>{truncation}</p>
        </Note>
      )}
      {resultView.value === "table" ? (
        <ResultTable result={result} />
      ) : (
        <div class="chart-view">
          <ChartNotes tab={tab} />
          <Lazy
            load={async () => (await import("../chart/result-chart")).ResultChart}
            props={{
              result,
              settings: tab.chart ?? DEFAULT_CHART,
              onSettings: (chart) => updateTab(tab.id, { chart }),
              onBrush: (from: bigint, to: bigint) => zoomInto(rangeOf(from, to)),
              brushesAtOnce: execution && hasFinerPoints(execution.query.text, execution.query.language),
              onZoomOut: zooms.value.length > 0 ? zoomOut : undefined,
              title: tab.name,
            }}
          />
        </div>
      )}
    </>
  );
}

/** What a chart leaves out, and the way back from a zoom. */
function ChartNotes({ tab }: { tab: QueryTab }): JSX.Element | null {
  const { note, table } = tab;
  const isZoomed = zooms.value.length > 0;
  if (table === undefined && !isZoomed) {
    return null;
  }
  return (
    <div class="chart-notes">
      {note && <p class="chart-note">{note}</p>}
      {isZoomed && (
        <Button kind="quiet" icon="undo" onClick={zoomOut}>
          Zoom out
        </Button>
      )}
      {table !== undefined && (
        <Button kind="quiet" icon="table" onClick={() => previewRows(currentDatabase.value, table, false)}>
          Show rows
        </Button>
      )}
    </div>
  );
}

function NoRows({ execution, onRunAgain }: Pick<ResultPanelProps, "execution" | "onRunAgain">): JSX.Element {
  const { from, to } = range.value;
  const query = execution?.query;
  const isLimited = query !== undefined && usesRange(query.text, query.language) && (from !== "" || to !== "");
  return (
    <EmptyState icon="table" title="No rows">
      {isLimited ? (
        <>
          <p>The query found nothing in the chosen time range.</p>
          <Button icon="clock" onClick={() => setRange({ from: "", to: "" })}>
            Search all time
          </Button>
        </>
      ) : (
        <>
          <p>The query succeeded and found nothing.</p>
          <Button icon="refresh" onClick={onRunAgain}>
            Run again
          </Button>
        </>
      )}
    </EmptyState>
  );
}

function PlanPanel({ tab, plan, execution, statement }: ResultPanelProps): JSX.Element {
  const shownPlan = execution?.result && planText(execution.result);
  const current = statement();
  const isChange = current !== undefined && statementKind(current.text, tab.language) === "change";
  if (shownPlan !== undefined) {
    return <PlanView text={shownPlan} />;
  }
  const run = () => {
    if (current) {
      void explain(tab, current);
    }
  };
  if (plan?.status === "running") {
    return (
      <div class="result-note">
        <Spinner label="Running EXPLAIN ANALYZE" />
      </div>
    );
  }
  if (plan?.status === "failed") {
    return (
      <div class="result-note">
        <ErrorNote error={plan.error ?? ""} title="The query failed" onRetry={run} />
      </div>
    );
  }
  if (plan?.text !== undefined && current !== undefined && plan.statement === current.text) {
    return <PlanView text={plan.text} onRefresh={run} />;
  }
  return (
    <EmptyState icon="tree" title="Where the time goes">
      <p>
        EXPLAIN ANALYZE runs the query and shows each operator with its time, rows and bytes.
        {tab.language === "promql" && " There is no plan of PromQL."}
        {isChange && " It is not offered for statements that change data."}
      </p>
      <Button
        kind="primary"
        icon="play"
        onClick={run}
        disabled={current === undefined || isChange || tab.language === "promql"}
      >
        Explain the query
      </Button>
    </EmptyState>
  );
}

function PlanView({ text, onRefresh }: { text: string; onRefresh?(): void }): JSX.Element {
  return (
    <div class="plan-view">
      {onRefresh && (
        <div class="plan-actions">
          <Button kind="quiet" icon="refresh" onClick={onRefresh}>
            Run EXPLAIN ANALYZE again
          </Button>
        </div>
      )}
      <Lazy load={async () => (await import("../explain/plan-tree")).PlanTree} props={{ text }} />
    </div>
  );
}

function Status({ execution }: { execution?: Execution }): JSX.Element {
  return (
    <p class="result-status" role="status">
      {execution?.status === "running" && <RunningStatus execution={execution} />}
      {execution?.status === "done" && execution.result && <DoneStatus result={execution.result} />}
    </p>
  );
}

function RunningStatus({ execution }: { execution: Execution }): JSX.Element {
  const [nowMs, setNowMs] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(performance.now()), 100);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, (nowMs - execution.startedMs) / 1000);
  return (
    <>
      <Spinner />
      <span aria-hidden="true">{seconds.toFixed(1)} s</span>
      {execution.rows > 0 && (
        <span>
          {execution.rows.toLocaleString("en")} rows, {formatBytes(execution.bytes)}
        </span>
      )}
      <span class="visually-hidden">Running</span>
    </>
  );
}

function DoneStatus({ result }: { result: QueryResult }): JSX.Element {
  const rows = `${result.rows.toLocaleString("en")} ${result.rows === 1 ? "row" : "rows"}`;
  const workers = result.headers.get("x-neap-workers");
  return (
    <>
      <span>{rows}</span>
      <span class="muted">{formatBytes(result.bytes)}</span>
      <span class="muted">{formatMs(result.elapsedMs)}</span>
      {workers && <span class="muted">{workers} workers</span>}
    </>
  );
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Returns a range that contains two moments, in full milliseconds. */
function rangeOf(fromNs: bigint, toNs: bigint): TimeRange {
  const fromMs = Number(fromNs / 1_000_000n);
  const toMs = Math.max(fromMs + 1, Number((toNs + 999_999n) / 1_000_000n));
  return { from: formatMoment(fromMs), to: formatMoment(toMs) };
}
