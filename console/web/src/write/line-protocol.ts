/**
 * The grammar of line protocol, as the server reads it. The messages are the server's, so that an error that is shown
 * while typing has the words of the answer to a write. The server decides in the end.
 */

export type FieldType = "float" | "integer" | "uinteger" | "string" | "boolean";

/** The types of columns, with the names that the server has in its messages. */
export type ColumnType = FieldType | "tag";

/** A part of a text, in UTF-16 code units. */
export interface Span {
  from: number;
  to: number;
}

/** Why a line is refused, and the part of the line that is wrong. */
export interface LineIssue extends Span {
  /** The words of the server. */
  message: string;
  /** What the page guesses, in its own words. */
  hint?: string;
}

export type TokenKind = "measurement" | "key" | "tag" | "separator" | "timestamp" | "comment" | FieldType;

/** A part of a line with its meaning, for highlighting. */
export interface LineToken extends Span {
  kind: TokenKind;
}

export interface Field extends Span {
  name: string;
  type: FieldType;
  /** The value as written. */
  text: string;
}

export interface Tag extends Span {
  name: string;
  value: string;
}

export interface ParsedLine {
  measurement: string;
  tags: Tag[];
  fields: Field[];
  timestamp: (Span & { value: bigint }) | undefined;
}

export interface LineResult {
  line: ParsedLine | undefined;
  issue: LineIssue | undefined;
  /** The tokens up to the error, if there is one. */
  tokens: LineToken[];
}

/** Maximum bytes of a name, a tag value or a string. */
export const MAX_STRING_BYTES = 1 << 20;

const I64_MIN = -(1n << 63n);
const I64_MAX = (1n << 63n) - 1n;
const U64_MAX = (1n << 64n) - 1n;

type NameKind = "measurement" | "key" | "tagValue";

class Refusal extends Error {
  constructor(
    message: string,
    readonly from: number,
    readonly to: number,
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** Parses a line without its newline. */
export function parseLine(text: string): LineResult {
  const reader = new LineReader(text);
  try {
    return { line: reader.read(), issue: undefined, tokens: reader.tokens };
  } catch (error) {
    if (error instanceof Refusal) {
      const to = Math.max(error.to, Math.min(error.from + 1, text.length));
      const from = Math.min(error.from, Math.max(0, text.length - 1));
      return { line: undefined, issue: { message: error.message, hint: error.hint, from, to }, tokens: reader.tokens };
    }
    throw error;
  }
}

class LineReader {
  readonly tokens: LineToken[] = [];
  #at = 0;

  constructor(readonly text: string) {}

  read(): ParsedLine {
    const measurement = this.#name("measurement", "measurement");
    if (measurement.raw === "") {
      throw new Refusal("Invalid measurement was provided", this.#at, this.#at + 1);
    }
    const tags = this.#tags();
    const spaces = this.#spaces();
    if (spaces === 0) {
      const rest = this.#rest();
      const got = rest === "" ? "end of input" : `\`${rest}\``;
      throw new Refusal(`Expected at least one space character, got ${got}`, this.#at, this.text.length);
    }
    const fields = this.#fields();
    const timestamp = this.#timestamp();
    return { measurement: measurement.value, tags, fields, timestamp };
  }

  #rest(from = this.#at): string {
    return this.text.slice(from);
  }

  #push(kind: TokenKind, from: number, to: number): void {
    if (to > from) {
      this.tokens.push({ kind, from, to });
    }
  }

  #separator(length: number): void {
    this.#push("separator", this.#at, this.#at + length);
    this.#at += length;
  }

  #name(kind: NameKind, token: TokenKind): { raw: string; value: string } {
    const from = this.#at;
    const to = nameEnd(this.text, from, kind);
    const raw = this.text.slice(from, to);
    if (raw.endsWith("\\")) {
      const message = "Measurements, tag keys and values, and field keys may not end with a backslash";
      throw new Refusal(message, to - 1, to);
    }
    checkLength(raw, from, to);
    this.#push(token, from, to);
    this.#at = to;
    return { raw, value: unescapeName(raw, kind) };
  }

