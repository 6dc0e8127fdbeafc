/** A bar that shows a share. */

import type { JSX } from "preact";

/** A bar that shows a share. */
export function Share({ value, label }: { value: number; label: string }): JSX.Element {
  const percent = Math.min(100, Math.max(0, value * 100));
  return (
    <meter class="share" min={0} max={100} value={percent} aria-label={`${label}: ${percent.toFixed(1)} %`}>
      {percent.toFixed(1)} %
    </meter>
  );
}
