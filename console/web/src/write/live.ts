/** The live generator: writes made-up rows once a second until it is stopped. It goes on while other views are shown. */

import { computed, signal } from "@preact/signals";
import { ApiError, messageOf, request } from "../api/client";
import type { SampleSet } from "./samples";

export interface LiveState {
  database: string;
  set: SampleSet;
  startedAt: number;
  rows: number;
  requests: number;
  /** Why the newest rows are not stored. The generator goes on, unless the server refuses them. */
  problem: string | undefined;
  /** The time that the last request took, in milliseconds. */
  latencyMs: number | undefined;
}

/** The running generator; `undefined` if none runs. */
export const live = signal<LiveState | undefined>(undefined);

/** Whether the generator runs. */
export const isLive = computed(() => live.value !== undefined);

/** Why the last generator ended, if not by the user. */
export const liveEnd = signal<string | undefined>(undefined);

const PERIOD_MS = 1_000;

/** Rows that could not be sent are dropped beyond this number of seconds. */
const MAX_PENDING_STEPS = 60;

const TIMEOUT_MS = 30_000;

let abort: AbortController | undefined;

/** Starts the generator. A generator that runs is stopped. */
export function startLive(database: string, set: SampleSet): void {
  stopLive();
  liveEnd.value = undefined;
  abort = new AbortController();
  live.value = { database, set, startedAt: Date.now(), rows: 0, requests: 0, problem: undefined, latencyMs: undefined };
  void generate(database, set, abort.signal);
}

/** Stops the generator. Rows that are written stay. */
export function stopLive(): void {
  abort?.abort();
  abort = undefined;
  live.value = undefined;
}

async function generate(database: string, set: SampleSet, signal: AbortSignal): Promise<void> {
  const lines = set.start();
  const pending: string[][] = [];
  let lastS = 0;
  while (!signal.aborted) {
    const nowS = Math.floor(Date.now() / 1000);
    if (nowS > lastS) {
      pending.push(lines(nowS));
      lastS = nowS;
    }
    if (pending.length > MAX_PENDING_STEPS) {
      pending.shift();
    }
    if (!(await send(database, pending, signal))) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}

/** Sends the pending rows. Returns `false` if the server refuses them. */
async function send(database: string, pending: string[][], signal: AbortSignal): Promise<boolean> {
  const rows = pending.flat();
  const started = performance.now();
  try {
    const query = { db: database, precision: "s" };
    await request("/api/v3/write_lp", { method: "POST", query, body: rows.join("\n"), signal, timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (signal.aborted) {
      return false;
    }
    const isRefused = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
    if (isRefused) {
      const [line] = error.lines ?? [];
      stopLive();
      liveEnd.value = line === undefined ? messageOf(error) : `${error.message}: ${line.message}`;
      return false;
    }
    update({ problem: messageOf(error) });
    return true;
  }
  pending.length = 0;
  const state = live.value;
  if (state !== undefined && !signal.aborted) {
    update({
      rows: state.rows + rows.length,
      requests: state.requests + 1,
      problem: undefined,
      latencyMs: performance.now() - started,
    });
  }
  return true;
}

function update(change: Partial<LiveState>): void {
  if (live.value !== undefined) {
    live.value = { ...live.value, ...change };
  }
}
