// The figures of a plan: time, rows and bytes of each operator.

import type { PlanNode } from "./parse-plan";

/** The figures of an operator. A figure that the plan does not have is `undefined`. */
export interface Figures {
  /** The time that the operator computed, over all threads, in nanoseconds. */
  timeNs: number | undefined;
  rows: number | undefined;
  /** The size of the rows that it returned, in memory. */
  bytes: number | undefined;
  /** Bytes that were read from the store, moved between workers, and written to disk for lack of memory. */
  scannedBytes: number | undefined;
  networkBytes: number | undefined;
  spilledBytes: number | undefined;
}

/** Operators that only pass rows on. */
const PASSING = new Set(["CancellationExec", "CooperativeExec"]);

/** Returns the figures of an operator. */
export function figuresOf(node: PlanNode): Figures {
  const value = (name: string): number | undefined =>
    node.metrics.find((metric) => metric.name === name)?.quantity?.value;
  const times = [
    value("elapsed_compute"),
    value("time_elapsed_processing"),
    sum(value("build_time"), value("join_time")),
  ].filter((time) => time !== undefined);
  return {
    timeNs: times.length === 0 ? undefined : Math.max(...times),
    rows: value("output_rows"),
    bytes: value("output_bytes"),
    scannedBytes: value("bytes_scanned"),
    networkBytes: value("bytes_transferred"),
    spilledBytes: value("spilled_bytes"),
  };
}

function sum(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined && right === undefined ? undefined : (left ?? 0) + (right ?? 0);
}

/** Figures of a whole plan. */
export interface Totals {
  timeNs: number;
  scannedBytes: number;
  networkBytes: number;
  spilledBytes: number;
  /** The rows of the answer. */
  rows: number | undefined;
  hasMetrics: boolean;
}

/** Returns the sums over all operators of a plan. */
export function totalsOf(roots: PlanNode[]): Totals {
  const totals: Totals = {
    timeNs: 0,
    scannedBytes: 0,
    networkBytes: 0,
    spilledBytes: 0,
    rows: firstRows(roots),
    hasMetrics: false,
  };
  for (const node of allNodes(roots)) {
    const figures = figuresOf(node);
    totals.hasMetrics ||= node.metrics.length > 0;
    totals.timeNs += figures.timeNs ?? 0;
    totals.scannedBytes += figures.scannedBytes ?? 0;
    totals.networkBytes += figures.networkBytes ?? 0;
    totals.spilledBytes += figures.spilledBytes ?? 0;
  }
  return totals;
}

/** Returns the rows of the first operator that counts them, on the way from the root down. */
function firstRows(roots: PlanNode[]): number | undefined {
  let node = roots[0];
  while (node !== undefined) {
    const { rows } = figuresOf(node);
    if (rows !== undefined) {
      return rows;
    }
    node = node.children[0];
  }
  return undefined;
}

/** Returns all operators of a plan, each one before its inputs. */
export function allNodes(roots: PlanNode[]): PlanNode[] {
  const nodes: PlanNode[] = [];
  const pending = [...roots].reverse();
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    nodes.push(node);
    pending.push(...[...node.children].reverse());
  }
  return nodes;
}

/** Returns a plan without operators that only pass rows on. */
export function withoutPassing(roots: PlanNode[]): PlanNode[] {
  return roots.flatMap((node) => {
    const children = withoutPassing(node.children);
    return PASSING.has(node.name) && !node.isStage ? children : [{ ...node, children }];
  });
}
