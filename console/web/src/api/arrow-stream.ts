/** Splits an Arrow IPC stream into its messages while it arrives. */

/** The marker before the length of a message's metadata. */
const CONTINUATION = 0xffffffff;

/** The type of the message of a record batch, in the metadata. */
const RECORD_BATCH = 3;

/** One message of a stream: its marker, lengths, metadata and body, in a buffer of its own. */
export interface ArrowMessage {
  bytes: Uint8Array<ArrayBuffer>;
  /** The rows of a record batch; 0 for other messages. */
  rows: number;
}

/** Collects the chunks of a stream and returns each message once it is complete. */
export class MessageSplitter {
  private chunks: Uint8Array[] = [];
  private available = 0;
  private needed = 8;
  private metadataBytes = -1;

  /** Adds a chunk and returns the messages that it completes. Throws `Error` if the stream is malformed. */
  push(chunk: Uint8Array): ArrowMessage[] {
    this.chunks.push(chunk);
    this.available += chunk.byteLength;
    const messages: ArrowMessage[] = [];
    while (this.available >= this.needed) {
      const message = this.advance();
      if (message === "end") {
        break;
      }
      if (message !== undefined) {
        messages.push(message);
      }
    }
    return messages;
  }

  /** Whether the stream ends in the middle of a message. */
  get isIncomplete(): boolean {
    return this.available > 0;
  }

  /** Reads the next part of a message: its prefix, then its metadata, then all of it. */
  private advance(): ArrowMessage | "end" | undefined {
    const view = this.peek(8 + Math.max(0, this.metadataBytes));
    if (this.metadataBytes < 0) {
      if (view.getUint32(0, true) !== CONTINUATION) {
        throw new Error("The result is not an Arrow stream.");
      }
      const length = view.getUint32(4, true);
      if (length === 0) {
        this.chunks = [];
        this.available = 0;
        return "end";
      }
      this.metadataBytes = length;
      this.needed = 8 + length;
      return undefined;
    }
    const end = 8 + this.metadataBytes;
    const header = readHeader(new DataView(view.buffer, view.byteOffset + 8, this.metadataBytes));
    if (this.needed < end + header.bodyBytes) {
      this.needed = end + header.bodyBytes;
      return undefined;
    }
    const bytes = this.take(this.needed);
    this.needed = 8;
    this.metadataBytes = -1;
    return { bytes, rows: header.rows };
  }

  /** Returns the first bytes as one view. */
  private peek(length: number): DataView {
    const first = this.chunks[0];
    if (first !== undefined && first.byteLength >= length) {
      return new DataView(first.buffer, first.byteOffset, length);
    }
    const joined = this.join(length);
    return new DataView(joined.buffer, 0, length);
  }

  /** Removes the first bytes and returns them in a buffer of their own, so that they are aligned. */
  private take(length: number): Uint8Array<ArrayBuffer> {
    const bytes = this.join(length);
    let left = length;
    while (left > 0) {
      const chunk = this.chunks[0];
      if (chunk === undefined) {
        break;
      }
      if (chunk.byteLength <= left) {
        this.chunks.shift();
        left -= chunk.byteLength;
      } else {
        this.chunks[0] = chunk.subarray(left);
        left = 0;
      }
    }
    this.available -= length;
    return bytes;
  }

  private join(length: number): Uint8Array<ArrayBuffer> {
    const joined = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.chunks) {
      if (at >= length) {
        break;
      }
      const part = chunk.subarray(0, length - at);
      joined.set(part, at);
      at += part.byteLength;
    }
    return joined;
  }
}

/** Reads the length of the body and the number of rows from the metadata of a message, a FlatBuffers table. */
function readHeader(metadata: DataView): { bodyBytes: number; rows: number } {
  try {
    const message = metadata.getInt32(0, true);
    const type = fieldOf(metadata, message, 1);
    const header = fieldOf(metadata, message, 2);
    const body = fieldOf(metadata, message, 3);
    const bodyBytes = body === 0 ? 0 : Number(metadata.getBigInt64(body, true));
    if (!Number.isSafeInteger(bodyBytes) || bodyBytes < 0) {
      throw new RangeError();
    }
    if (type === 0 || header === 0 || metadata.getUint8(type) !== RECORD_BATCH) {
      return { bodyBytes, rows: 0 };
    }
    const batch = header + metadata.getInt32(header, true);
    const length = fieldOf(metadata, batch, 0);
    return { bodyBytes, rows: length === 0 ? 0 : Number(metadata.getBigInt64(length, true)) };
  } catch {
    throw new Error("The result is not a valid Arrow stream.");
  }
}

/** Returns the position of a field of a FlatBuffers table, or 0 if the table does not have it. */
function fieldOf(data: DataView, table: number, field: number): number {
  const vtable = table - data.getInt32(table, true);
  const slot = 4 + 2 * field;
  if (slot >= data.getUint16(vtable, true)) {
    return 0;
  }
  const offset = data.getUint16(vtable + slot, true);
  return offset === 0 ? 0 : table + offset;
}
