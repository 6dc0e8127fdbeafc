/**
 * Parquet files: their columns, and parts of them that can be sent as files of their own.
 *
 *     PAR1 | row group | row group | … | footer | length | PAR1
 *
 * A part has some row groups byte for byte, and a footer in which their positions are moved. Values are not decoded.
 */

import type { FileColumn, FileSample } from "./infer";
import { readStruct, type ThriftStruct, type ThriftValue, Type, writeStruct } from "./thrift";

/** The file is not a Parquet file that can be read. */
export class ParquetError extends Error {}

/** Row groups that follow each other in a file. */
export interface ParquetPart {
  /** The first byte of the file that belongs to the part, and the byte after the last one. */
  from: number;
  to: number;
  /** The positions of the first row group and of the one after the last. */
  first: number;
  last: number;
  rows: number;
}

export interface ParquetFile {
  footer: ThriftStruct;
  groups: ParquetPart[];
  rows: number;
  columns: FileColumn[];
}

const MAGIC = new TextEncoder().encode("PAR1");

/** Maximum bytes of a footer. */
const MAX_FOOTER_BYTES = 32 << 20;

/** Reads the footer of a file. */
export async function openParquet(file: Blob): Promise<ParquetFile> {
  const tail = new Uint8Array(await file.slice(Math.max(0, file.size - 8)).arrayBuffer());
  if (tail.length < 8 || !MAGIC.every((byte, index) => tail[4 + index] === byte)) {
    throw new ParquetError("The file does not end as a Parquet file: it may be cut off or encrypted.");
  }
  const length = new DataView(tail.buffer).getUint32(0, true);
  if (length > MAX_FOOTER_BYTES || length > file.size - 12) {
    throw new ParquetError("The footer of the file has an impossible length.");
  }
  const bytes = await file.slice(file.size - 8 - length, file.size - 8).arrayBuffer();
  return describe(readStruct(new Uint8Array(bytes)), file.size);
}

function describe(footer: ThriftStruct, size: number): ParquetFile {
  const groups = structs(footer.get(4)).map((group, index): ParquetPart => {
    const ranges = structs(group.get(1)).map(columnRange);
    const from = Math.min(...ranges.map((range) => range.from));
    const to = Math.max(...ranges.map((range) => range.to));
    if (!(from >= 4 && to >= from && to <= size)) {
      throw new ParquetError(`Row group ${index + 1} is outside the file.`);
    }
    return { from, to, first: index, last: index + 1, rows: Number(integer(group.get(3)) ?? 0n) };
  });
  return { footer, groups, rows: Number(integer(footer.get(3)) ?? 0n), columns: columnsOf(structs(footer.get(2))) };
}

/** Returns the first rows of a file as far as the footer describes them: its columns. */
export function sampleOf(file: ParquetFile): FileSample {
  return { columns: file.columns, rows: [], issues: [], namesTables: false, totalRows: file.rows };
}

/** Joins neighbouring row groups to parts of at most some bytes. A larger row group is a part of its own. */
export function partsOf(groups: ParquetPart[], maxBytes: number): ParquetPart[] {
  const parts: ParquetPart[] = [];
  for (const group of groups) {
    const part = parts.at(-1);
    const from = Math.min(part?.from ?? group.from, group.from);
    const to = Math.max(part?.to ?? group.to, group.to);
    if (part !== undefined && to - from <= maxBytes) {
      parts[parts.length - 1] = { from, to, first: part.first, last: group.last, rows: part.rows + group.rows };
    } else {
      parts.push({ ...group });
    }
  }
  return parts;
}

/** Returns a part of a file as a file. */
export function partBlob(source: Blob, file: ParquetFile, part: ParquetPart): Blob {
  const move = BigInt(MAGIC.length - part.from);
  const groups = structs(file.footer.get(4)).slice(part.first, part.last);
  const moved: ThriftValue[] = groups.map((group) => ({ type: Type.Struct, fields: moveGroup(group, move) }));
  const footer = new Map(file.footer);
  footer.set(3, { type: Type.I64, value: BigInt(part.rows) });
  footer.set(4, { type: Type.List, element: Type.Struct, items: moved });
  const bytes = writeStruct(footer);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length, true);
  return new Blob([MAGIC, source.slice(part.from, part.to), bytes as BlobPart, length, MAGIC]);
}

