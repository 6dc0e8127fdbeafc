/** The requests that a file becomes, from any position of the file on. */

import type { FileFormat } from "./file-format";
import { openParquet, partBlob, partsOf } from "./parquet";
import { CsvCutter, JsonLinesCutter, LineProtocolCutter, type RecordCutter, type TextPart } from "./records";

/** What is sent. */
export interface UploadSource {
  name: string;
  blob: Blob;
  format: FileFormat;
  isGzip: boolean;
}

/** One request. Positions are bytes of the file, decompressed. */
export interface UploadPart {
  body: Blob | string;
  from: number;
  to: number;
  /** The number of rows, as the server counts them in its errors; `undefined` if the page does not know. */
  records: number | undefined;
  /** Whether a smaller part can be made. */
  isDivisible: boolean;
}

/** The file cannot be sent as it is. */
export class SourceError extends Error {}

/** Maximum size of one record, in UTF-16 code units. */
const MAX_RECORD_CHARS = 32 << 20;

/**
 * Returns the parts of a file from a position on, which is 0 or the end of an earlier part. `size()` is the wanted size
 * of the next part, in bytes of plain ASCII.
 */
export async function* uploadParts(source: UploadSource, from: number, size: () => number): AsyncGenerator<UploadPart> {
  switch (source.format) {
    case "parquet":
      yield* parquetParts(source, from, size);
      break;
    case "arrow":
      if (from === 0) {
        yield { body: source.blob, from: 0, to: source.blob.size, records: undefined, isDivisible: false };
      }
      break;
    case "lp":
      yield* textParts(source, from, size, new LineProtocolCutter());
      break;
    case "jsonl":
      yield* textParts(source, from, size, new JsonLinesCutter());
      break;
    case "csv":
      yield* textParts(source, from, size, new CsvCutter());
      break;
  }
}

async function* parquetParts(source: UploadSource, from: number, size: () => number): AsyncGenerator<UploadPart> {
  const file = await openParquet(source.blob);
  const rest = file.groups.filter((group) => group.to > from);
  for (const part of partsOf(rest, size())) {
    const isWhole = part.first === 0 && part.last === file.groups.length;
    yield {
      body: isWhole ? source.blob : partBlob(source.blob, file, part),
      from: part.from,
      to: part.to,
      records: part.rows,
      isDivisible: part.last - part.first > 1,
    };
  }
}

async function* textParts(
  source: UploadSource,
  from: number,
  size: () => number,
  cutter: RecordCutter,
): AsyncGenerator<UploadPart> {
  const reader = new TextReader(source);
  let position = 0;
  if (from > 0) {
    // Only CSV needs what precedes the position: its header.
    position = source.format === "csv" || source.isGzip ? await reader.skip(from, cutter) : reader.seek(from);
  }
  let text = "";
  let wanted = 0;
  let isLast = false;
  for (;;) {
    wanted = Math.max(wanted, size());
    while (text.length < wanted && !isLast) {
      const piece = await reader.read();
      isLast = piece === undefined;
      text += piece ?? "";
    }
    if (position === 0 && text.startsWith(BYTE_ORDER_MARK)) {
      text = text.slice(1);
      position = byteLength(BYTE_ORDER_MARK);
    }
    const isWhole = isLast && text.length <= wanted;
    const part = cutter.cut(isWhole ? text : text.slice(0, wanted), isWhole);
    if (part === undefined) {
      if (isWhole) {
        return;
      }
      if (wanted > MAX_RECORD_CHARS) {
        throw new SourceError(`A record has more than ${MAX_RECORD_CHARS >> 20} MiB.`);
      }
      wanted *= 2;
      continue;
    }
    wanted = 0;
    const to = position + byteLength(part.consumed);
    if (part.records > 0) {
      yield { body: part.body, from: position, to, records: part.records, isDivisible: part.records > 1 };
    }
    position = to;
    text = text.slice(part.consumed.length);
  }
}

/** A mark at the start of a text that some programs write. It is not part of the first name. */
const BYTE_ORDER_MARK = "\ufeff";

const encoder = new TextEncoder();

function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** Reads the text of a file piece by piece. */
class TextReader {
  #stream: ReadableStreamDefaultReader<Uint8Array>;
  #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** Text that was read beyond a position to which the reader skipped. */
  #kept = "";
  #isDone = false;

  constructor(readonly source: UploadSource) {
    this.#stream = open(source.blob, source.isGzip);
  }

  /** Continues at a byte of a file that is not compressed. Returns the position. */
  seek(position: number): number {
    this.#stream.cancel().catch(() => {});
    this.#stream = open(this.source.blob.slice(position), false);
    return position;
  }

  /** Reads up to a position, which is the end of a record. Returns the position. */
  async skip(position: number, cutter: RecordCutter): Promise<number> {
    let missing = position;
    let text = "";
    while (missing > 0) {
      const piece = await this.read();
      if (piece === undefined) {
        throw new SourceError("The file is shorter than before.");
      }
      const bytes = encoder.encode(piece);
      const own = bytes.subarray(0, missing);
      this.#kept = new TextDecoder().decode(bytes.subarray(own.length));
      missing -= own.length;
      text += own.length === bytes.length ? piece : new TextDecoder().decode(own);
      text = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
      const part: TextPart | undefined = cutter.cut(text, missing === 0);
      text = text.slice(part?.consumed.length ?? 0);
    }
    return position;
  }

  /** Returns the next piece; `undefined` at the end. */
  async read(): Promise<string | undefined> {
    if (this.#kept !== "") {
      const kept = this.#kept;
      this.#kept = "";
      return kept;
    }
    if (this.#isDone) {
      return undefined;
    }
    try {
      const { done, value } = await this.#stream.read();
      this.#isDone = done;
      return done ? this.#decoder.decode() : this.#decoder.decode(value, { stream: true });
    } catch (error) {
      throw unreadable(error, this.source.isGzip);
    }
  }
}

function unreadable(error: unknown, isGzip: boolean): SourceError {
  if (error instanceof DOMException && error.name === "NotReadableError") {
    return new SourceError("The browser cannot read the file any more: it may have changed. Choose it again.");
  }
  if (isGzip && error instanceof TypeError) {
    return new SourceError("The file cannot be decompressed: it is cut off, or not gzip with UTF-8 text.");
  }
  return new SourceError("The file is not UTF-8 text.");
}

function open(blob: Blob, isGzip: boolean): ReadableStreamDefaultReader<Uint8Array> {
  const stream = blob.stream() as ReadableStream<Uint8Array<ArrayBuffer>>;
  return (isGzip ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).getReader();
}
