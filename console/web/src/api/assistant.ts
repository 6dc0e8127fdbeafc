/** Asks the model that the administrator of the server has named. The page knows its name, and neither its URL nor its key. */

import { getJson } from "./client";
import type { QueryLanguage } from "./query";
import { INTERNAL_DATABASE } from "./schema";
import { info, may } from "./session";

/** The task of the model: to explain a statement, to correct one that has failed, or to write one. */
export type AssistantTask = "explain" | "fix" | "write";

/** A question to the model. The server adds names and types of columns, and no rows. */
export interface AssistantQuestion {
  task: AssistantTask;
  language: QueryLanguage;
  /** The statement that the question is about. */
  statement?: string;
  /** The error of the statement. */
  error?: string;
  /** A description of the answer of the statement to write. */
  request?: string;
}

/** The answer of the model. The page does not trust its texts. */
export interface AssistantAnswer {
  text: string;
  /** The statement that the model proposes. */
  statement?: string;
}

/** The time limit of an answer, in milliseconds. That of the server is a minute. */
const TIMEOUT_MS = 75_000;

/** Returns whether the server has an assistant, and the caller may ask it about a database. */
export function mayAsk(database: string): boolean {
  const isOn = info.value?.assistant_model !== undefined;
  return isOn && database !== "" && database !== INTERNAL_DATABASE && may("read", database);
}

/** Asks the model. Throws `ApiError`, or the reason of the abort. */
export async function askAssistant(
  database: string,
  question: AssistantQuestion,
  signal: AbortSignal,
): Promise<AssistantAnswer> {
  const options = { query: { db: database }, json: question, signal, timeoutMs: TIMEOUT_MS };
  return getJson("/api/v3/console/assistant", { method: "POST", ...options });
}