function moveGroup(group: ThriftStruct, move: bigint): ThriftStruct {
  const moved = new Map(group);
  moved.set(1, {
    type: Type.List,
    element: Type.Struct,
    items: structs(group.get(1)).map((column) => ({ type: Type.Struct, fields: moveColumn(column, move) })),
  });
  shift(moved, 5, move);
  moved.delete(7);
  return moved;
}

function moveColumn(column: ThriftStruct, move: bigint): ThriftStruct {
  const moved = new Map(column);
  // Some writers leave the position at 0.
  shift(moved, 2, move);
  // Page indexes are outside the row group.
  for (const index of [4, 5, 6, 7]) {
    moved.delete(index);
  }
  const meta = new Map(fieldsOf(column.get(3)));
  for (const offset of [9, 10, 11]) {
    shift(meta, offset, move);
  }
  for (const bloomFilter of [14, 15]) {
    meta.delete(bloomFilter);
  }
  moved.set(3, { type: Type.Struct, fields: meta });
  return moved;
}

function shift(fields: ThriftStruct, id: number, move: bigint): void {
  const value = integer(fields.get(id));
  if (value !== undefined && value > 0n) {
    const moved = value + move;
    fields.set(id, { type: Type.I64, value: moved > 0n ? moved : 0n });
  }
}

function columnRange(column: ThriftStruct): { from: number; to: number } {
  const meta = fieldsOf(column.get(3));
  const data = Number(integer(meta.get(9)) ?? -1n);
  const dictionary = Number(integer(meta.get(11)) ?? 0n);
  const from = dictionary > 0 ? Math.min(dictionary, data) : data;
  return { from, to: from + Number(integer(meta.get(7)) ?? 0n) };
}

function fieldsOf(value: ThriftValue | undefined): ThriftStruct {
  return value?.type === Type.Struct ? value.fields : new Map();
}

function structs(value: ThriftValue | undefined): ThriftStruct[] {
  return value?.type === Type.List ? value.items.map(fieldsOf) : [];
}

function integer(value: ThriftValue | undefined): bigint | undefined {
  return value !== undefined && "value" in value && typeof value.value === "bigint" ? value.value : undefined;
}

function textOf(value: ThriftValue | undefined): string {
  return value?.type === Type.Binary ? new TextDecoder().decode(value.bytes) : "";
}

/** Returns the columns: the children of the root. The server refuses nested ones. */
function columnsOf(schema: ThriftStruct[]): FileColumn[] {
  const columns: FileColumn[] = [];
  let at = 1;
  while (at < schema.length) {
    const element = schema[at] ?? new Map();
    columns.push({ name: textOf(element.get(4)), type: columnType(element), example: "" });
    at = skip(schema, at);
  }
  return columns;
}

/** Returns the position after an element and its children. */
function skip(schema: ThriftStruct[], at: number): number {
  let pending = 1;
  let next = at;
  while (pending > 0 && next < schema.length) {
    pending += Number(integer(schema[next]?.get(5)) ?? 0n) - 1;
    next += 1;
  }
  return next;
}

const PHYSICAL_TYPES: Record<number, FileColumn["type"]> = {
  0: "boolean",
  1: "integer",
  2: "integer",
  4: "float",
  5: "float",
};

function columnType(element: ThriftStruct): FileColumn["type"] {
  const logical = [...fieldsOf(element.get(10)).keys()][0];
  const converted = Number(integer(element.get(6)) ?? -1n);
  const physical = integer(element.get(1));
  if (physical === undefined) {
    return "other";
  }
  if (logical === 8 || converted === 9 || converted === 10 || physical === 3n) {
    return "time";
  }
  if (logical === 5 || converted === 5) {
    return "float";
  }
  const isUnsigned = converted >= 11 && converted <= 14;
  const integerType = fieldsOf(fieldsOf(element.get(10)).get(10));
  if (isUnsigned || (logical === 10 && integerType.get(2)?.type === Type.False)) {
    return "uinteger";
  }
  if (physical === 6n) {
    return logical === 1 || logical === 4 || logical === 12 || converted === 0 || converted === 4 ? "string" : "other";
  }
  if (logical === 6 || logical === 7 || converted === 6 || converted === 7 || converted === 8) {
    return "other";
  }
  return PHYSICAL_TYPES[Number(physical)] ?? "other";
}
