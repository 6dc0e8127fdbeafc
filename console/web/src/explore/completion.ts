/** The suggestions of the editor, from the schema of the database. */

import type { QueryLanguage } from "../api/query";
import type { Table } from "../api/schema";
import { INFLUXQL_FUNCTIONS, INFLUXQL_KEYWORDS, type QueryFunction, SQL_KEYWORDS } from "./keywords";
import { quoteIfNeeded } from "./names";
import { isMeaningful, type Token, tokenize } from "./tokens";

/** What completion knows about the database. */
export interface CompletionSchema {
  tables: readonly Table[];
  systemTables: readonly Table[];
  /** The functions of SQL. */
  functions: readonly QueryFunction[];
  /** Returns the values of a tag. */
  values?(tag: { table: string; tag: string }): Promise<string[]>;
}

/** One suggestion. */
export interface Suggestion {
  label: string;
  /** The text to insert, if it differs from the label. */
  insert?: string;
  kind: "table" | "column" | "function" | "keyword" | "parameter";
  /** A few words beside the label. */
  detail?: string;
  /** A sentence about it. */
  info?: string;
  /** Larger is more likely. */
  boost?: number;
}

/** Suggestions for a place, and where the word that they replace begins. */
export interface Suggestions {
  from: number;
  items: Suggestion[];
}

/** The maximum number of tables and columns among the suggestions. */
const MAX_NAMES = 2_000;

/** Words after which the name of a table follows. */
const BEFORE_TABLE = new Set(["FROM", "JOIN", "INTO", "DESCRIBE", "MEASUREMENT"]);

/** Suggests what can follow at a place of a statement. */
export function suggest(
  statement: string,
  place: number,
  language: QueryLanguage,
  schema: CompletionSchema,
): Suggestions | undefined {
  const tokens = tokenize(statement, language);
  const at = tokens.find(({ start, text }) => start < place && place <= start + text.length);
  if (at && (at.kind === "comment" || at.kind === "text" || at.kind === "regex" || at.kind === "number")) {
    return undefined;
  }
  const isWord = at?.kind === "word" || at?.kind === "name" || at?.kind === "parameter";
  const from = isWord && at ? at.start : place;
  const before = tokens.filter((token) => isMeaningful(token) && token.start + token.text.length <= from);
  if (at?.kind === "parameter" || (at?.text === "$" && at.start === place - 1)) {
    const items = ["from", "to"].map((name): Suggestion => {
      return { label: `$${name}`, kind: "parameter", detail: "of the time range" };
    });
    return { from: at.kind === "parameter" ? at.start : place - 1, items };
  }
  const mentioned = mentionedTables(tokens, language, schema);
  const last = before[before.length - 1];
  if (last?.text === ".") {
    return { from, items: afterDot(before[before.length - 2], mentioned, language, schema) };
  }
  if (last && (BEFORE_TABLE.has(last.text.toUpperCase()) || isInFromList(before))) {
    return { from, items: [...tableItems(schema, language), ...tableFunctions(schema, language)] };
  }
  return { from, items: [...columnItems(mentioned, language, schema), ...generalItems(language, schema)] };
}

/** A table that a statement reads, with the name that it has there. */
interface MentionedTable {
  table: Table;
  alias: string;
}

function mentionedTables(
  tokens: readonly Token[],
  language: QueryLanguage,
  schema: CompletionSchema,
): MentionedTable[] {
  const words = tokens.filter(isMeaningful);
  const known = [...schema.tables, ...schema.systemTables];
  return words.flatMap((token, index): MentionedTable[] => {
    if (token.kind !== "word" && token.kind !== "name") {
      return [];
    }
    const name = nameOf(token, language);
    const table = known.find((candidate) => candidate.name === name);
    if (!table || !followsTableWord(words, index)) {
      return [];
    }
    const next = words[index + 1];
    const aliasToken = next?.text.toUpperCase() === "AS" ? words[index + 2] : next;
    const isAlias = aliasToken?.kind === "word" && !SQL_KEYWORDS.includes(aliasToken.text.toUpperCase());
    return [{ table, alias: isAlias && aliasToken ? aliasToken.text : table.name }];
  });
}

