/** Puts a statement into the text of the editor. */

import type { QueryLanguage } from "../api/query";
import type { Statement } from "./statements";

/** Returns whether a statement is still at its place in a text. */
export function isAtItsPlace(text: string, { text: part, start }: Statement): boolean {
  return text.startsWith(part, start);
}

/**
 * Returns a text with a statement in place of another one. If that one is not at its place any more, the statement comes
 * last. A text in PromQL is one statement.
 */
export function insertStatement(
  text: string,
  replaced: Statement | undefined,
  statement: string,
  language: QueryLanguage,
): string {
  const inserted = statement.trim();
  if (language === "promql" || text.trim() === "") {
    return inserted;
  }
  if (replaced && isAtItsPlace(text, replaced)) {
    const { start, text: part } = replaced;
    const rest = text.slice(start + part.length);
    const isEnded = inserted.endsWith(";") && rest.trimStart().startsWith(";");
    return text.slice(0, start) + (isEnded ? inserted.slice(0, -1).trimEnd() : inserted) + rest;
  }
  const before = text.trimEnd();
  return `${before}${before.endsWith(";") ? "" : ";"}\n${inserted}`;
}
