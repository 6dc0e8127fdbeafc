/** Runs the query of a tab, and keeps its result or error. */

import { signal } from "@preact/signals";
import { messageOf } from "../api/client";
import { DEFAULT_MAX_BYTES, type QueryRequest, type QueryResult, runQuery } from "../api/query";
import { currentDatabase } from "../api/schema";
import { onForget } from "../api/token";
import { notify } from "../ui";
import { errorPlace, type TextRange } from "./error-place";
import { asOf, range } from "./explore-state";
import { remember } from "./history";
import { parameterValues } from "./parameters";
import { currentTab, type QueryTab, tabs } from "./query-tabs";
import type { Statement } from "./statements";

/** Why a statement failed. */
export interface QueryFailure {
  message: string;
  /** The part of the editor's text that the message is about. */
  place?: TextRange;
}

/** One run of a statement. */
export interface Execution {
  status: "running" | "done" | "failed" | "cancelled";
  /** The query as it was sent. */
  query: QueryRequest;
  statement: Statement;
  /** When it began, by `performance.now()`. */
  startedMs: number;
  rows: number;
  bytes: number;
  /** The result; while the same query runs again, the one before. */
  result?: QueryResult;
  failure?: QueryFailure;
}

/** The plan of a statement, with what each operator did. */
export interface PlanState {
  status: "running" | "done" | "failed";
  /** The text of the statement. */
  statement: string;
  text?: string;
  error?: string;
}

/** The maximum size of all results that the page keeps, in bytes. */
const MAX_KEPT_BYTES = 512 * 1024 * 1024;

/** The minimum time between two updates of the progress, in milliseconds. */
const PROGRESS_MS = 150;

/** The newest run of each tab. */
export const executions = signal<ReadonlyMap<string, Execution>>(new Map());

/** The newest plan of each tab. */
export const plans = signal<ReadonlyMap<string, PlanState>>(new Map());

const controllers = new Map<string, AbortController>();

onForget(() => {
  for (const id of controllers.keys()) {
    cancel(id);
  }
  executions.value = new Map();
  batches.value = new Map();
  plans.value = new Map();
});

/** The results of all statements of a text. */
export interface Batch {
  executions: readonly Execution[];
  /** The number of statements, including those that did not run because one before them failed. */
  count: number;
}

/** Statements that run together at most. */
export const MAX_STATEMENTS = 50;

/** The newest batch of each tab, until a single statement runs. */
export const batches = signal<ReadonlyMap<string, Batch>>(new Map());

/** Runs all statements of a tab, one after the other. It ends at the first that fails. */
export async function runAll(tab: QueryTab, statements: readonly Statement[]): Promise<void> {
  // All results together are bounded as one is.
  const maxBytes = Math.floor(DEFAULT_MAX_BYTES / Math.max(1, statements.length));
  const done: Execution[] = [];
  for (const statement of statements) {
    await run(tab, statement, maxBytes);
    const execution = executions.peek().get(tab.id);
    if (execution?.statement !== statement || execution.status === "running") {
      return; // The user has run something else, or has closed the tab.
    }
    done.push(execution);
    batches.value = new Map(batches.peek()).set(tab.id, { executions: [...done], count: statements.length });
    if (execution.status !== "done") {
      return;
    }
  }
}

/** Shows the result of one statement of a batch. */
export function showExecution(tabId: string, execution: Execution): void {
  setExecution(tabId, execution);
}

/** Runs a statement of a tab. A run of the same tab that is not finished is cancelled. */
export async function run(tab: QueryTab, statement: Statement, maxBytes = DEFAULT_MAX_BYTES): Promise<void> {
  cancel(tab.id);
  batches.value = without(batches.peek(), tab.id);
  const controller = new AbortController();
  controllers.set(tab.id, controller);
  const query = buildQuery(tab, statement.text);
  const before = executions.peek().get(tab.id);
  const started: Execution = {
    status: "running",
    query,
    statement,
    startedMs: performance.now(),
    rows: 0,
    bytes: 0,
    result: before?.query.text === query.text ? before.result : undefined,
  };
  setExecution(tab.id, started);
  remember({ text: statement.text, language: tab.language, database: query.database, atMs: Date.now() });
  const isLatest = () => controllers.get(tab.id) === controller;
  let shownMs = 0;
  try {
    const result = await runQuery({
      ...query,
      maxBytes,
      signal: controller.signal,
      onProgress: (rows, bytes) => {
        if (isLatest() && performance.now() - shownMs > PROGRESS_MS) {
          shownMs = performance.now();
          setExecution(tab.id, { ...started, rows, bytes });
        }
      },
    });
    if (isLatest()) {
      setExecution(tab.id, { ...started, status: "done", rows: result.rows, bytes: result.bytes, result });
      dropOldResults(tab.id);
    }
  } catch (error) {
    // A run that was forgotten with the session stays forgotten.
    if (isLatest() && executions.peek().has(tab.id)) {
      const isCancelled = controller.signal.aborted;
      const failure = isCancelled ? undefined : failureOf(messageOf(error), statement, tab);
      setExecution(tab.id, { ...started, status: isCancelled ? "cancelled" : "failed", result: undefined, failure });
    }
  } finally {
    if (isLatest()) {
      controllers.delete(tab.id);
    }
  }
}

