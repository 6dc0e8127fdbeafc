/**
 * Cuts a text that arrives in pieces into parts that end where a record ends, so that each part can be sent on its own.
 *
 *     piece ──> kept text ──cut──> part (complete records, with what a part needs to stand alone) ──> request
 */

import { MAX_STRING_BYTES, nextLine } from "./line-protocol";

/** A part of a text that can be sent as one request. */
export interface TextPart {
  /** What is sent: the records, after a header if the format has one. */
  body: string;
  /** The text that the part consumes. */
  consumed: string;
  /** The number of records, as the server counts them in its errors. */
  records: number;
}

/** A format whose texts can be cut. */
export interface RecordCutter {
  /**
   * Returns the part at the start of a text; `undefined` if the text has no complete record. `isLast`: no text follows.
   */
  cut(text: string, isLast: boolean): TextPart | undefined;
}

/** Lines of line protocol. */
export class LineProtocolCutter implements RecordCutter {
  cut(text: string, isLast: boolean): TextPart | undefined {
    let end = 0;
    let records = 0;
    for (let line = nextLine(text, 0); line !== undefined; line = nextLine(text, line.next)) {
      if (!isLast && (line.next >= text.length || mayContinue(text, line.start, line.next))) {
        break;
      }
      records += 1;
      end = line.next;
    }
    return part(text, isLast ? text.length : end, records);
  }
}

/**
 * Returns whether a line may only seem to end: its string is not closed yet, because the rest of it has not arrived. A
 * string that is longer than the server allows ends with its line.
 */
function mayContinue(text: string, start: number, end: number): boolean {
  if (text.length - start > MAX_STRING_BYTES * 2) {
    return false;
  }
  const isOdd = (text.slice(start, end).split('"').length - 1) % 2 === 1;
  return isOdd && text.indexOf('"', end) === -1;
}

/** JSON lines: a record is a line that is not blank. */
export class JsonLinesCutter implements RecordCutter {
  cut(text: string, isLast: boolean): TextPart | undefined {
    const end = isLast ? text.length : text.lastIndexOf("\n") + 1;
    const lines = text.slice(0, end).split("\n");
    return part(text, end, lines.filter((line) => line.trim() !== "").length);
  }
}

/**
 * CSV. The first record is the header, which each part repeats. Records that begin with `#` before a header are
 * annotations: they belong to the header.
 */
export class CsvCutter implements RecordCutter {
  /** Annotations and the header of the records that follow. */
  #head = "";
  #isHeadComplete = false;
  /** Whether the text began with an annotation. */
  #isAnnotated = false;

  cut(text: string, isLast: boolean): TextPart | undefined {
    // A part without rows is not sent, so that its head precedes the next part.
    const prefix = this.#head;
    let end = 0;
    let records = 0;
    let headStart = 0;
    for (const span of csvRecords(text, isLast)) {
      const record = text.slice(span.from, span.to);
      const wasComplete = this.#isHeadComplete;
      end = span.to;
      if (record.trim() === "") {
        continue;
      }
      if (this.#isHead(record)) {
        headStart = wasComplete ? span.from : headStart;
      } else {
        records += 1;
      }
    }
    if (!this.#isHeadComplete && records > 0 && !isLast) {
      // The next part begins with the annotations of its table.
      this.#head = "";
      end = headStart;
    }
    const consumed = text.slice(0, isLast ? text.length : end);
    return consumed === "" ? undefined : { body: prefix + consumed, consumed, records };
  }

  /** Takes an annotation or a header. Returns whether the record is one. */
  #isHead(record: string): boolean {
    const isAnnotation = record.startsWith("#");
    if (isAnnotation && (!this.#isHeadComplete || this.#isAnnotated)) {
      if (this.#isHeadComplete) {
        this.#head = "";
        this.#isHeadComplete = false;
      }
      this.#isAnnotated = true;
      this.#head += withNewline(record);
      return true;
    }
    if (!this.#isHeadComplete) {
      this.#head += withNewline(record);
      this.#isHeadComplete = true;
      return true;
    }
    return false;
  }
}

function withNewline(record: string): string {
  return record.endsWith("\n") ? record : `${record}\n`;
}

/** Returns the records of a CSV text with their newlines. Newlines in quotes end no record. */
export function* csvRecords(text: string, isLast: boolean): Generator<{ from: number; to: number }> {
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === 34) {
      isQuoted = !isQuoted;
    } else if (char === 10 && !isQuoted) {
      yield { from, to: at + 1 };
      from = at + 1;
    }
  }
  if (isLast && from < text.length) {
    yield { from, to: text.length };
  }
}

/** Returns the cells of a record of CSV. */
export function csvCells(record: string): string[] {
  const cells: string[] = [];
  const text = record.replace(/\r?\n$/, "");
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      let end = at + 1;
      while (end < text.length && (text[end] !== '"' || text[end + 1] === '"')) {
        end += text[end] === '"' ? 2 : 1;
      }
      cells.push(text.slice(at + 1, end).replaceAll('""', '"'));
      at = end + 1;
    } else {
      const comma = text.indexOf(",", at);
      const end = comma === -1 ? text.length : comma;
      cells.push(text.slice(at, end));
      at = end;
    }
    if (at >= text.length) {
      return cells;
    }
    at += 1;
    if (at === text.length) {
      cells.push("");
      return cells;
    }
  }
}

function part(text: string, end: number, records: number): TextPart | undefined {
  if (end === 0) {
    return undefined;
  }
  const consumed = text.slice(0, end);
  return { body: consumed, consumed, records };
}
