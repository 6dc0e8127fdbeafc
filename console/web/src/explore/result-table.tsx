/** The rows of a result, of which only the visible ones are in the document. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { formatValue, type QueryResult, type ResultColumn } from "../api/query";
import { Button, CopyButton, Dialog, notify, type TableSort, VirtualTable } from "../ui";
import { MAX_SORTED_ROWS, sortRows } from "./sort-rows";

/** The maximum number of characters of a value that the dialog shows at once. */
const MAX_VALUE_CHARS = 200_000;

/** The rows of a result. */
export function ResultTable({ result }: { result: QueryResult }): JSX.Element {
  const [sort, setSort] = useState<TableSort>();
  const [opened, setOpened] = useState<{ column: ResultColumn; row: number }>();
  const sorted = useMemo(() => {
    const column = sort && result.columns[sort.column];
    return column ? sortRows(column, result.rows, sort.direction) : undefined;
  }, [result, sort]);
  const columns = useMemo(
    () =>
      result.columns.map((column) => ({
        name: column.name,
        detail: shortType(column),
        align: column.kind === "number" || column.kind === "integer" ? ("end" as const) : ("start" as const),
      })),
    [result],
  );
  const get = useMemo(() => {
    return (row: number, column: number) => {
      const source = result.columns[column];
      const value = source?.get(sorted?.[row] ?? row);
      return source === undefined || value === null || value === undefined ? null : formatValue(source, value);
    };
  }, [result, sorted]);
  const onSort = (column: number) => {
    if (result.rows > MAX_SORTED_ROWS) {
      const limit = MAX_SORTED_ROWS.toLocaleString("en");
      notify("info", `The page sorts up to ${limit} rows. Add ORDER BY to the query instead.`);
    } else {
      setSort(nextSort(sort, column));
    }
  };
  return (
    <>
      <VirtualTable
        key={result.columns.map(({ name }) => name).join("\n")}
        label="Result"
        columns={columns}
        rows={result.rows}
        get={get}
        sort={sort}
        onSort={onSort}
        onOpen={(row, column) => {
          const source = result.columns[column];
          if (source) {
            setOpened({ column: source, row: sorted?.[row] ?? row });
          }
        }}
      />
      {opened && <ValueDialog {...opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

function ValueDialog({ column, row, onClose }: { column: ResultColumn; row: number; onClose(): void }): JSX.Element {
  const value = column.get(row);
  const text = value === null ? "null" : formatValue(column, value);
  const shown = text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS)}…` : text;
  const actions = (
    <>
      <CopyButton text={text} label="Copy the value" />
      <Button onClick={onClose}>Close</Button>
    </>
  );
  return (
    <Dialog title={column.name.slice(0, 200)} size="medium" onClose={onClose} actions={actions}>
      <p class="muted">
        {column.arrowType} · row {(row + 1).toLocaleString("en")}
        {typeof value === "string" && ` · ${text.length.toLocaleString("en")} characters`}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text scrolls by keyboard. */}
      <pre class="value-text" dir="auto" tabIndex={0}>
        {shown}
      </pre>
    </Dialog>
  );
}

function nextSort(sort: TableSort | undefined, column: number): TableSort | undefined {
  if (sort?.column !== column) {
    return { column, direction: "ascending" };
  }
  return sort.direction === "ascending" ? { column, direction: "descending" } : undefined;
}

/** Returns a type in the words of people who write line protocol. */
function shortType({ kind, arrowType }: ResultColumn): string {
  switch (kind) {
    case "tag":
      return "tag";
    case "time":
      return "time";
    case "text":
      return "string";
    case "boolean":
      return "boolean";
    case "number":
      return arrowType === "Float64" ? "float" : arrowType.toLowerCase();
    case "integer":
      return { Int64: "integer", UInt64: "unsigned" }[arrowType] ?? arrowType.toLowerCase();
    default:
      return arrowType.length > 24 ? "nested" : arrowType.toLowerCase();
  }
}
