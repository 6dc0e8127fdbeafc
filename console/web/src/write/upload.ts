/**
 * Sends a file in parts, one after the other, because later rows replace earlier ones.
 *
 *     sending ──part is stored──> sending … ──> done
 *        |  ^                                              refused rows are collected; the others are stored
 *        |  └─ after a wait ── waiting                     the server is away or overloaded
 *        ├──> paused    (by the user)    ──> sending       from the end of the last stored part
 *        ├──> failed    (says why)       ──> sending       the same
 *        └──> cancelled (by the user)
 */

import { type Signal, signal } from "@preact/signals";
import { ApiError, messageOf, request } from "../api/client";
import { CONTENT_TYPES } from "./file-format";
import type { Precision } from "./precision";
import { type UploadPart, type UploadSource, uploadParts } from "./upload-parts";

/** Where the rows of a file go. */
export interface UploadTarget {
  database: string;
  precision: Precision;
  /** Whether refused rows leave the others of their request in place. */
  acceptPartial: boolean;
  /** The options of files other than line protocol. */
  mapping?: FileMapping;
}

/** How the columns of a file become those of a table. */
export interface FileMapping {
  /** Empty: the file names its tables. */
  table: string;
  /** `undefined`: the tags that the file itself marks. */
  tags: string[] | undefined;
  timeColumn: string | undefined;
  /** `rfc3339`, a unit, or a pattern of strftime; empty: automatic. */
  timeFormat: string;
  timeZone: string;
}

/** A row that the server refused. */
export interface RefusedRow {
  /** The number in the file, from 1. */
  row: number;
  message: string;
  original: string | undefined;
}

export type UploadPhase = "queued" | "sending" | "waiting" | "paused" | "failed" | "cancelled" | "done";

export interface UploadState {
  phase: UploadPhase;
  /** The first byte that is not stored. */
  position: number;
  /** Rows that the server read: stored or refused. */
  rows: number;
  refused: number;
  refusals: RefusedRow[];
  /** Why the upload waits or has failed. */
  problem: string | undefined;
  /** The time that the requests took, in milliseconds. */
  elapsedMs: number;
}

/** Maximum number of refused rows that are kept to be shown. */
export const MAX_REFUSALS = 1_000;

/** The size of the first part, and the limits between which the sizes of others are. */
const FIRST_PART_BYTES = 1 << 20;
const MIN_PART_BYTES = 16 << 10;
const MAX_PART_BYTES = 8 << 20;

/** A part that takes longer than this is followed by a larger one. */
const LONG_REQUEST_MS = 400;

/** The waits before the repetitions of a request. */
const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];

const REQUEST_TIMEOUT_MS = 180_000;

/** Sends one part. Throws `ApiError`. */
export type SendPart = (
  target: UploadTarget,
  source: UploadSource,
  part: UploadPart,
  signal: AbortSignal,
) => Promise<void>;

/** One file on its way. */
export class Upload {
  readonly state: Signal<UploadState>;
  #abort = new AbortController();
  #isToPause = false;
  #partBytes = FIRST_PART_BYTES;
  #largestBytes = MAX_PART_BYTES;

  constructor(
    readonly source: UploadSource,
    readonly target: UploadTarget,
    readonly send: SendPart = sendPart,
    from: { position: number; rows: number } = { position: 0, rows: 0 },
    readonly waitsMs: readonly number[] = WAITS_MS,
  ) {
    this.state = signal<UploadState>({
      phase: "queued",
      position: from.position,
      rows: from.rows,
      refused: 0,
      refusals: [],
      problem: undefined,
      elapsedMs: 0,
    });
  }

  /** Sends everything that is not stored yet. Never throws: the outcome is the state. */
  async run(): Promise<void> {
    if (this.#abort.signal.aborted) {
      return;
    }
    this.#set({ phase: "sending", problem: undefined });
    try {
      await this.#sendRest();
    } catch (error) {
      if (!this.#abort.signal.aborted) {
        this.#set({ phase: "failed", problem: messageOf(error) });
      }
    }
  }

  /** Lets the upload wait for its turn. */
  queue(): void {
    this.#isToPause = false;
    this.#set({ phase: "queued", problem: undefined });
  }

  /** Stops after the request that is in flight. */
  pause(): void {
    this.#isToPause = true;
    if (this.state.value.phase === "queued") {
      this.#set({ phase: "paused" });
    }
  }

  /** Ends the upload. Rows that are stored stay. */
  cancel(): void {
    this.#abort.abort();
    this.#set({ phase: "cancelled", problem: undefined });
  }

  async #sendRest(): Promise<void> {
    for (;;) {
      const parts = uploadParts(this.source, this.state.value.position, () => this.#partBytes);
      let isTooLarge = false;
      for await (const part of parts) {
        if (this.#isToPause) {
          this.#set({ phase: "paused" });
          return;
        }
        isTooLarge = !(await this.#sendOne(part));
        if (isTooLarge) {
          break;
        }
      }
      if (!isTooLarge) {
        this.#set({ phase: this.#isToPause && !this.#isAtEnd() ? "paused" : "done", problem: undefined });
        return;
      }
    }
  }

  #isAtEnd(): boolean {
    return this.source.isGzip || this.state.value.position >= this.source.blob.size;
  }