  #tags(): Tag[] {
    const tags: Tag[] = [];
    const set = this.#at + 1;
    while (this.text[this.#at] === ",") {
      this.#separator(1);
      const from = this.#at;
      const key = this.#name("key", "key");
      if (this.text[this.#at] !== "=" || key.raw === "") {
        throw this.#malformedTag(key.raw, set, from);
      }
      this.#separator(1);
      const value = this.#name("tagValue", "tag");
      if (value.raw === "") {
        throw new Refusal(`Expected tag value, got ${excerptOrEnd(this.#rest())}`, from, this.#at);
      }
      tags.push({ name: key.value, value: value.value, from, to: this.#at });
    }
    return tags;
  }

  #malformedTag(key: string, set: number, from: number): Refusal {
    if (key === "" && this.text[this.#at] !== ",") {
      return new Refusal(`Expected tag key, got ${excerptOrEnd(this.#rest())}`, this.#at, this.#at + 1);
    }
    const message = `Tag set malformed: could not find equals sign in ${excerpt(this.#rest(set))}`;
    return new Refusal(message, from, Math.max(this.#at, from + 1));
  }

  #fields(): Field[] {
    const fields: Field[] = [];
    for (;;) {
      const start = this.#at;
      const field = this.#field();
      if (field === undefined) {
        throw this.#missingField(start, fields.length);
      }
      fields.push(field);
      if (this.text[this.#at] !== ",") {
        return fields;
      }
      this.#separator(1);
    }
  }

  #missingField(start: number, before: number): Refusal {
    const to = nextSpace(this.text, start);
    const hint = fieldHint(this.#rest(start));
    if (before === 0) {
      return new Refusal("No fields were provided", start, to, hint);
    }
    const quoted = before === 1 ? start : start - 1;
    const message = `Could not parse entire line. Found trailing content: ${excerpt(this.#rest(quoted))}`;
    return new Refusal(message, Math.min(start, this.text.length - 1), to, hint);
  }

  /** Reads a field; `undefined` if there is none. */
  #field(): Field | undefined {
    const from = this.#at;
    const end = nameEnd(this.text, from, "key");
    if (end === from || this.text[end] !== "=") {
      // A backslash at the end is an error of its own.
      this.#name("key", "key");
      return undefined;
    }
    const key = this.#name("key", "key");
    this.#separator(1);
    const value = scanValue(this.text, this.#at);
    if (value === undefined) {
      return undefined;
    }
    const text = this.text.slice(this.#at, value.to);
    this.#push(value.type, this.#at, value.to);
    this.#at = value.to;
    return { name: key.value, type: value.type, text, from, to: value.to };
  }

  #spaces(): number {
    const from = this.#at;
    while (this.text[this.#at] === " ") {
      this.#at += 1;
    }
    return this.#at - from;
  }

  #timestamp(): ParsedLine["timestamp"] {
    const start = this.#at;
    const spaces = this.#spaces();
    if (this.#at === this.text.length) {
      return undefined;
    }
    const from = this.#at;
    const match = spaces === 0 ? undefined : /^-?\d+/.exec(this.#rest());
    if (!match) {
      throw trailing(this.text, start, from);
    }
    const to = from + match[0].length;
    const value = BigInt(match[0]);
    if (value < I64_MIN || value > I64_MAX) {
      throw new Refusal(`Unable to parse timestamp value \`${match[0]}\``, from, to);
    }
    this.#push("timestamp", from, to);
    this.#at = to;
    this.#spaces();
    if (this.#at < this.text.length) {
      throw trailing(this.text, this.#at, this.#at);
    }
    return { value, from, to };
  }
}

/** Returns what is probably wrong with the field at the start of a text. */
function fieldHint(text: string): string | undefined {
  const [, value] = /^[^=\s]*=(.*)$/s.exec(text) ?? [];
  if (value === undefined) {
    return text === "" ? undefined : "A field is written as name=value.";
  }
  if (value.startsWith('"')) {
    return "The string has no closing quote.";
  }
  return /^[\p{L}+]/u.test(value) ? 'A string is written in double quotes: name="text".' : undefined;
}

function trailing(text: string, quoted: number, from: number): Refusal {
  const message = `Could not parse entire line. Found trailing content: ${excerpt(text.slice(quoted))}`;
  return new Refusal(message, from, text.length);
}

function nextSpace(text: string, from: number): number {
  const found = text.indexOf(" ", from);
  return found === -1 ? text.length : found;
}

/** Returns the end of the name at a position. A backslash takes the next character with it. */
function nameEnd(text: string, from: number, kind: NameKind): number {
  let at = from;
  while (at < text.length) {
    const char = text[at];
    if (char === "\\") {
      at += 2;
    } else if (
      char === " " ||
      char === "\t" ||
      char === "\n" ||
      char === "," ||
      (char === "=" && kind === "key") ||
      (char === "\0" && kind === "measurement")
    ) {
      return at;
    } else {
      at += 1;
    }
  }
  return Math.min(at, text.length);
}

function unescapeName(raw: string, kind: NameKind): string {
  if (!raw.includes("\\")) {
    return raw;
  }
  return kind === "measurement" ? raw.replace(/\\([\\, ])/g, "$1") : raw.replace(/\\([\\, =])/g, "$1");
}

function checkLength(raw: string, from: number, to: number): void {
  // A character has at most 3 bytes for each code unit.
  if (raw.length * 3 > MAX_STRING_BYTES && new TextEncoder().encode(raw).length > MAX_STRING_BYTES) {
    throw new Refusal("String is greater than 1MB", from, to);
  }
}

const BOOLEAN = /(?:true|True|TRUE|t|T|false|False|FALSE|f|F)/y;
const INTEGER = /-?\d+i/y;
const UNSIGNED = /\d+u/y;
const FLOAT = /-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** Returns the type and the end of the longest value at a position; `undefined` if there is none. */
function scanValue(text: string, at: number): { type: FieldType; to: number } | undefined {
  if (text[at] === '"') {
    const end = stringEnd(text, at + 1);
    if (end === undefined) {
      return undefined;
    }
    checkLength(text.slice(at + 1, end), at, end + 1);
    return { type: "string", to: end + 1 };
  }
  const integer = matchAt(INTEGER, text, at);
  if (integer !== undefined) {
    const digits = integer.slice(0, -1);
    const value = BigInt(digits);
    if (value < I64_MIN || value > I64_MAX) {
      throw new Refusal(`Unable to parse integer value \`${digits}\``, at, at + integer.length);
    }
    return { type: "integer", to: at + integer.length };
  }
  const unsigned = matchAt(UNSIGNED, text, at);
  if (unsigned !== undefined) {
    const digits = unsigned.slice(0, -1);
    if (BigInt(digits) > U64_MAX) {
      throw new Refusal(`Unable to parse unsigned integer value \`${digits}\``, at, at + unsigned.length);
    }
    return { type: "uinteger", to: at + unsigned.length };
  }
  const float = matchAt(FLOAT, text, at);
  if (float !== undefined) {
    if (!Number.isFinite(Number(float))) {
      throw new Refusal(`Unable to parse floating-point value \`${float}\``, at, at + float.length);
    }
    return { type: "float", to: at + float.length };
  }
  const boolean = matchAt(BOOLEAN, text, at);
  return boolean === undefined ? undefined : { type: "boolean", to: at + boolean.length };
}

/** Returns the position of the quote that closes a string that begins before `at`. */
function stringEnd(text: string, at: number): number | undefined {
  for (let place = at; place < text.length; place += 1) {
    if (text[place] === "\\") {
      place += 1;
    } else if (text[place] === '"') {
      return place;
    }
  }
  return undefined;
}

/** Returns the start of the rest of a line, quoted: cut after ten characters if it has more than ten bytes. */
function excerpt(rest: string): string {
  // Ten characters have at most 40 bytes, so the length of a long rest does not matter.
  const isLong = rest.length > 10 || new TextEncoder().encode(rest).length > 10;
  return isLong ? `\`${[...rest.slice(0, 20)].slice(0, 10).join("")}...\`` : `\`${rest}\``;
}

function excerptOrEnd(rest: string): string {
  return rest === "" ? "end of input" : excerpt(rest);
}

/** The line of a text at a position. */
export interface LineSpan {
  /** Where the line begins, with its leading blanks. */
  begin: number;
  /** The first other character of the line. */
  start: number;
  /** The end, without the newline and a carriage return before it. */
  end: number;
  /** Where the next line begins. */
  next: number;
}

/** Returns the next line from a position on, without blank lines and comments; `undefined` if there is none. */
export function nextLine(text: string, from: number): LineSpan | undefined {
  let at = from;
  let begin = from;
  while (at < text.length) {
    const char = text[at];
    if (char === " " || char === "\t") {
      at += 1;
    } else if (char === "\r" && (text[at + 1] === "\n" || at + 1 === text.length)) {
      at += 1;
    } else if (char === "\n") {
      at += 1;
      begin = at;
    } else if (char === "#") {
      const end = text.indexOf("\n", at);
      if (end === -1) {
        return undefined;
      }
      at = end;
    } else {
      const next = at + lineLength(text.slice(at));
      const end = text[next - 1] === "\r" ? next - 1 : next;
      return { begin, start: at, end, next };
    }
  }
  return undefined;
}

/**
 * Returns the length of the line at the start of a text: up to a newline that is neither escaped nor in a string. A
 * string that is not closed before the end of the text ends with its line.
 */
export function lineLength(text: string): number {
  let series: number | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\n") {
      return at;
    }
    if (char === "\\") {
      at += 1;
    } else if (char === '"' && text[at - 1] === "=" && !isEscaped(text, at - 1)) {
      series ??= seriesLength(text);
      if (series < at) {
        const end = stringEnd(text, at + 1);
        if (end === undefined) {
          const newline = text.indexOf("\n", at);
          return newline === -1 ? text.length : newline;
        }
        at = end;
      }
    }
  }
  return text.length;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === "\\") {
    backslashes += 1;
  }
  return backslashes % 2 === 1;
}

function seriesLength(text: string): number {
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\\") {
      at += 1;
    } else if (char === " " || char === "\n") {
      return at;
    }
  }
  return text.length;
}

/** Writes a name so that line protocol reads the same name. A newline can't be written. */
export function escapeName(name: string): string {
  return name.replace(/[\\, =]/g, "\\$&");
}

/** Writes the name of a table. */
export function escapeMeasurement(name: string): string {
  return name.replace(/[\\, ]/g, "\\$&");
}

/** Writes a string field. */
export function quoteString(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
