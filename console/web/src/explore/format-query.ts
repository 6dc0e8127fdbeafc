/** Formats a query. */

import type { QueryLanguage } from "../api/query";
import { INFLUXQL_KEYWORDS, SQL_KEYWORDS } from "./keywords";
import { isMeaningful, type Token, tokenize } from "./tokens";

/** Words that begin a line, with the words that may follow on it. */
const CLAUSES: readonly (readonly string[])[] = [
  ["WITH"],
  ["SELECT"],
  ["FROM"],
  ["WHERE"],
  ["GROUP", "BY"],
  ["HAVING"],
  ["QUALIFY"],
  ["WINDOW"],
  ["ORDER", "BY"],
  ["LIMIT"],
  ["OFFSET"],
  ["SLIMIT"],
  ["SOFFSET"],
  ["UNION"],
  ["EXCEPT"],
  ["INTERSECT"],
  ["VALUES"],
  ["FILL"],
];

/** Clauses whose items have a line each. */
const LISTS = new Set(["SELECT", "WITH", "FROM", "VALUES"]);

/** Words before JOIN that belong to it. */
const JOIN_WORDS = new Set(["LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS", "NATURAL", "SEMI", "ANTI", "JOIN"]);

/** A parenthesis whose content fits in so many characters stays on its line. */
const MAX_INLINE_CHARS = 72;

const INDENT = "  ";

/**
 * Lays out a text: one clause per line, keywords in upper case. Changes only spaces and the case of keywords; a text
 * whose meaning would change otherwise is returned as it is.
 */
export function formatQuery(text: string, language: QueryLanguage): string {
  const formatted = layOut(text, language);
  return meaningOf(formatted, language) === meaningOf(text, language) ? formatted : text;
}

/** Returns the tokens that must stay the same. */
function meaningOf(text: string, language: QueryLanguage): string {
  const tokens = tokenize(text, language).filter(({ kind }) => kind !== "space");
  return tokens.map((token) => (token.kind === "word" ? token.text.toUpperCase() : token.text)).join("\0");
}

function layOut(text: string, language: QueryLanguage): string {
  const keywords = new Set(language === "sql" ? SQL_KEYWORDS : INFLUXQL_KEYWORDS);
  const tokens = tokenize(text, language).filter((token) => token.kind !== "space");
  const writer = new Writer();
  const stack: { isInline: boolean; isBetween: boolean }[] = [];
  let isBetween = false;
  let clause = "";
  tokens.forEach((token, index) => {
    const previous = tokens[index - 1];
    const word = token.kind === "word" ? token.text.toUpperCase() : "";
    const isInline = stack.some((level) => level.isInline);
    const shown = keywords.has(word) && !isPartOfName(tokens, index) ? word : token.text;
    if (token.kind === "comment") {
      writer.comment(token.text, startsLine(text, token));
      return;
    }
    if (token.text === "(") {
      writer.add(shown, needsSpace(previous, token));
      const level = { isInline: isInline || fitsOnLine(tokens, index), isBetween };
      stack.push(level);
      isBetween = false;
      if (!level.isInline) {
        writer.indent(1);
      }
      return;
    }
    if (token.text === ")") {
      const level = stack.pop();
      isBetween = level?.isBetween ?? false;
      if (level && !level.isInline) {
        writer.indent(-1);
      }
      writer.add(shown, false);
      return;
    }
    if (!isInline && beginsLine(tokens, index, word) && shown === word) {
      writer.line(0);
      clause = word;
    } else if (!isInline && (word === "AND" || word === "OR") && !isBetween) {
      writer.line(1);
    }
    isBetween = word === "BETWEEN" || (isBetween && word !== "AND");
    writer.add(shown, needsSpace(previous, token));
    if (token.text === "," && !isInline && LISTS.has(clause)) {
      writer.line(1);
    }
    if (token.text === ";") {
      writer.statementEnd();
    }
  });
  return writer.finish();
}

