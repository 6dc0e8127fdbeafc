/** The name and sign of the product. */

import type { JSX } from "preact";

/** The name and sign of the product. */
export function Logo(): JSX.Element {
  return (
    <span class="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <rect width="32" height="32" rx="7" />
        <path d="M4 13c4 0 4 3 8 3s4-3 8-3 4 3 8 3M4 20c4 0 4 3 8 3s4-3 8-3 4 3 8 3" />
      </svg>
      Neap
    </span>
  );
}
