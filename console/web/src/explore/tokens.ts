/** Splits SQL and InfluxQL texts into tokens. Every character belongs to exactly one token. */

import type { QueryLanguage } from "../api/query";

/** The kinds of tokens. */
export type TokenKind = "space" | "comment" | "word" | "name" | "text" | "number" | "parameter" | "regex" | "symbol";

/** A token and its place in the text. */
export interface Token {
  kind: TokenKind;
  text: string;
  /** The offset of its first character. */
  start: number;
}

const PATTERNS: readonly [TokenKind, RegExp][] = [
  ["space", /\s+/y],
  ["comment", /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ["text", /'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)/y],
  ["name", /"(?:[^"\\]|\\[\s\S]|"")*(?:"|$)/y],
  ["parameter", /\$[\p{L}\p{N}_]+/uy],
  ["number", /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ns|us|ms|u|µ|s|m|h|d|w)?\b/y],
  ["word", /[\p{L}_][\p{L}\p{N}_]*/uy],
  ["symbol", /::|=>|->>|->|<=|>=|<>|!=|=~|!~|\|\||[\s\S]/uy],
];

/** In SQL a backslash in quotes has no meaning. */
const SQL_QUOTES: readonly [TokenKind, RegExp][] = [
  ["text", /'(?:[^']|'')*(?:'|$)/y],
  ["name", /"(?:[^"]|"")*(?:"|$)/y],
];

const REGEX = /\/(?:[^/\\\n]|\\.)+\//y;

/** Splits a text into tokens. */
export function tokenize(text: string, language: QueryLanguage = "sql"): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let previous = "";
  while (at < text.length) {
    const { kind, length } = nextToken(text, at, language, previous);
    const token = { kind, text: text.slice(at, at + length), start: at };
    tokens.push(token);
    if (kind !== "space" && kind !== "comment") {
      previous = token.text.toUpperCase();
    }
    at += length;
  }
  return tokens;
}

/** Returns whether a token has a meaning: it is neither space nor a comment. */
export function isMeaningful(token: Token): boolean {
  return token.kind !== "space" && token.kind !== "comment";
}

function nextToken(text: string, at: number, language: string, previous: string): { kind: TokenKind; length: number } {
  // A slash begins a regular expression where a value is expected.
  if (language === "influxql" && text[at] === "/" && ["=~", "!~", "FROM", ",", "("].includes(previous)) {
    const length = matchLength(REGEX, text, at);
    if (length > 0) {
      return { kind: "regex", length };
    }
  }
  for (const [kind, pattern] of language === "sql" ? [...SQL_QUOTES, ...PATTERNS] : PATTERNS) {
    const length = matchLength(pattern, text, at);
    if (length > 0) {
      return { kind, length };
    }
  }
  return { kind: "symbol", length: 1 };
}

function matchLength(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
