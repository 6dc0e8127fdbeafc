import { describe, expect, it } from "vitest";
import { type Cell, GRID_COLUMNS } from "./dashboard";
import { arrange, freePlace, gridRows, moveCell, overlaps, resizeCell } from "./layout";

function cell(id: string, x: number, y: number, width: number, height: number): Cell {
  const place = { x, y, width, height };
  return {
    id,
    title: id,
    view: "chart",
    place,
    database: "",
    language: "sql",
    query: "",
    chart: { kind: "line" },
    note: "",
  };
}

function places(cells: readonly Cell[]): Record<string, number[]> {
  return Object.fromEntries(cells.map(({ id, place }) => [id, [place.x, place.y, place.width, place.height]]));
}

/** Fails if cells overlap, leave the grid, or float. */
function check(cells: readonly Cell[]): void {
  for (const one of cells) {
    expect(one.place.x).toBeGreaterThanOrEqual(0);
    expect(one.place.x + one.place.width).toBeLessThanOrEqual(GRID_COLUMNS);
    for (const other of cells) {
      expect(one !== other && overlaps(one.place, other.place)).toBe(false);
    }
    const isHeld = cells.some(
      ({ place }) => overlaps({ ...one.place, y: one.place.y - 1 }, place) && place !== one.place,
    );
    expect(one.place.y === 0 || isHeld).toBe(true);
  }
}

describe("a grid", () => {
  it("has no overlaps and no free rows", () => {
    const cells = arrange([cell("a", 0, 5, 6, 2), cell("b", 3, 5, 6, 2), cell("c", 0, 90, 12, 1)]);
    check(cells);
    expect(places(cells)).toEqual({ a: [0, 0, 6, 2], b: [3, 2, 6, 2], c: [0, 4, 12, 1] });
    expect(gridRows(cells)).toBe(5);
  });

  it("gives a moved cell its place, and pushes others down", () => {
    const cells = arrange([cell("a", 0, 0, 6, 2), cell("b", 6, 0, 6, 2), cell("c", 0, 2, 6, 2)]);
    const moved = moveCell(cells, "c", 6, 0);
    check(moved);
    expect(places(moved)).toEqual({ a: [0, 0, 6, 2], c: [6, 0, 6, 2], b: [6, 2, 6, 2] });
  });

  it("lets a cell pass the one below it", () => {
    const cells = arrange([cell("a", 0, 0, 12, 3), cell("b", 0, 3, 12, 2)]);
    const moved = moveCell(cells, "a", 0, 2);
    check(moved);
    expect(places(moved)).toEqual({ b: [0, 0, 12, 2], a: [0, 2, 12, 3] });
  });

  it("keeps cells inside its columns", () => {
    const cells = [cell("a", 0, 0, 6, 2)];
    expect(places(moveCell(cells, "a", 99, -4))).toEqual({ a: [6, 0, 6, 2] });
    expect(places(resizeCell(cells, "a", 99, 0))).toEqual({ a: [0, 0, 12, 1] });
    expect(moveCell(cells, "none", 1, 1)).toEqual(cells);
  });

  it("finds a free place beside others, or below them", () => {
    const cells = [cell("a", 0, 0, 6, 4)];
    expect(freePlace(cells, 6, 4)).toEqual({ x: 6, y: 0, width: 6, height: 4 });
    expect(freePlace(cells, 8, 2)).toEqual({ x: 0, y: 4, width: 8, height: 2 });
  });

  it("stays valid after any moves", () => {
    let cells = arrange(Array.from({ length: 12 }, (_, i) => cell(String(i), i % 9, i, 1 + (i % 5), 1 + (i % 3))));
    let state = 11;
    const random = (limit: number): number => {
      state = (state * 48271) % 2147483647;
      return state % limit;
    };
    for (let step = 0; step < 300; step++) {
      const id = String(random(12));
      cells = step % 2 ? moveCell(cells, id, random(14) - 1, random(30)) : resizeCell(cells, id, random(14), random(6));
      expect(cells).toHaveLength(12);
      check(cells);
    }
  });
});
