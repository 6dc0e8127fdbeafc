/** Finds the place in a query that an error is about. */

import type { QueryLanguage } from "../api/query";
import { tokenize } from "./tokens";

/** A part of a text, by offsets. */
export interface TextRange {
  from: number;
  to: number;
}

/** Finds the part of a statement that the message of an error is about. */
export function errorPlace(message: string, statement: string, language: QueryLanguage): TextRange | undefined {
  return byLineAndColumn(message, statement) ?? byPosition(message, statement) ?? byName(message, statement, language);
}

/** SQL's parser names line and column, counted from 1. Columns are characters, not code units. */
function byLineAndColumn(message: string, statement: string): TextRange | undefined {
  const found = /Line:\s*(\d+),\s*Column:\s*(\d+)/i.exec(message);
  if (!found) {
    return undefined;
  }
  const lines = statement.split("\n");
  const lineIndex = Math.min(Number(found[1]), lines.length) - 1;
  const line = lines[lineIndex] ?? "";
  const start = lines.slice(0, lineIndex).reduce((sum, text) => sum + text.length + 1, 0);
  const column = [...line].slice(0, Number(found[2]) - 1).join("").length;
  return tokenRange(statement, start + column);
}

/** InfluxQL's parser names the position in bytes, counted from 0. */
function byPosition(message: string, statement: string): TextRange | undefined {
  const found = /\bat pos (\d+)/.exec(message);
  if (!found) {
    return undefined;
  }
  const bytes = new TextEncoder().encode(statement).subarray(0, Number(found[1]));
  return tokenRange(statement, new TextDecoder().decode(bytes).length);
}

/** Planning names a column, table or function. */
function byName(message: string, statement: string, language: QueryLanguage): TextRange | undefined {
  const patterns = [
    /No field named (.+?)\.(?:\s|$)/,
    /table '(?:[^'.]*\.){0,2}([^']+)' not found/,
    /Invalid function '([^']+)'/,
    /No table function found|table function '?([^'\s]+)'? not found/,
    /column '?"?([^'"\s]+)"?'? (?:not found|does not exist)/i,
    /(?:call to|function) '([^']+)'/,
  ];
  for (const pattern of patterns) {
    const name = pattern.exec(message)?.[1];
    const place = name === undefined ? undefined : findName(plainName(name), statement, language);
    if (place) {
      return place;
    }
  }
  return undefined;
}

function plainName(name: string): string {
  const last = /(?:^|\.)("(?:[^"]|"")*"|[^."]+)$/.exec(name)?.[1] ?? name;
  return unquote(last);
}

function findName(name: string, statement: string, language: QueryLanguage): TextRange | undefined {
  const token = tokenize(statement, language).find(({ kind, text }) => {
    return (
      (kind === "word" && text.toLowerCase() === name.toLowerCase()) || (kind === "name" && unquote(text) === name)
    );
  });
  return token && { from: token.start, to: token.start + token.text.length };
}

function unquote(name: string): string {
  return name.startsWith('"') && name.endsWith('"') && name.length > 1
    ? name.slice(1, -1).replaceAll('""', '"').replaceAll('\\"', '"')
    : name;
}

/** Returns the token at an offset or after it, or the last character if the text ends there. */
function tokenRange(statement: string, offset: number): TextRange {
  const token = tokenize(statement).find(({ kind, start, text }) => kind !== "space" && offset < start + text.length);
  if (token) {
    return { from: Math.max(offset, token.start), to: token.start + token.text.length };
  }
  return { from: Math.max(0, statement.length - 1), to: statement.length };
}
