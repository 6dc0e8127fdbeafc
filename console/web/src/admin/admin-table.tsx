/** A table of a section, whose last column may have the actions of each row. */

import type { ComponentChildren, JSX } from "preact";
import { formatAnswerTime, formatWall, zone } from "../time/zone";
import { ScrollArea } from "../write/scroll-area";

export interface AdminTableProps {
  /** The name for screen readers. */
  label: string;
  heads: readonly string[];
  /** Whether there is a further column, with the actions of each row. */
  hasActions?: boolean;
  /** The rows. */
  children: ComponentChildren;
}

/** A table of a section, whose last column may have the actions of each row. */
export function AdminTable({ label, heads, hasActions = true, children }: AdminTableProps): JSX.Element {
  return (
    <ScrollArea class="preview-scroll admin-list" label={label}>
      <table class="plain-table">
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
            {hasActions && (
              <th scope="col">
                <span class="visually-hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </ScrollArea>
  );
}

/** Returns a time as tables show it, without its zone, which is that of the page. Empty if there is none. */
export function shortTime(text: string | undefined): string {
  return formatAnswerTime(text ?? "", zone.value);
}

/** Returns a time in seconds since the Unix epoch as tables show it. Empty if there is none. */
export function shortSeconds(seconds: number | undefined): string {
  return seconds === undefined ? "" : formatWall(seconds * 1_000, zone.value);
}
