// Decimation of series to the pixels of a chart.
//
// M4 keeps the first, the smallest, the largest and the last point of each pixel column. A line through these points
// colours the same pixels as a line through all points, so nothing is lost that the eye could see.

/** Points of a series in the order of `xs`. A `NaN` in `ys` is a gap. */
export interface Points {
  xs: Float64Array;
  ys: Float64Array;
}

/** Points that remain for a column of pixels. */
export const POINTS_PER_PIXEL = 4;

/** Returns the index of the first element that is not less than `x`. */
export function lowerBound(xs: Float64Array, x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((xs[middle] ?? Number.NaN) < x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Returns the index of the element nearest to `x`, or -1 if there is none. */
export function nearestIndex(xs: Float64Array, x: number): number {
  const after = lowerBound(xs, x);
  if (after === 0) {
    return xs.length === 0 ? -1 : 0;
  }
  if (after === xs.length) {
    return after - 1;
  }
  const right = xs[after] ?? Number.NaN;
  const left = xs[after - 1] ?? Number.NaN;
  return x - left <= right - x ? after - 1 : after;
}

/**
 * Returns the points between `from` and `to`, and the neighbour on each side, reduced to at most four of each of
 * `pixels` columns. Gaps remain: between two drawn points of a column or of different columns there is a `NaN` if
 * there is one in the series. `gap` is the largest distance in `xs` that is no gap.
 */
export function decimate(points: Points, from: number, to: number, pixels: number, gap: number): Points {
  const { xs } = points;
  const start = Math.max(0, lowerBound(xs, from) - 1);
  const end = Math.min(xs.length, lowerBound(xs, to) + 1);
  const columns = Math.max(1, Math.floor(pixels));
  const count = end - start;
  const out = new PointBuffer(Math.min(count, (columns + 2) * POINTS_PER_PIXEL) * 2 + 8);
  if (count <= columns * POINTS_PER_PIXEL) {
    copy(points, start, end, gap, out);
    return out.points();
  }
  reduce(points, start, end, { from, width: (to - from) / columns, gap }, out);
  return out.points();
}

/** The columns of pixels, and the largest distance that is no gap. */
interface PixelColumns {
  from: number;
  width: number;
  gap: number;
}

/** Writes the four points of each column of pixels. The loop has no calls for most points: there may be millions. */
function reduce({ xs, ys }: Points, start: number, end: number, columns: PixelColumns, out: PointBuffer): void {
  const { from, width, gap } = columns;
  const column = { first: -1, last: -1, lowest: -1, highest: -1 };
  let columnEnd = Number.NEGATIVE_INFINITY;
  let low = 0;
  let high = 0;
  let previous = Number.NaN;
  for (let i = start; i < end; i++) {
    const x = xs[i] as number;
    const y = ys[i] as number;
    if (!(x < columnEnd) || x - previous > gap || Number.isNaN(y)) {
      writeColumn(column, xs, ys, out);
      if (Number.isNaN(y)) {
        out.gap(x);
      } else if (x - previous > gap) {
        out.gap((previous + x) / 2);
      }
      columnEnd = width > 0 ? from + (Math.floor((x - from) / width) + 1) * width : Number.POSITIVE_INFINITY;
    }
    previous = x;
    if (Number.isNaN(y)) {
      continue;
    }
    if (column.first < 0) {
      column.first = i;
      column.lowest = i;
      column.highest = i;
      low = y;
      high = y;
    } else if (y < low) {
      column.lowest = i;
      low = y;
    } else if (y > high) {
      column.highest = i;
      high = y;
    }
    column.last = i;
  }
  writeColumn(column, xs, ys, out);
}

/** The indexes of the points of a column of pixels that are drawn. */
interface PixelColumn {
  first: number;
  last: number;
  lowest: number;
  highest: number;
}

/** Writes the points of a column in their order, and empties it. */
function writeColumn(column: PixelColumn, xs: Float64Array, ys: Float64Array, out: PointBuffer): void {
  const { first, last, lowest, highest } = column;
  if (first < 0) {
    return;
  }
  const early = Math.min(lowest, highest);
  const late = Math.max(lowest, highest);
  let written = -1;
  for (const index of [first, early, late, last]) {
    if (index > written) {
      out.push(xs[index] as number, ys[index] as number);
      written = index;
    }
  }
  column.first = -1;
}

function copy(points: Points, start: number, end: number, gap: number, out: PointBuffer): void {
  for (let i = start; i < end; i++) {
    const x = points.xs[i] as number;
    const previous = i > start ? (points.xs[i - 1] as number) : Number.NaN;
    if (x - previous > gap) {
      out.gap((previous + x) / 2);
    }
    const y = points.ys[i] as number;
    if (Number.isNaN(y)) {
      out.gap(x);
    } else {
      out.push(x, y);
    }
  }
}

/** Points that grow. */
class PointBuffer {
  private xs: Float64Array;
  private ys: Float64Array;
  private length = 0;

  constructor(capacity: number) {
    this.xs = new Float64Array(capacity);
    this.ys = new Float64Array(capacity);
  }

  push(x: number, y: number): void {
    if (this.length === this.xs.length) {
      this.xs = grown(this.xs);
      this.ys = grown(this.ys);
    }
    this.xs[this.length] = x;
    this.ys[this.length] = y;
    this.length += 1;
  }

  /** Adds a gap, unless the last element is one. */
  gap(x: number): void {
    const last = this.length - 1;
    if (last >= 0 && !Number.isNaN(this.ys[last] as number)) {
      this.push(x, Number.NaN);
    }
  }

  points(): Points {
    return { xs: this.xs.subarray(0, this.length), ys: this.ys.subarray(0, this.length) };
  }
}

function grown(values: Float64Array): Float64Array {
  const larger = new Float64Array(values.length * 2 + 8);
  larger.set(values);
  return larger;
}
