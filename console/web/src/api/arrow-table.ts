/** Reads the messages of an Arrow stream as the columns of a result. */

import { type DataType, Type, tableFromIPC } from "@uwdata/flechette";
import type { ColumnKind, ResultColumn } from "./query";

/** The nanoseconds of the units of Arrow: s, ms, µs, ns. */
const UNIT_NS = [1_000_000_000n, 1_000_000n, 1_000n, 1n] as const;

const UNIT_NAMES = ["s", "ms", "µs", "ns"] as const;

/** Decodes the messages of an Arrow stream. The values stay in the buffers of the messages. */
export function decodeTable(messages: Uint8Array[]): { columns: ResultColumn[]; rows: number } {
  const table = tableFromIPC(messages, { useBigInt: true, useBigIntTimestamp: true });
  const columns = table.schema.fields.map((field, index): ResultColumn => {
    const column = table.getChildAt(index);
    const isTag = field.metadata?.get("iox::column::type") === "iox::column_type::tag";
    return {
      name: field.name,
      kind: isTag ? "tag" : kindOf(field.type),
      arrowType: typeName(field.type),
      get: reader(field.type, (row) => column.at(row) ?? null),
      vector: column,
    };
  });
  return { columns, rows: table.numRows };
}

function reader(type: DataType, at: (row: number) => unknown): (row: number) => unknown {
  if (type.typeId !== Type.Timestamp) {
    return at;
  }
  const factor = UNIT_NS[type.unit];
  return (row) => {
    const value = at(row);
    return typeof value === "bigint" ? value * factor : null;
  };
}

function kindOf(type: DataType): ColumnKind {
  switch (type.typeId) {
    case Type.Timestamp:
      return "time";
    case Type.Float:
    case Type.Decimal:
      return "number";
    case Type.Int:
      return "integer";
    case Type.Bool:
      return "boolean";
    case Type.Utf8:
    case Type.LargeUtf8:
    case Type.Utf8View:
      return "text";
    case Type.Dictionary:
      return kindOf(type.dictionary) === "text" ? "tag" : kindOf(type.dictionary);
    default:
      return "other";
  }
}

/** Returns the name of a type, in the words of the server: `Timestamp(ns)`, `Dictionary(Int32, Utf8)`. */
function typeName(type: DataType): string {
  switch (type.typeId) {
    case Type.Timestamp: {
      const zone = type.timezone ? `, "${type.timezone}"` : "";
      return `Timestamp(${UNIT_NAMES[type.unit]}${zone})`;
    }
    case Type.Duration:
      return `Duration(${UNIT_NAMES[type.unit]})`;
    case Type.Time:
      return `Time${type.bitWidth}(${UNIT_NAMES[type.unit]})`;
    case Type.Int:
      return `${type.signed ? "Int" : "UInt"}${type.bitWidth}`;
    case Type.Float:
      return `Float${16 << type.precision}`;
    case Type.Decimal:
      return `Decimal${type.bitWidth}(${type.precision}, ${type.scale})`;
    case Type.Date:
      return type.unit === 0 ? "Date32" : "Date64";
    case Type.Bool:
      return "Boolean";
    case Type.Dictionary:
      return `Dictionary(${typeName(type.indices)}, ${typeName(type.dictionary)})`;
    case Type.List:
    case Type.LargeList:
      return `List(${type.children.map((child) => typeName(child.type)).join(", ")})`;
    case Type.Struct:
      return `Struct(${type.children.map((child) => `${child.name}: ${typeName(child.type)}`).join(", ")})`;
    default:
      return Object.entries(Type).find(([, id]) => id === type.typeId)?.[0] ?? "unknown";
  }
}
