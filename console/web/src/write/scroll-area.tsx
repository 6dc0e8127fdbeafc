/** A part of the page that scrolls, also with the keyboard. */

import type { ComponentChildren, JSX } from "preact";

export interface ScrollAreaProps {
  /** The name for screen readers. */
  label: string;
  class: string;
  children: ComponentChildren;
}

/** A part of the page that scrolls, also with the keyboard. */
export function ScrollArea({ label, class: className, children }: ScrollAreaProps): JSX.Element {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
    <section class={className} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
