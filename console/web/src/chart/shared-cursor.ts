/** The cursor that the charts of a page share: a moment, and the chart that the pointer is in. */

import { signal } from "@preact/signals";

/** A moment that a chart shows to the others. */
export interface SharedCursor {
  /** The chart that the pointer is in. */
  source: object;
  /** In nanoseconds since 1970. */
  ns: bigint;
}

/** The moment below the pointer, if it is in a chart of times. */
export const sharedCursor = signal<SharedCursor | undefined>(undefined);
