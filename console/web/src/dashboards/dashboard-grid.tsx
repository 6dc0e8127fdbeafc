/** The grid of a dashboard, whose cells are moved and resized by pointer and keyboard. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Moment } from "../chart/guides";
import { Icon } from "../ui";
import { type Cell, GRID_COLUMNS } from "./dashboard";
import { DashboardCell } from "./dashboard-cell";
import { gridRows, moveCell, resizeCell } from "./layout";

/** The properties of a grid. */
export interface DashboardGridProps {
  database: string;
  cells: Cell[];
  isEditing: boolean;
  parameters: Record<string, unknown>;
  range: { from: bigint; to: bigint } | undefined;
  /** Moments that all charts mark. */
  moments: readonly Moment[];
  tick: number;
  onCells(cells: Cell[]): void;
  onEdit(cell: Cell): void;
  onRemove(cell: Cell): void;
  onDuplicate(cell: Cell): void;
}

/** A cell that is being dragged: how, from where, and the places of all cells meanwhile. */
interface Drag {
  kind: "move" | "resize";
  id: string;
  startX: number;
  startY: number;
  before: Cell[];
}

/** The cells of a dashboard, on a grid of 12 columns; below each other if the page is narrow. */
export function DashboardGrid(props: DashboardGridProps): JSX.Element {
  const { cells, isEditing, onCells } = props;
  const grid = useRef<HTMLDivElement>(null);
  const drag = useRef<Drag | undefined>(undefined);
  const [preview, setPreview] = useState<Cell[]>();
  const [spoken, setSpoken] = useState("");
  const shown = preview ?? cells;
  const announce = (next: Cell[], id: string): void => setSpoken(describePlace(next, id));
  const onPointerMove = (event: PointerEvent): void => {
    if (drag.current !== undefined && grid.current !== null) {
      setPreview(dragged(drag.current, event, gridSteps(grid.current)));
    }
  };
  const endDrag = (isKept: boolean): void => {
    if (drag.current !== undefined && preview !== undefined && isKept) {
      onCells(preview);
      announce(preview, drag.current.id);
    }
    drag.current = undefined;
    setPreview(undefined);
  };
  const startDrag = (kind: Drag["kind"], id: string, event: PointerEvent): void => {
    if (event.button === 0 && event.currentTarget instanceof Element) {
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      drag.current = { kind, id, startX: event.clientX, startY: event.clientY, before: cells };
    }
  };
  const onKey = (cell: Cell, event: KeyboardEvent): void => {
    const next = placedByKey(cells, cell, event);
    if (next !== undefined) {
      event.preventDefault();
      onCells(next);
      announce(next, cell.id);
    }
  };
  return (
    <div class="dashboard-grid-box">
      <div
        class={isEditing ? "dashboard-grid dashboard-grid-editing" : "dashboard-grid"}
        ref={grid}
        style={{ "--rows": String(gridRows(shown)) }}
        onPointerMove={onPointerMove}
        onPointerUp={() => endDrag(true)}
        onPointerCancel={() => endDrag(false)}
      >
        {shown.map((cell) => (
          <article
            key={cell.id}
            class={drag.current?.id === cell.id ? "dashboard-cell dashboard-cell-dragged" : "dashboard-cell"}
            aria-label={cell.title || "Cell without a title"}
            style={{
              "--x": String(cell.place.x + 1),
              "--y": String(cell.place.y + 1),
              "--w": String(cell.place.width),
              "--h": String(cell.place.height),
            }}
          >
            <DashboardCell
              {...props}
              cell={cell}
              handle={
                isEditing && (
                  <button
                    type="button"
                    class="cell-handle"
                    aria-label={`Move ${cell.title || "the cell"}: arrow keys move it, Shift and arrow keys resize it`}
                    onPointerDown={(event) => startDrag("move", cell.id, event)}
                    onKeyDown={(event) => onKey(cell, event)}
                  >
                    <Icon name="drag" />
                  </button>
                )
              }
            />
            {isEditing && (
              <div
                class="cell-resize"
                aria-hidden="true"
                onPointerDown={(event) => startDrag("resize", cell.id, event)}
              />
            )}
          </article>
        ))}
      </div>
      <p class="visually-hidden" aria-live="polite">
        {spoken}
      </p>
    </div>
  );
}

/** The distances of the columns and of the rows of a grid, in CSS pixels. */
interface GridSteps {
  column: number;
  row: number;
}

function gridSteps(grid: HTMLElement): GridSteps {
  const style = getComputedStyle(grid);
  const gap = Number.parseFloat(style.rowGap) || 0;
  return {
    column: (grid.clientWidth + gap) / GRID_COLUMNS,
    row: (Number.parseFloat(style.gridAutoRows) || 1) + gap,
  };
}

/** Returns the cells at the present place of the pointer. */
function dragged({ kind, id, startX, startY, before }: Drag, event: PointerEvent, steps: GridSteps): Cell[] {
  const cell = before.find((one) => one.id === id);
  if (cell === undefined) {
    return before;
  }
  const columns = (event.clientX - startX) / steps.column;
  const rows = (event.clientY - startY) / steps.row;
  const { place } = cell;
  return kind === "move"
    ? moveCell(before, id, place.x + columns, place.y + rows)
    : resizeCell(before, id, place.width + columns, place.height + rows);
}

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Returns the cells after a key on the handle of one. */
function placedByKey(cells: Cell[], { id, place }: Cell, event: KeyboardEvent): Cell[] | undefined {
  const step = STEPS[event.key];
  if (step === undefined) {
    return undefined;
  }
  const [columns, rows] = step;
  return event.shiftKey
    ? resizeCell(cells, id, place.width + columns, place.height + rows)
    : moveCell(cells, id, place.x + columns, place.y + rows);
}

function describePlace(cells: readonly Cell[], id: string): string {
  const place = cells.find((cell) => cell.id === id)?.place;
  return place === undefined
    ? ""
    : `Column ${place.x + 1}, row ${place.y + 1}, ${place.width} columns wide, ${place.height} rows high.`;
}