/** Collects lines with their indentation. */
class Writer {
  private lines: string[] = [];
  private current = "";
  private depth = 0;
  private extra = 0;

  add(text: string, withSpace: boolean): void {
    if (this.current === "") {
      this.current = INDENT.repeat(Math.max(0, this.depth + this.extra)) + text;
    } else {
      this.current += withSpace ? ` ${text}` : text;
    }
  }

  line(extra: number): void {
    this.extra = extra;
    this.flush();
  }

  indent(by: number): void {
    this.depth += by * 2;
    this.line(by > 0 ? 0 : -1);
  }

  comment(text: string, isOwnLine: boolean): void {
    if (isOwnLine) {
      this.flush();
    }
    this.add(text, true);
    if (text.startsWith("--")) {
      this.flush();
    }
  }

  statementEnd(): void {
    this.line(0);
    this.depth = 0;
    this.lines.push("");
  }

  finish(): string {
    this.flush();
    return this.lines.join("\n").trim();
  }

  private flush(): void {
    if (this.current !== "") {
      this.lines.push(this.current);
      this.current = "";
    }
  }
}

function beginsLine(tokens: readonly Token[], index: number, word: string): boolean {
  if (word === "") {
    return false;
  }
  const before = tokens[index - 1]?.text.toUpperCase() ?? "";
  if (JOIN_WORDS.has(word)) {
    return !JOIN_WORDS.has(before) && isJoin(tokens, index);
  }
  // EXTRACT(part FROM time) and IS DISTINCT FROM are no clauses; the first is inside of parentheses that fit on a line.
  if (word === "FROM" && before === "DISTINCT") {
    return false;
  }
  return CLAUSES.some(([first, second]) => {
    return first === word && (second === undefined || tokens[index + 1]?.text.toUpperCase() === second);
  });
}

function isJoin(tokens: readonly Token[], index: number): boolean {
  for (let at = index; at < tokens.length; at++) {
    const word = tokens[at]?.text.toUpperCase() ?? "";
    if (word === "JOIN") {
      return true;
    }
    if (!JOIN_WORDS.has(word)) {
      return false;
    }
  }
  return false;
}

function fitsOnLine(tokens: readonly Token[], open: number): boolean {
  let depth = 0;
  let length = 0;
  for (let at = open; at < tokens.length; at++) {
    const token = tokens[at];
    if (token === undefined || (token.kind === "comment" && token.text.startsWith("--"))) {
      return false;
    }
    depth += token.text === "(" ? 1 : token.text === ")" ? -1 : 0;
    length += token.text.length + 1;
    if (depth === 0) {
      return true;
    }
    if (length > MAX_INLINE_CHARS) {
      return false;
    }
  }
  return true;
}

function isPartOfName(tokens: readonly Token[], index: number): boolean {
  return tokens[index - 1]?.text === "." || tokens[index + 1]?.text === ".";
}

function startsLine(text: string, token: Token): boolean {
  const before = text.slice(0, token.start);
  return before.slice(before.lastIndexOf("\n") + 1).trim() === "";
}

function needsSpace(previous: Token | undefined, token: Token): boolean {
  if (previous === undefined) {
    return false;
  }
  const [left, right] = [previous.text, token.text];
  if ([",", ";", ")", ".", "::", "]", "["].includes(right) || ["(", ".", "::", "["].includes(left)) {
    return false;
  }
  if (right === "(") {
    const isCall = previous.kind === "word" || previous.kind === "name";
    return !(isCall && previous.start + left.length === token.start);
  }
  // Symbols that touched each other, as in `-1` or `!x`, keep touching.
  if (previous.kind === "symbol" && isUnary(left)) {
    return previous.start + left.length !== token.start;
  }
  return isMeaningful(previous);
}

function isUnary(symbol: string): boolean {
  return symbol === "-" || symbol === "+" || symbol === "!" || symbol === "@" || symbol === ":";
}
