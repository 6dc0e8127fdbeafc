// Places of cells on the grid. Cells do not overlap, and none floats: each stands on another one or at the top.

import { type Cell, type CellPlace, GRID_COLUMNS, MAX_CELL_HEIGHT } from "./dashboard";

/** Returns whether two places share a field of the grid. */
export function overlaps(a: CellPlace, b: CellPlace): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/**
 * Returns cells without overlaps and without free rows between them. `first` is the cell that keeps its place if
 * another one wants it too.
 */
export function arrange(cells: readonly Cell[], first?: string): Cell[] {
  const inOrder = [...cells].sort(
    (a, b) =>
      a.place.y - b.place.y ||
      Number(b.id === first) - Number(a.id === first) ||
      a.place.x - b.place.x ||
      (a.id < b.id ? -1 : 1),
  );
  const placed: Cell[] = [];
  for (const cell of inOrder) {
    const x = Math.max(0, Math.min(cell.place.x, GRID_COLUMNS - cell.place.width));
    placed.push({ ...cell, place: { ...cell.place, x, y: lowestFree({ ...cell.place, x }, placed) } });
  }
  return placed.sort((a, b) => a.place.y - b.place.y || a.place.x - b.place.x);
}

/** Returns the row below the lowest cell that is above a place, or below the cells that overlap it. */
function lowestFree(place: CellPlace, placed: readonly Cell[]): number {
  let y = 0;
  for (const other of placed) {
    const sharesColumn = place.x < other.place.x + other.place.width && other.place.x < place.x + place.width;
    if (sharesColumn) {
      y = Math.max(y, other.place.y + other.place.height);
    }
  }
  return y;
}

/** Returns cells of which one was moved. */
export function moveCell(cells: readonly Cell[], id: string, x: number, y: number): Cell[] {
  return replacePlace(cells, id, (place) => ({
    ...place,
    x: clamp(x, 0, GRID_COLUMNS - place.width),
    y: Math.max(0, Math.round(y)),
  }));
}

/** Returns cells of which one got another size. */
export function resizeCell(cells: readonly Cell[], id: string, width: number, height: number): Cell[] {
  return replacePlace(cells, id, (place) => ({
    ...place,
    width: clamp(width, 1, GRID_COLUMNS - place.x),
    height: clamp(height, 1, MAX_CELL_HEIGHT),
  }));
}

function replacePlace(cells: readonly Cell[], id: string, change: (place: CellPlace) => CellPlace): Cell[] {
  const moved = cells.find((cell) => cell.id === id);
  if (moved === undefined) {
    return [...cells];
  }
  const before = moved.place;
  const place = change(before);
  const others = cells.flatMap((cell) => {
    if (cell.id === id) {
      return [];
    }
    // A cell that the moved one passes on its way down takes the free place above it.
    const isPassed =
      place.y > before.y && overlaps(cell.place, { ...place, y: before.y, height: place.height + place.y - before.y });
    const isAbove = isPassed && cell.place.y + cell.place.height / 2 <= place.y + place.height;
    return [isAbove ? { ...cell, place: { ...cell.place, y: before.y } } : pushedDown(cell, place)];
  });
  return arrange([...others, { ...moved, place }], id);
}

/** Returns a cell below a place if it is in its way. */
function pushedDown(cell: Cell, place: CellPlace): Cell {
  return overlaps(cell.place, place) ? { ...cell, place: { ...cell.place, y: place.y + place.height } } : cell;
}

/** Returns the first place with room for a cell of a size. */
export function freePlace(cells: readonly Cell[], width: number, height: number): CellPlace {
  const bottom = gridRows(cells);
  for (let y = 0; y < bottom; y++) {
    for (let x = 0; x + width <= GRID_COLUMNS; x++) {
      const place = { x, y, width, height };
      if (cells.every((cell) => !overlaps(cell.place, place))) {
        return place;
      }
    }
  }
  return { x: 0, y: bottom, width, height };
}

/** Returns the number of rows that cells take. */
export function gridRows(cells: readonly Cell[]): number {
  return cells.reduce((rows, { place }) => Math.max(rows, place.y + place.height), 0);
}

function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, Math.round(value)));
}
