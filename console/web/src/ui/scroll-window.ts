/** Maps the scroll position of an element to a position in a list that is higher than browsers allow an element to be. */

/** The maximum height of an element that all browsers lay out exactly, in pixels. */
export const MAX_HEIGHT = 8_000_000;

/** A longer move than so many visible parts is a jump of the scroll bar, whose smallest move is far longer. */
const MAX_STEPS = 4;

/** The heights that a position depends on, in pixels. */
export interface ScrollHeights {
  /** The height of all rows. */
  content: number;
  /** The height of the visible part. */
  viewport: number;
}

/** Returns the height of the element that stands for all rows. */
export function elementHeight(heights: ScrollHeights): number {
  return Math.min(heights.content, MAX_HEIGHT);
}

/** Returns the position in the list for a position of the scroll bar. */
export function toContent(scrollTop: number, heights: ScrollHeights): number {
  const scrollable = elementHeight(heights) - heights.viewport;
  const range = heights.content - heights.viewport;
  return scrollable <= 0 ? 0 : clamp((scrollTop / scrollable) * range, range);
}

/** Returns the position of the scroll bar for a position in the list. */
export function toScroll(position: number, heights: ScrollHeights): number {
  const scrollable = elementHeight(heights) - heights.viewport;
  const range = heights.content - heights.viewport;
  return range <= 0 ? 0 : clamp((position / range) * scrollable, scrollable);
}

/**
 * Returns the position in the list after the scroll bar moved. A short move moves the list by as many pixels, so that
 * wheels and fingers scroll at their own speed; a longer one is a jump of the scroll bar.
 */
export function afterScroll(position: number, before: number, after: number, heights: ScrollHeights): number {
  if (heights.content <= MAX_HEIGHT) {
    return clamp(after, heights.content - heights.viewport);
  }
  const moved = after - before;
  if (Math.abs(moved) > MAX_STEPS * heights.viewport) {
    return toContent(after, heights);
  }
  return clamp(position + moved, heights.content - heights.viewport);
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(value, 0), Math.max(max, 0));
}
