/** A table of a few rows. */

import type { ComponentChildren, JSX } from "preact";

/** A column of a table. */
export interface DataColumn {
  /** The head. Empty for a column of buttons. */
  name: string;
  isNumber?: boolean;
}

/** The properties of a table. */
export interface DataTableProps {
  /** The name for screen readers. */
  label: string;
  columns: readonly DataColumn[];
  /** The rows. */
  children: ComponentChildren;
  /** The row of sums. */
  foot?: ComponentChildren;
}

/** A table of tens or hundreds of rows. It scrolls sideways where it is wider than the page. */
export function DataTable({ label, columns, children, foot }: DataTableProps): JSX.Element {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section class="operate-scroll" aria-label={label} tabIndex={0}>
      <table class="operate-table">
        <thead>
          <tr>
            {columns.map(({ name, isNumber }) =>
              name === "" ? (
                <td key={name} />
              ) : (
                <th key={name} scope="col" class={isNumber ? "number" : undefined}>
                  {name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
        {foot && <tfoot>{foot}</tfoot>}
      </table>
    </section>
  );
}
