/** The tables and the refused lines of a preview. */

import type { JSX } from "preact";
import { quoteIdentifier } from "../api/schema";
import { formatTime } from "../chart/time-ticks";
import { link } from "../router";
import { zone } from "../time/zone";
import { Icon } from "../ui";
import type { PreviewTable } from "./body-preview";
import type { LineIssue } from "./line-protocol";
import { formatCount } from "./names";
import { ScrollArea } from "./scroll-area";

/** Maximum number of tables, columns and lines that are shown. */
const MAX_TABLES = 50;
const MAX_COLUMNS = 200;
const MAX_SHOWN_ISSUES = 100;

/** Returns the place that shows the newest rows of a table. */
export function exploreTable(database: string, table: string): string {
  const q = `SELECT * FROM ${quoteIdentifier(table)} ORDER BY time DESC LIMIT 100`;
  return link("explore", { db: database, q });
}

/** Shows tables with the columns that a write has. `isKnown`: whether the page knows which of them exist. */
export function PreviewTables({ tables, isKnown }: { tables: readonly PreviewTable[]; isKnown: boolean }): JSX.Element {
  return (
    <>
      {tables.slice(0, MAX_TABLES).map((table) => (
        <TablePreview key={table.name} table={table} isKnown={isKnown} />
      ))}
      {tables.length > MAX_TABLES && <p class="muted">and {formatCount(tables.length - MAX_TABLES)} further tables</p>}
    </>
  );
}

function TablePreview({ table, isKnown }: { table: PreviewTable; isKnown: boolean }): JSX.Element {
  const isNew = isKnown && table.isNew;
  return (
    <section class="preview-table" aria-label={`Table ${table.name}`}>
      <h3>
        <Icon name="table" />
        <span class="preview-name">{table.name}</span>
        {isNew && <span class="badge badge-new">new table</span>}
        <span class="muted preview-count">
          {formatCount(table.rows)} {table.rows === 1 ? "row" : "rows"}
        </span>
      </h3>
      <p class="muted preview-time">{timeRange(table)}</p>
      <ScrollArea class="preview-scroll" label={`Columns of ${table.name}`}>
        <table class="plain-table">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Type</th>
              <th scope="col">First value</th>
            </tr>
          </thead>
          <tbody>
            {table.columns.slice(0, MAX_COLUMNS).map((column) => (
              <tr key={column.name}>
                <th scope="row">
                  <span class="preview-cell">{column.name}</span>
                </th>
                <td>
                  {column.type}
                  {isKnown && column.isNew && !isNew && <span class="badge badge-new">new</span>}
                </td>
                <td>
                  <span class="preview-cell monospace">{column.example.slice(0, 200)}</span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollArea>
    </section>
  );
}

function timeRange(table: PreviewTable): string {
  const without = table.rowsWithoutTime > 0 ? `${formatCount(table.rowsWithoutTime)} with the time of the server` : "";
  if (table.minTime === undefined || table.maxTime === undefined) {
    return without;
  }
  const from = formatTime(table.minTime, zone.value);
  const to = formatTime(table.maxTime, zone.value);
  const range = from === to ? `${from} ${zone.value}` : `${from} to ${to} ${zone.value}`;
  return without === "" ? range : `${range}, ${without}`;
}

/** Returns the message of an error with what the page guesses. */
export function fullMessage({ message, hint }: LineIssue): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}

/** A line or a row that is refused. */
export interface ShownIssue {
  line: number;
  message: string;
  text: string | undefined;
}

/** Shows refused lines. */
export function IssueList({ label, issues }: { label: string; issues: readonly ShownIssue[] }): JSX.Element {
  return (
    <ScrollArea class="issue-scroll" label={label}>
      <ol class="issue-list">
        {issues.slice(0, MAX_SHOWN_ISSUES).map((issue) => (
          <li key={`${issue.line} ${issue.message}`}>
            <span class="issue-line">{formatCount(issue.line)}</span>
            <span class="issue-text">
              {issue.message}
              {issue.text !== undefined && <code class="issue-original">{issue.text.slice(0, 500)}</code>}
            </span>
          </li>
        ))}
      </ol>
      {issues.length > MAX_SHOWN_ISSUES && (
        <p class="muted">and {formatCount(issues.length - MAX_SHOWN_ISSUES)} further ones</p>
      )}
    </ScrollArea>
  );
}
