/** A line between two parts, which resizes them. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";

/** The properties of a splitter. */
export interface SplitterProps {
  /** The name for screen readers: what it resizes. */
  label: string;
  /** `vertical`: a vertical line that changes a width. */
  orientation: "vertical" | "horizontal";
  /** The size of the part before the splitter, in pixels. */
  value: number;
  min: number;
  max: number;
  onChange(value: number): void;
}

/** The change by an arrow key, in pixels. */
const STEP = 24;

/** A line between two parts of a view that resizes the first one, by pointer or arrow keys. */
export function Splitter({ label, orientation, value, min, max, onChange }: SplitterProps): JSX.Element {
  const start = useRef<{ at: number; value: number } | undefined>(undefined);
  const place = (event: PointerEvent) => (orientation === "vertical" ? event.clientX : event.clientY);
  const set = (to: number) => onChange(Math.round(Math.min(Math.max(to, min), max)));
  return (
    <div
      role="separator"
      class={`splitter splitter-${orientation}`}
      tabIndex={0}
      aria-label={label}
      aria-orientation={orientation}
      aria-valuenow={value}
      aria-valuemin={min}
      aria-valuemax={max}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = { at: place(event), value };
      }}
      onPointerMove={(event) => {
        if (start.current) {
          set(start.current.value + place(event) - start.current.at);
        }
      }}
      onPointerUp={() => {
        start.current = undefined;
      }}
      onPointerCancel={() => {
        start.current = undefined;
      }}
      onKeyDown={(event) => {
        const step = { ArrowLeft: -STEP, ArrowUp: -STEP, ArrowRight: STEP, ArrowDown: STEP }[event.key];
        if (step !== undefined) {
          event.preventDefault();
          set(value + step);
        }
      }}
    />
  );
}