  /** Sends a part until it is stored. Returns `false` if it must be sent in smaller parts. */
  async #sendOne(part: UploadPart): Promise<boolean> {
    for (let attempt = 0; ; attempt += 1) {
      const started = performance.now();
      try {
        await this.send(this.target, this.source, part, this.#abort.signal);
        this.#stored(part, [], performance.now() - started);
        return true;
      } catch (error) {
        this.#abort.signal.throwIfAborted();
        if (!(error instanceof ApiError)) {
          throw error;
        }
        if (error.status === 413 && this.#shrink(part)) {
          return false;
        }
        if (error.lines !== undefined && this.target.acceptPartial && isRefusal(error)) {
          const refusals = error.lines.map((line) => this.#refusal(line));
          this.#stored(part, refusals, performance.now() - started);
          return true;
        }
        await this.#waitOrThrow(error, attempt);
      }
    }
  }

  #refusal(line: { line: number; message: string; original?: string }): RefusedRow {
    return { row: this.state.value.rows + line.line, message: line.message, original: line.original };
  }

  async #waitOrThrow(error: ApiError, attempt: number): Promise<void> {
    const wait = this.waitsMs[attempt];
    if (wait === undefined || !isTemporary(error) || this.#isToPause) {
      const [line] = error.lines ?? [];
      const detail = line === undefined ? "" : ` Row ${this.state.value.rows + line.line}: ${line.message}`;
      throw new Error(`${describe(error)}${detail}`);
    }
    this.#set({ phase: "waiting", problem: `${error.message} The page tries again in ${wait / 1000} s.` });
    await delay(wait, this.#abort.signal);
    this.#set({ phase: "sending", problem: undefined });
  }

  /** Makes parts smaller. Returns `false` if that is not possible. */
  #shrink(part: UploadPart): boolean {
    if (!part.isDivisible || this.#partBytes <= MIN_PART_BYTES) {
      return false;
    }
    this.#partBytes = Math.max(MIN_PART_BYTES, Math.floor(this.#partBytes / 2));
    this.#largestBytes = this.#partBytes;
    return true;
  }

  #stored(part: UploadPart, refusals: RefusedRow[], elapsedMs: number): void {
    const state = this.state.value;
    if (elapsedMs > LONG_REQUEST_MS) {
      this.#partBytes = Math.min(this.#partBytes * 2, this.#largestBytes);
    }
    this.#set({
      phase: "sending",
      position: part.to,
      rows: state.rows + (part.records ?? 0),
      refused: state.refused + refusals.length,
      refusals: [...state.refusals, ...refusals].slice(0, MAX_REFUSALS),
      elapsedMs: state.elapsedMs + elapsedMs,
    });
  }

  #set(change: Partial<UploadState>): void {
    if (this.#abort.signal.aborted && change.phase !== "cancelled") {
      return;
    }
    this.state.value = { ...this.state.value, ...change };
  }
}

/** A refused row is answered with 400, a row beyond a limit with 422. */
function isRefusal(error: ApiError): boolean {
  return error.status === 400 || error.status === 422;
}

/** Returns whether the same request may succeed later. To send it again does no harm. */
function isTemporary(error: ApiError): boolean {
  return [0, 408, 429, 502, 503, 504].includes(error.status);
}

function describe(error: ApiError): string {
  if (error.status === 401) {
    return "The sign-in has expired. Sign in, then continue.";
  }
  if (error.status === 413) {
    const advice = "Send the file with `neap write`, or start the server with a larger --max-http-request-size.";
    return `A part of the file that cannot be divided is larger than a request may be. ${advice}`;
  }
  return error.message;
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Sends a part to the server. */
export async function sendPart(
  target: UploadTarget,
  source: UploadSource,
  part: UploadPart,
  signal: AbortSignal,
): Promise<void> {
  const { path, headers } = requestOf(target, source);
  await request(path, { method: "POST", headers, body: part.body, signal, timeoutMs: REQUEST_TIMEOUT_MS });
}

/** Returns the path and the headers of the requests of an upload. A tag may occur several times in the path. */
export function requestOf(
  target: UploadTarget,
  source: UploadSource,
): { path: string; headers: Record<string, string> } {
  const query = new URLSearchParams({ db: target.database, precision: target.precision });
  query.set("accept_partial", String(target.acceptPartial));
  if (source.format === "lp") {
    return { path: `/api/v3/write_lp?${query}`, headers: { "content-type": "text/plain; charset=utf-8" } };
  }
  const { mapping } = target;
  query.set("format", source.format);
  for (const [name, value] of Object.entries({
    table: mapping?.table,
    time_column: mapping?.timeColumn,
    time_format: mapping?.timeFormat,
    time_zone: mapping?.timeZone,
  })) {
    if (value !== undefined && value !== "") {
      query.set(name, value);
    }
  }
  for (const tag of mapping?.tags ?? []) {
    query.append("tag", tag);
  }
  return { path: `/api/v3/write_file?${query}`, headers: { "content-type": CONTENT_TYPES[source.format] } };
}