/** Ends the run of a tab. The server ends the query, because its client is gone. */
export function cancel(tabId: string): void {
  controllers.get(tabId)?.abort(new DOMException("The query was cancelled.", "AbortError"));
}

/** Runs a statement as `EXPLAIN ANALYZE`, to show its plan. */
export async function explain(tab: QueryTab, statement: Statement): Promise<void> {
  const text = /^explain\b/i.test(statement.text) ? statement.text : `EXPLAIN ANALYZE ${statement.text}`;
  const state: PlanState = { status: "running", statement: statement.text };
  const set = (plan: PlanState) => {
    plans.value = new Map(plans.peek()).set(tab.id, plan);
  };
  set(state);
  try {
    const result = await runQuery(buildQuery(tab, text));
    set({ ...state, status: "done", text: planText(result) });
  } catch (error) {
    set({ ...state, status: "failed", error: messageOf(error) });
  }
}

/** Returns the text of the plan in the answer of `EXPLAIN`, or `undefined` if it has none. */
export function planText(result: QueryResult): string | undefined {
  const plan = result.columns.find(({ name }) => name === "plan");
  if (!plan || !result.columns.some(({ name }) => name === "plan_type")) {
    return undefined;
  }
  return Array.from({ length: result.rows }, (_, row) => String(plan.get(row) ?? "")).join("\n");
}

/** Forgets the runs of tabs that are closed. */
export function forgetClosedTabs(): void {
  const open = new Set(tabs.value.map(({ id }) => id));
  for (const id of executions.peek().keys()) {
    if (!open.has(id)) {
      cancel(id);
      executions.value = without(executions.peek(), id);
      batches.value = without(batches.peek(), id);
      plans.value = without(plans.peek(), id);
    }
  }
}

/** Returns a query of a tab with the parameters, the range and the moment of the page. */
export function buildQuery(tab: QueryTab, text: string): QueryRequest {
  return {
    database: currentDatabase.value,
    text,
    language: tab.language,
    parameters: parameterValues(text, tab.language, tab.parameters, range.value, Date.now(), tab.extent),
    asOf: asOf.value || undefined,
  };
}

function failureOf(message: string, statement: Statement, tab: QueryTab): QueryFailure {
  const place = errorPlace(message, statement.text, tab.language);
  const isUnchanged = tabs.value.some(({ id, text }) => id === tab.id && text === tab.text);
  if (!place || !isUnchanged) {
    return { message };
  }
  return { message, place: { from: statement.start + place.from, to: statement.start + place.to } };
}

/** Keeps the memory of results bounded: those of tabs that are not shown leave first. */
function dropOldResults(newest: string): void {
  let bytes = 0;
  const order = [newest, currentTab.value.id, ...[...executions.peek().keys()].reverse()];
  const kept = new Set<string>();
  for (const id of new Set(order)) {
    const result = executions.peek().get(id)?.result;
    bytes += result?.bytes ?? 0;
    if (result && bytes <= MAX_KEPT_BYTES) {
      kept.add(id);
    }
  }
  kept.add(newest);
  const dropped = [...executions.peek()].filter(([id, execution]) => execution.result && !kept.has(id));
  if (dropped.length > 0) {
    const next = new Map(executions.peek());
    for (const [id] of dropped) {
      next.delete(id);
    }
    executions.value = next;
    notify("info", "Results of other tabs were removed from memory.");
  }
}

function setExecution(id: string, execution: Execution): void {
  executions.value = new Map(executions.peek()).set(id, execution);
}

function without<T>(map: ReadonlyMap<string, T>, id: string): ReadonlyMap<string, T> {
  const next = new Map(map);
  next.delete(id);
  return next;
}
