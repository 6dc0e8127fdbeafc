/** Requests to the server: the token, time limits, and errors with the lines that they are about. */

import { isDue, renew } from "./renewal";
import { credential, isReachable, reportExpired } from "./token";

/** An error of one line of a written body. */
export interface LineError {
  /** The number of the line, counted from 1. */
  line: number;
  message: string;
  /** The line itself, possibly shortened by the server. */
  original?: string;
}

/** A request that the server did not answer with success, or did not answer. */
export class ApiError extends Error {
  /** The HTTP status, or 0 if there was no answer. */
  status: number;
  /** `unreachable` and `timeout` without an answer; the `code` of the body otherwise. */
  code?: string;
  /** The errors of single lines, if the server names them. */
  lines?: LineError[];

  constructor(message: string, status: number, code?: string, lines?: LineError[]) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.lines = lines;
  }
}

/** The options of a request. */
export interface RequestOptions {
  method?: string;
  /** Parameters of the URL. `undefined` leaves a parameter out. Must not contain secrets. */
  query?: Record<string, string | number | boolean | undefined>;
  body?: BodyInit;
  /** A body that is sent as JSON. */
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** The time limit of the whole answer, in milliseconds. */
  timeoutMs?: number;
  /** Sends no token, unless `headers` has one. The session stays as it is if the server answers 401. */
  isAnonymous?: boolean;
}

/** The default time limit of a request, in milliseconds. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** The maximum number of characters of an error's text that is shown. */
const MAX_MESSAGE_CHARS = 4_000;

/**
 * Sends a request to the server, with the token of the session. Renews the session of a user that expires soon.
 *
 * Throws `ApiError` if the server answers with an error, does not answer, or exceeds the time limit. An abort by the
 * caller's signal throws the signal's reason.
 */
export async function request(path: string, options: RequestOptions = {}): Promise<Response> {
  if (!options.isAnonymous && isDue(credential.peek())) {
    await renew();
  }
  const used = credential.peek();
  let response = await send(path, options);
  // The access token may have expired earlier than the clock of this machine says.
  if (response.status === 401 && !options.isAnonymous && (used !== credential.peek() || (await renew()))) {
    response = await send(path, options);
  }
  if (response.ok) {
    return response;
  }
  if (response.status === 401 && !options.isAnonymous) {
    reportExpired();
  }
  throw await errorOf(response);
}

/** Sends a request and reads its answer as JSON. */
export async function getJson<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await request(path, { ...options, headers: { accept: "application/json", ...options.headers } });
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw connectionError(error, options.signal);
  }
}

/** Returns the error of an answer whose body broke off, or the reason of the caller's abort. */
export function connectionError(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted || error instanceof ApiError) {
    return signal?.aborted ? signal.reason : error;
  }
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ApiError("The server did not answer in time.", 0, "timeout");
  }
  if (error instanceof SyntaxError) {
    return new ApiError("The server's answer is not JSON.", 0, "malformed");
  }
  return new ApiError("The server ended the answer early.", 0, "unreachable");
}

/** Returns a text for people that describes any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function send(path: string, options: RequestOptions): Promise<Response> {
  const headers = new Headers(options.headers);
  const present = credential.peek();
  if (present !== undefined && !options.isAnonymous) {
    headers.set("authorization", `Bearer ${present.token}`);
  }
  let body = options.body;
  if (options.json !== undefined) {
    headers.set("content-type", "application/json");
    body = JSON.stringify(options.json);
  }
  const timeout = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  try {
    const response = await fetch(urlOf(path, options.query), {
      method: options.method ?? (body === undefined ? "GET" : "POST"),
      headers,
      body,
      signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
      credentials: "omit",
      redirect: "error",
      cache: "no-store",
      referrerPolicy: "no-referrer",
    });
    isReachable.value = true;
    return response;
  } catch (error) {
    if (options.signal?.aborted) {
      throw options.signal.reason;
    }
    if (timeout.aborted) {
      throw new ApiError("The server did not answer in time.", 0, "timeout");
    }
    if (error instanceof TypeError) {
      isReachable.value = false;
    }
    throw new ApiError("The server does not answer.", 0, "unreachable");
  }
}

function urlOf(path: string, query: RequestOptions["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) {
      parameters.set(name, String(value));
    }
  }
  const text = parameters.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** The forms of an error's body: `{"error", "data"}` and `{"code", "message"}`. */
interface ErrorBody {
  error?: unknown;
  message?: unknown;
  code?: unknown;
  data?: unknown;
}

async function errorOf(response: Response): Promise<ApiError> {
  let text = "";
  try {
    text = await response.text();
  } catch {
    // The status alone describes the error.
  }
  return parseError(response.status, text, response.statusText);
}

/** Builds the error of an answer from its status and body. */
export function parseError(status: number, text: string, statusText: string): ApiError {
  let body: ErrorBody = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) {
      body = parsed as ErrorBody;
    }
  } catch {
    // A plain text.
  }
  const given = body.error ?? body.message;
  const message = typeof given === "string" ? given : text;
  const code = typeof body.code === "string" ? body.code : undefined;
  const shown = message.trim() === "" ? `The server answers ${status} ${statusText}`.trim() : message;
  return new ApiError(shown.slice(0, MAX_MESSAGE_CHARS), status, code, lineErrors(body.data));
}

function lineErrors(data: unknown): LineError[] | undefined {
  const items = Array.isArray(data) ? data : [data];
  const lines = items.flatMap((item): LineError[] => {
    if (typeof item !== "object" || item === null) {
      return [];
    }
    const { line_number, error_message, original_line } = item as Record<string, unknown>;
    if (typeof line_number !== "number" || typeof error_message !== "string") {
      return [];
    }
    const original = typeof original_line === "string" ? original_line : undefined;
    return [{ line: line_number, message: error_message, original }];
  });
  return lines.length > 0 ? lines : undefined;
}
