/** How the columns of a file become those of a table: what the user chooses, and what follows from it. */

import { type FileColumn, type FileSample, guessTimeColumn, looksLikeTag } from "./infer";
import type { ColumnType, FieldType } from "./line-protocol";
import type { FileMapping } from "./upload";

export type ColumnRole = "tag" | "field" | "time";

/** The choices for a file. */
export interface MappingChoice {
  table: string;
  roles: ColumnRole[];
  /** Whether the tags are those that the file itself marks, as files of Parquet can. */
  areTagsMarked: boolean;
  /** The types of the fields of a new table. */
  types: FieldType[];
  timeFormat: string;
  timeZone: string;
}

/** Returns the choices that fit a file best. The columns of a table that exists keep their roles. */
export function firstChoice(
  sample: FileSample,
  table: string,
  existing: ReadonlyMap<string, ColumnType> | undefined,
): MappingChoice {
  const time = guessTimeColumn(sample.columns);
  // Parquet has exact types, and no values to guess from.
  const areTagsMarked = sample.totalRows !== undefined;
  const roles = sample.columns.map((column, index): ColumnRole => {
    if (column.name === time) {
      return "time";
    }
    if (areTagsMarked) {
      return "field";
    }
    const known = existing?.get(column.name);
    const isTag = known === undefined ? looksLikeTag(sample, index) : known === "tag";
    return isTag ? "tag" : "field";
  });
  return { table, roles, areTagsMarked, types: sample.columns.map(fieldType), timeFormat: "", timeZone: "" };
}

function fieldType(column: FileColumn): FieldType {
  return column.type === "time" || column.type === "other" ? "string" : column.type;
}

/** Returns the parameters of the requests. */
export function mappingOf(sample: FileSample, choice: MappingChoice): FileMapping {
  const named = (role: ColumnRole) =>
    sample.columns.filter((_, index) => choice.roles[index] === role).map((column) => column.name);
  const [timeColumn] = named("time");
  return {
    table: choice.table,
    // What a file says itself is more exact than a choice by name.
    tags: sample.namesTables || choice.areTagsMarked ? undefined : named("tag"),
    timeColumn: sample.namesTables ? undefined : timeColumn,
    timeFormat: choice.timeFormat,
    timeZone: choice.timeZone,
  };
}

/** Returns why a file cannot be written with these choices; `undefined` if it can. */
export function mappingProblem(sample: FileSample, choice: MappingChoice): string | undefined {
  if (sample.namesTables) {
    return undefined;
  }
  if (choice.table === "") {
    return "Name the table.";
  }
  if (sample.columns.length === 0) {
    return "The file has no columns.";
  }
  if (!choice.roles.includes("field")) {
    return "A row needs a field: at least one column must be one.";
  }
  if (choice.roles.filter((role) => role === "time").length > 1) {
    return "Only one column can be the time.";
  }
  const refused = sample.columns.find((column, index) => column.type === "other" && choice.roles[index] !== "time");
  return refused && `The column ${refused.name} has lists, objects, or another type that no column can store.`;
}

const API_TYPES: Record<FieldType, string> = {
  float: "float64",
  integer: "int64",
  uinteger: "uint64",
  string: "utf8",
  boolean: "bool",
};

/** The body of a request that creates a table. */
export interface NewTable {
  db: string;
  table: string;
  tags: string[];
  fields: { name: string; type: string }[];
}

/** Returns the table that the choices describe. */
export function newTable(database: string, sample: FileSample, choice: MappingChoice): NewTable {
  const fields = sample.columns.flatMap((column, index) => {
    const type = API_TYPES[choice.types[index] ?? "string"];
    return choice.roles[index] === "field" ? [{ name: column.name, type }] : [];
  });
  const tags = sample.columns.filter((_, index) => choice.roles[index] === "tag").map((column) => column.name);
  return { db: database, table: choice.table, tags, fields };
}
