/** A table of any number of rows, of which only the visible ones are in the document. */

import type { ComponentChildren, JSX } from "preact";
import { useId, useMemo, useRef, useState } from "preact/hooks";
import { copyText } from "./button";
import { Icon } from "./icons";
import { elementHeight } from "./scroll-window";
import { cellClass, columnEdges, placement, shorten, visibleColumns } from "./table-layout";
import { textScale } from "./text-scale";
import { useTableScroll } from "./use-table-scroll";

/** A column of a table. */
export interface TableColumn {
  name: string;
  /** A small text after the name, such as the type. */
  detail?: string;
  align?: "start" | "end";
  /** The width in pixels. Measured from the first rows if absent. */
  width?: number;
}

/** The order of the rows. */
export interface TableSort {
  column: number;
  direction: "ascending" | "descending";
}

/** The properties of a table. */
export interface VirtualTableProps {
  /** The name for screen readers. */
  label: string;
  columns: readonly TableColumn[];
  /** The number of rows. */
  rows: number;
  /** Returns the text of a cell. `null` is shown as an empty value. Called for visible cells only. */
  get(row: number, column: number): string | null;
  sort?: TableSort;
  /** Makes the heads of columns buttons that sort. */
  onSort?(column: number): void;
  /** Called on a double click on a cell, and on Enter. */
  onOpen?(row: number, column: number): void;
  /** Returns what a cell shows instead of its text. */
  renderCell?(row: number, column: number): ComponentChildren;
  rowHeight?: number;
}

/** Rows that are rendered above and below the visible ones. */
const OVERSCAN = 6;

/** A table that renders only what is visible, for any number of rows and columns. */
export function VirtualTable(props: VirtualTableProps): JSX.Element {
  const { label, columns, rows, get, rowHeight = Math.round(26 * textScale()) } = props;
  const id = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const { size, position, left, scrollTo } = useTableScroll(scroller, rows * rowHeight, rowHeight);
  const [active, setActive] = useState<CellPlace>({ row: 0, column: 0 });
  const edges = useMemo(() => columnEdges(columns, rows, get), [columns, rows, get]);

  const first = Math.max(0, Math.floor(position / rowHeight) - OVERSCAN);
  const last = Math.min(rows, Math.ceil((position + size.height) / rowHeight) + OVERSCAN);
  const visible = visibleColumns(edges, left, left + size.width);
  const width = `${edges[edges.length - 1] ?? 0}px`;
  const height = `${elementHeight({ content: rows * rowHeight, viewport: 0 })}px`;
  const isActiveShown = active.row >= first && active.row < last && visible.includes(active.column);
  // The rows are placed relative to the visible part, because the element is lower than the sum of all rows.
  const shift = (scroller.current?.scrollTop ?? 0) - position;

  const onKeyDown = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(size.height / rowHeight) - 2);
    const to = moved(event, active, { rows, columns: columns.length, page });
    if (isField(event.target)) {
      return;
    }
    if (to) {
      event.preventDefault();
      setActive(to);
      scrollTo(to.row, edges[to.column] ?? 0, edges[to.column + 1] ?? 0);
    } else if (event.key === "Enter" && event.target === event.currentTarget) {
      props.onOpen?.(active.row, active.column);
    } else if (isCopy(event)) {
      event.preventDefault();
      void copyText(get(active.row, active.column) ?? "");
    }
  };

  return (
    <div
      ref={scroller}
      class="table"
      role="grid"
      tabIndex={0}
      aria-label={label}
      aria-rowcount={rows + 1}
      aria-colcount={columns.length}
      aria-activedescendant={isActiveShown ? cellId(id, active) : undefined}
      onKeyDown={onKeyDown}
    >
      <div class="table-head" role="rowgroup" style={{ width }}>
        <HeadRow {...props} visible={visible} edges={edges} height={rowHeight + 4} />
      </div>
      <div class="table-body" role="rowgroup" style={{ width, height }}>
        {range(first, last).map((row) => (
          <BodyRow
            key={row}
            {...props}
            id={id}
            row={row}
            top={row * rowHeight + shift}
            height={rowHeight}
            visible={visible}
            edges={edges}
            activeColumn={row === active.row ? active.column : undefined}
            onActivate={(column) => setActive({ row, column })}
          />
        ))}
      </div>
    </div>
  );
}

