/** The compact protocol of Thrift, in which Parquet files describe themselves. */

/** The types of values, with the numbers of the protocol. Booleans have two. */
export const Type = {
  True: 1,
  False: 2,
  I8: 3,
  I16: 4,
  I32: 5,
  I64: 6,
  Double: 7,
  Binary: 8,
  List: 9,
  Set: 10,
  Map: 11,
  Struct: 12,
} as const;

export type ThriftStruct = Map<number, ThriftValue>;

export type ThriftValue =
  | { type: 1 | 2 }
  | { type: 3 | 4 | 5 | 6; value: bigint }
  | { type: 7 | 8; bytes: Uint8Array }
  | { type: 9 | 10; element: number; items: ThriftValue[] }
  | { type: 11; key: number; value: number; entries: [ThriftValue, ThriftValue][] }
  | { type: 12; fields: ThriftStruct };

/** Maximum nesting of values. */
const MAX_DEPTH = 32;

/** The bytes are not a value of the compact protocol. */
export class ThriftError extends Error {}

/** Reads the struct at the start of some bytes. */
export function readStruct(bytes: Uint8Array): ThriftStruct {
  return new Reader(bytes).struct(0);
}

/** Writes a struct. */
export function writeStruct(fields: ThriftStruct): Uint8Array {
  const writer = new Writer();
  writer.struct(fields);
  return writer.finish();
}

class Reader {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  struct(depth: number): ThriftStruct {
    if (depth > MAX_DEPTH) {
      throw new ThriftError("values are nested too deeply");
    }
    const fields: ThriftStruct = new Map();
    let id = 0;
    for (;;) {
      const head = this.#byte();
      if (head === 0) {
        return fields;
      }
      const delta = head >> 4;
      id = delta === 0 ? Number(this.#zigzag()) : id + delta;
      fields.set(id, this.#value(head & 15, depth + 1, false));
    }
  }

  #byte(): number {
    const byte = this.bytes[this.#at];
    if (byte === undefined) {
      throw new ThriftError("the description of the file ends early");
    }
    this.#at += 1;
    return byte;
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) {
        return value;
      }
    }
    throw new ThriftError("a number is too long");
  }

  #zigzag(): bigint {
    const value = this.#varint();
    return (value >> 1n) ^ -(value & 1n);
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.bytes.length) {
      throw new ThriftError("the description of the file ends early");
    }
    const taken = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  #value(type: number, depth: number, isElement: boolean): ThriftValue {
    switch (type) {
      case Type.True:
      case Type.False:
        // In a list, a boolean is a byte of its own.
        return { type: isElement ? (this.#byte() === 1 ? 1 : 2) : type };
      case Type.I8:
        return { type, value: BigInt.asIntN(8, BigInt(this.#byte())) };
      case Type.I16:
      case Type.I32:
      case Type.I64:
        return { type, value: this.#zigzag() };
      case Type.Double:
        return { type, bytes: this.#take(8) };
      case Type.Binary:
        return { type, bytes: this.#take(Number(this.#varint())) };
      case Type.List:
      case Type.Set:
        return this.#list(type, depth);
      case Type.Map:
        return this.#map(depth);
      case Type.Struct:
        return { type, fields: this.struct(depth) };
      default:
        throw new ThriftError(`unknown type ${type}`);
    }
  }

  #list(type: 9 | 10, depth: number): ThriftValue {
    const head = this.#byte();
    const element = head & 15;
    const length = head >> 4 === 15 ? Number(this.#varint()) : head >> 4;
    this.#checkLength(length);
    const items: ThriftValue[] = [];
    for (let index = 0; index < length; index += 1) {
      items.push(this.#value(element, depth + 1, true));
    }
    return { type, element, items };
  }

  #map(depth: number): ThriftValue {
    const length = Number(this.#varint());
    this.#checkLength(length);
    const types = length === 0 ? 0 : this.#byte();
    const entries: [ThriftValue, ThriftValue][] = [];
    for (let index = 0; index < length; index += 1) {
      entries.push([this.#value(types >> 4, depth + 1, true), this.#value(types & 15, depth + 1, true)]);
    }
    return { type: Type.Map, key: types >> 4, value: types & 15, entries };
  }

  /** An element has at least one byte. */
  #checkLength(length: number): void {
    if (length > this.bytes.length - this.#at) {
      throw new ThriftError("the description of the file ends early");
    }
  }
}

class Writer {
  #bytes = new Uint8Array(4096);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  struct(fields: ThriftStruct): void {
    let before = 0;
    for (const [id, value] of [...fields].sort(([left], [right]) => left - right)) {
      const delta = id - before;
      if (delta > 0 && delta < 16) {
        this.#push((delta << 4) | value.type);
      } else {
        this.#push(value.type);
        this.#zigzag(BigInt(id));
      }
      before = id;
      this.#value(value, false);
    }
    this.#push(0);
  }

  #push(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  #put(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#push(byte);
    }
  }

  #varint(value: bigint): void {
    let rest = value;
    while (rest > 127n) {
      this.#push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.#push(Number(rest));
  }

  #zigzag(value: bigint): void {
    this.#varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  #value(value: ThriftValue, isElement: boolean): void {
    switch (value.type) {
      case Type.True:
      case Type.False:
        if (isElement) {
          this.#push(value.type);
        }
        break;
      case Type.I8:
        this.#push(Number(BigInt.asUintN(8, value.value)));
        break;
      case Type.I16:
      case Type.I32:
      case Type.I64:
        this.#zigzag(value.value);
        break;
      case Type.Double:
        this.#put(value.bytes);
        break;
      case Type.Binary:
        this.#varint(BigInt(value.bytes.length));
        this.#put(value.bytes);
        break;
      case Type.List:
      case Type.Set:
        this.#list(value.element, value.items);
        break;
      case Type.Map:
        this.#varint(BigInt(value.entries.length));
        if (value.entries.length > 0) {
          this.#push((value.key << 4) | value.value);
        }
        for (const [key, entry] of value.entries) {
          this.#value(key, true);
          this.#value(entry, true);
        }
        break;
      case Type.Struct:
        this.struct(value.fields);
        break;
    }
  }

  #list(element: number, items: ThriftValue[]): void {
    if (items.length < 15) {
      this.#push((items.length << 4) | element);
    } else {
      this.#push(0xf0 | element);
      this.#varint(BigInt(items.length));
    }
    for (const item of items) {
      this.#value(item, true);
    }
  }
}