function followsTableWord(words: readonly Token[], index: number): boolean {
  let at = index - 1;
  while (words[at]?.text === "." && at > 0) {
    at -= 2;
  }
  return BEFORE_TABLE.has(words[at]?.text.toUpperCase() ?? "") || isInFromList(words.slice(0, at + 1));
}

/** Returns whether a comma ends a list of tables: `FROM a, `. */
function isInFromList(before: readonly Token[]): boolean {
  if (before[before.length - 1]?.text !== ",") {
    return false;
  }
  for (let at = before.length - 2; at >= 0; at--) {
    const word = before[at]?.text.toUpperCase() ?? "";
    if (word === "FROM") {
      return true;
    }
    if (word === ")" || word === "(" || SQL_KEYWORDS.includes(word)) {
      return false;
    }
  }
  return false;
}

function afterDot(
  qualifier: Token | undefined,
  mentioned: readonly MentionedTable[],
  language: QueryLanguage,
  schema: CompletionSchema,
): Suggestion[] {
  const name = qualifier ? nameOf(qualifier, language) : "";
  if (name === "system") {
    return schema.systemTables.map((table) => tableItem(table, language));
  }
  if (name === "iox") {
    return schema.tables.slice(0, MAX_NAMES).map((table) => tableItem(table, language));
  }
  const found = mentioned.find(({ alias }) => alias === name)?.table ?? schema.tables.find((t) => t.name === name);
  return found ? columnsOf(found, language, 0) : [];
}

function columnItems(
  mentioned: readonly MentionedTable[],
  language: QueryLanguage,
  schema: CompletionSchema,
): Suggestion[] {
  const tables = mentioned.length > 0 ? mentioned.map(({ table }) => table) : schema.tables;
  const boost = mentioned.length > 0 ? 20 : 0;
  const items = new Map<string, Suggestion>();
  for (const table of tables) {
    for (const item of columnsOf(table, language, boost)) {
      if (items.size >= MAX_NAMES) {
        return [...items.values()];
      }
      items.set(item.label, items.get(item.label) ?? item);
    }
  }
  return [...items.values()];
}

function columnsOf(table: Table, language: QueryLanguage, boost: number): Suggestion[] {
  return table.columns.map(({ name, role, type }) => ({
    label: name,
    insert: quoteIfNeeded(name, language),
    kind: "column",
    detail: role === "field" ? type : role,
    info: `${role} of ${table.name}`,
    boost,
  }));
}

function tableItems(schema: CompletionSchema, language: QueryLanguage): Suggestion[] {
  const tables = schema.tables.slice(0, MAX_NAMES).map((table) => ({ ...tableItem(table, language), boost: 30 }));
  const system = schema.systemTables.map((table): Suggestion => {
    return { label: `system.${table.name}`, kind: "table", detail: "system table" };
  });
  return language === "sql" ? [...tables, ...system] : tables;
}

function tableItem(table: Table, language: QueryLanguage): Suggestion {
  const detail = `${table.columns.length} columns`;
  return { label: table.name, insert: quoteIfNeeded(table.name, language), kind: "table", detail };
}

function tableFunctions(schema: CompletionSchema, language: QueryLanguage): Suggestion[] {
  return language === "sql" ? schema.functions.filter(({ kind }) => kind === "TABLE").map(functionItem) : [];
}

function generalItems(language: QueryLanguage, schema: CompletionSchema): Suggestion[] {
  const functions = language === "sql" ? schema.functions : INFLUXQL_FUNCTIONS;
  const keywords = language === "sql" ? SQL_KEYWORDS : INFLUXQL_KEYWORDS;
  const words = keywords.map((label): Suggestion => ({ label, kind: "keyword" }));
  return [...functions.filter(({ kind }) => kind !== "TABLE").map(functionItem), ...words];
}

function functionItem({ name, signature, description }: QueryFunction): Suggestion {
  const takesNothing = signature === `${name}()`;
  const insert = takesNothing ? `${name}()` : `${name}(`;
  return { label: name, insert, kind: "function", detail: signature.slice(name.length), info: description };
}

function nameOf(token: Token, language: QueryLanguage): string {
  if (token.kind !== "name") {
    return token.text;
  }
  const inner = token.text.slice(1, token.text.endsWith('"') && token.text.length > 1 ? -1 : undefined);
  return language === "sql" ? inner.replaceAll('""', '"') : inner.replace(/\\(.)/g, "$1");
}