/** The place of a cell. */
interface CellPlace {
  row: number;
  column: number;
}

/** Returns the cell that a key moves to, or `undefined` if it does not move. */
function moved(
  event: KeyboardEvent,
  { row, column }: CellPlace,
  size: { rows: number; columns: number; page: number },
): CellPlace | undefined {
  const all = event.ctrlKey || event.metaKey;
  const moves: Record<string, [number, number]> = {
    ArrowDown: [row + 1, column],
    ArrowUp: [row - 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    PageDown: [row + size.page, column],
    PageUp: [row - size.page, column],
    Home: [all ? 0 : row, 0],
    End: [all ? size.rows - 1 : row, size.columns - 1],
  };
  const to = moves[event.key];
  return to && { row: clamp(to[0], size.rows - 1), column: clamp(to[1], size.columns - 1) };
}

/** Returns whether a key copies the active cell: Ctrl+C while no text is selected. */
function isCopy(event: KeyboardEvent): boolean {
  const isSelected = document.getSelection()?.isCollapsed === false;
  return (event.ctrlKey || event.metaKey) && event.key === "c" && !isSelected;
}

/** Returns whether keys belong to a field in a cell. */
function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName);
}

/** The part of the columns that rows render. */
interface VisibleColumns {
  visible: readonly number[];
  edges: readonly number[];
  /** The height of the row, in pixels. */
  height: number;
}

function HeadRow({ columns, sort, onSort, visible, edges, height }: VirtualTableProps & VisibleColumns): JSX.Element {
  return (
    <div class="table-row" role="row" aria-rowindex={1} style={{ height: `${height}px` }}>
      {visible.map((column) => (
        <HeadCell
          key={column}
          column={columns[column]}
          index={column}
          edges={edges}
          direction={sort?.column === column ? sort.direction : undefined}
          onSort={onSort}
        />
      ))}
    </div>
  );
}

interface BodyRowProps extends VirtualTableProps, VisibleColumns {
  id: string;
  row: number;
  /** The place in the element of all rows, in pixels. */
  top: number;
  activeColumn?: number;
  onActivate(column: number): void;
}

function BodyRow(props: BodyRowProps): JSX.Element {
  const { id, columns, get, onOpen, renderCell, row, top, height, visible, edges, activeColumn, onActivate } = props;
  return (
    <div
      class={row % 2 === 0 ? "table-row" : "table-row table-row-odd"}
      role="row"
      aria-rowindex={row + 2}
      style={{ height: `${height}px`, lineHeight: `${height}px`, transform: `translateY(${top}px)` }}
    >
      {visible.map((column) => {
        const text = get(row, column);
        return (
          <div
            key={column}
            id={cellId(id, { row, column })}
            role="gridcell"
            aria-colindex={column + 1}
            class={cellClass(columns[column]?.align, text, column === activeColumn)}
            style={placement(edges, column)}
            onPointerDown={() => onActivate(column)}
            onDblClick={() => onOpen?.(row, column)}
          >
            {renderCell?.(row, column) ?? shorten(text)}
          </div>
        );
      })}
    </div>
  );
}

function cellId(id: string, { row, column }: CellPlace): string {
  return `${id}-${row}-${column}`;
}

interface HeadCellProps {
  column: TableColumn | undefined;
  index: number;
  edges: readonly number[];
  direction?: TableSort["direction"];
  onSort?(column: number): void;
}

function HeadCell({ column, index, edges, direction, onSort }: HeadCellProps): JSX.Element {
  const name = (
    <>
      <span class="table-name">{shorten(column?.name ?? "")}</span>
      {column?.detail && <span class="table-detail">{column.detail}</span>}
      {direction && <Icon name={direction === "ascending" ? "chevronUp" : "chevronDown"} size={12} />}
    </>
  );
  return (
    <div
      role="columnheader"
      aria-colindex={index + 1}
      aria-sort={direction}
      class={column?.align === "end" ? "table-cell table-cell-end" : "table-cell"}
      style={placement(edges, index)}
    >
      {onSort ? (
        <button type="button" class="table-sort" onClick={() => onSort(index)}>
          {name}
        </button>
      ) : (
        name
      )}
    </div>
  );
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(value, 0), Math.max(max, 0));
}
