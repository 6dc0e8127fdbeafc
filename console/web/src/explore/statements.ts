/** Finds the statements of a text, and what they do. */

import type { QueryLanguage } from "../api/query";
import { isMeaningful, tokenize } from "./tokens";

/** A statement and its place in the text of the editor. */
export interface Statement {
  text: string;
  /** The offset of its first character that is not a space. */
  start: number;
}

/** Splits a text at its semicolons. Statements without any content are left out. */
export function splitStatements(text: string, language: QueryLanguage): Statement[] {
  if (language === "promql") {
    const start = text.length - text.trimStart().length;
    return text.trim() === "" ? [] : [{ text: text.trim(), start }];
  }
  const statements: Statement[] = [];
  let from = 0;
  const add = (to: number) => {
    const part = text.slice(from, to);
    if (tokenize(part, language).some(isMeaningful)) {
      const lead = part.length - part.trimStart().length;
      statements.push({ text: part.trim(), start: from + lead });
    }
    from = to + 1;
  };
  for (const token of tokenize(text, language)) {
    if (token.kind === "symbol" && token.text === ";") {
      add(token.start);
    }
  }
  add(text.length);
  return statements;
}

/** Returns the statement that contains a place of the text, or the last one before it. */
export function statementAt(text: string, place: number, language: QueryLanguage): Statement | undefined {
  const statements = splitStatements(text, language);
  const before = statements.filter(({ start }) => start <= place);
  return before[before.length - 1] ?? statements[0];
}

/** Returns the names of the placeholders of a text, without `$`, in the order of their first use. */
export function placeholders(text: string, language: QueryLanguage): string[] {
  if (language === "promql") {
    // Its parameters are also in texts, as in those of Grafana.
    return [...new Set(Array.from(text.matchAll(/\$\{?([\p{L}\p{N}_]+)/gu), ([, name = ""]) => name))];
  }
  const names = tokenize(text, language).filter((token) => token.kind === "parameter");
  return [...new Set(names.map((token) => token.text.slice(1)))];
}

/** What a statement does, as far as the page treats it in another way. */
export type StatementKind = "read" | "explain" | "change";

const CHANGES = new Set(["DELETE", "DROP", "COPY", "CREATE", "ALTER", "INSERT", "UPDATE", "GRANT", "REVOKE", "KILL"]);

/** Returns what a statement does. An `EXPLAIN ANALYZE` of a change is a change, because it runs the statement. */
export function statementKind(text: string, language: QueryLanguage): StatementKind {
  if (language === "promql") {
    return "read";
  }
  const words = tokenize(text, language)
    .filter(isMeaningful)
    .map((token) => token.text.toUpperCase());
  const isExplain = words[0] === "EXPLAIN";
  const rest = isExplain ? words.slice(1).filter((word) => word !== "ANALYZE" && word !== "VERBOSE") : words;
  // InfluxQL changes data with SELECT INTO. A common table expression of SQL ends in the statement that matters.
  const isInto = language === "influxql" && rest[0] === "SELECT" && rest.includes("INTO");
  const isChange = CHANGES.has(rest[0] ?? "") || isInto || (rest[0] === "WITH" && rest.includes("DELETE"));
  if (isChange && (!isExplain || words.includes("ANALYZE"))) {
    return "change";
  }
  return isExplain ? "explain" : "read";
}
