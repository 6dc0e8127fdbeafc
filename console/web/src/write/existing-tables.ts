/** The tables of the database that is written to, for previews. */

import { useEffect, useState } from "preact/hooks";
import { databases, listTables, type Table } from "../api/schema";
import { may } from "../api/session";
import type { ExistingTables } from "./body-preview";
import type { ColumnType } from "./line-protocol";

const NO_TABLES: ExistingTables = new Map();

/** Returns the type of a column as line protocol names it; `undefined` for a type that lines cannot write. */
export function columnType(column: Table["columns"][number]): ColumnType | undefined {
  if (column.role === "tag") {
    return "tag";
  }
  switch (column.type) {
    case "Float64":
      return "float";
    case "Int64":
      return "integer";
    case "UInt64":
      return "uinteger";
    case "Boolean":
      return "boolean";
    case "Utf8":
    case "Utf8View":
    case "LargeUtf8":
      return "string";
    default:
      return undefined;
  }
}

/** Returns the columns of tables by name, without `time`. */
export function existingTables(tables: readonly Table[]): ExistingTables {
  return new Map(
    tables.map((table) => {
      const columns = table.columns.flatMap((column): [string, ColumnType][] => {
        const type = column.role === "time" ? undefined : columnType(column);
        return type === undefined ? [] : [[column.name, type]];
      });
      return [table.name, new Map(columns)];
    }),
  );
}

/** The tables of a database, and whether they are known. Without the permission to read, they are not. */
export interface KnownTables {
  tables: ExistingTables;
  isKnown: boolean;
  /** Reads the tables again. */
  refresh(): void;
}

/** Reads the tables of a database each time its name changes. */
export function useExistingTables(database: string): KnownTables {
  const [tables, setTables] = useState<{ database: string; tables: ExistingTables } | undefined>();
  const [count, setCount] = useState(0);
  const exists = databases.value.some(({ name }) => name === database);
  const isReadable = may("read", database);
  useEffect(() => {
    let isWanted = true;
    if (!exists || !isReadable) {
      setTables(exists ? undefined : { database, tables: NO_TABLES });
      return undefined;
    }
    listTables(database).then(
      (listed) => isWanted && setTables({ database, tables: existingTables(listed) }),
      () => isWanted && setTables(undefined),
    );
    return () => {
      isWanted = false;
    };
  }, [database, exists, isReadable, count]);
  const isKnown = tables?.database === database;
  return { tables: isKnown ? tables.tables : NO_TABLES, isKnown, refresh: () => setCount((before) => before + 1) };
}
