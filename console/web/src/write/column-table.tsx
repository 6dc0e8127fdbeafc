/** The columns of a file, and its first rows. */

import type { JSX } from "preact";
import type { FileColumn, FileSample } from "./infer";
import type { ColumnType, FieldType } from "./line-protocol";
import type { ColumnRole, MappingChoice } from "./mapping";
import { formatCount } from "./names";
import { ScrollArea } from "./scroll-area";

/** Maximum number of columns that are shown. */
const MAX_COLUMNS = 300;

const ROLES: readonly { value: ColumnRole; label: string }[] = [
  { value: "time", label: "Time" },
  { value: "tag", label: "Tag" },
  { value: "field", label: "Field" },
];

/** The roles if the file marks its tags. */
const MARKED_ROLES: typeof ROLES = [
  { value: "time", label: "Time" },
  { value: "field", label: "As marked" },
];

/** The server converts numbers to other numbers, and nothing else. */
const NUMBERS: readonly FieldType[] = ["float", "integer", "uinteger"];

export interface ColumnTableProps {
  sample: FileSample;
  choice: MappingChoice;
  existing: ReadonlyMap<string, ColumnType> | undefined;
  /** Whether the types of fields can be chosen. */
  isNewTable: boolean;
  onChange(choice: MappingChoice): void;
}

/** Shows the columns with their roles and types, which can be changed, and the first rows below. */
export function ColumnTable({ sample, choice, existing, isNewTable, onChange }: ColumnTableProps): JSX.Element {
  const setRole = (index: number, role: ColumnRole) => {
    const roles = choice.roles.map((old, place) => {
      if (place === index) {
        return role;
      }
      return role === "time" && old === "time" ? "field" : old;
    });
    onChange({ ...choice, roles });
  };
  const setType = (index: number, type: FieldType) => {
    onChange({ ...choice, types: choice.types.map((old, place) => (place === index ? type : old)) });
  };
  return (
    <>
      <ScrollArea class="preview-scroll" label="Columns of the file">
        <table class="plain-table">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">In the file</th>
              <th scope="col">Becomes</th>
              <th scope="col">Type</th>
              <th scope="col">First value</th>
            </tr>
          </thead>
          <tbody>
            {sample.columns.slice(0, MAX_COLUMNS).map((column, index) => (
              <tr key={column.name}>
                <th scope="row">
                  <span class="preview-cell">{column.name}</span>
                </th>
                <td class="muted">{column.type}</td>
                <td>
                  {sample.namesTables ? (
                    <span>{column.isTag ? "tag" : ""}</span>
                  ) : (
                    <select
                      class="input"
                      aria-label={`Role of ${column.name}`}
                      value={choice.roles[index]}
                      onChange={(event) => setRole(index, event.currentTarget.value as ColumnRole)}
                    >
                      {(choice.areTagsMarked ? MARKED_ROLES : ROLES).map(({ value, label }) => (
                        <option key={value} value={value}>
                          {label}
                        </option>
                      ))}
                    </select>
                  )}
                </td>
                <td>
                  <TypeCell
                    column={column}
                    role={choice.roles[index] ?? "field"}
                    type={choice.types[index] ?? "string"}
                    known={existing?.get(column.name)}
                    isChoice={isNewTable && !sample.namesTables && !choice.areTagsMarked}
                    onChange={(type) => setType(index, type)}
                  />
                </td>
                <td>
                  <span class="preview-cell monospace">{column.example.slice(0, 200)}</span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollArea>
      {sample.columns.length > MAX_COLUMNS && (
        <p class="muted">and {formatCount(sample.columns.length - MAX_COLUMNS)} further columns</p>
      )}
      {sample.totalRows !== undefined && <p class="muted">{formatCount(sample.totalRows)} rows</p>}
      {sample.rows.length > 0 && <FirstRows sample={sample} />}
    </>
  );
}

interface TypeCellProps {
  column: FileColumn;
  role: ColumnRole;
  type: FieldType;
  known: ColumnType | undefined;
  isChoice: boolean;
  onChange(type: FieldType): void;
}

function TypeCell({ column, role, type, known, isChoice, onChange }: TypeCellProps): JSX.Element {
  if (role !== "field") {
    return <span class="muted">{role}</span>;
  }
  if (known !== undefined) {
    const isOther = known === "tag" || (known !== type && !(known === "float" && type === "integer"));
    return <span class={isOther ? "type-conflict" : ""}>{isOther ? `${known} in the table` : known}</span>;
  }
  if (!isChoice || !NUMBERS.includes(type)) {
    return <span>{column.type}</span>;
  }
  return (
    <select
      class="input"
      aria-label={`Type of ${column.name}`}
      value={type}
      onChange={(event) => onChange(event.currentTarget.value as FieldType)}
    >
      {NUMBERS.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  );
}

function FirstRows({ sample }: { sample: FileSample }): JSX.Element {
  const columns = sample.columns.slice(0, MAX_COLUMNS);
  return (
    <details class="first-rows">
      <summary>First {formatCount(sample.rows.length)} rows</summary>
      <ScrollArea class="preview-scroll" label="First rows">
        <table class="plain-table">
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column.name} scope="col">
                  <span class="preview-cell">{column.name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sample.rows.map((row, index) => (
              <tr key={index}>
                {columns.map((column, place) => (
                  <td key={column.name}>
                    <span class="preview-cell">{row[place]?.slice(0, 200) ?? ""}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollArea>
    </details>
  );
}
