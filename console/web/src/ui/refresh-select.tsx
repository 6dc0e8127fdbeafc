/** Chooses the automatic refresh. */

import type { JSX } from "preact";
import { REFRESHES, type Refresh, refreshOf, refreshText } from "../time/refresh";
import { Select } from "./fields";

/** Chooses the automatic refresh. */
export function RefreshSelect({ value, onChange }: { value: Refresh; onChange(refresh: Refresh): void }): JSX.Element {
  return (
    <Select
      label="Automatic refresh"
      isLabelHidden
      class="refresh-select"
      value={String(value)}
      options={REFRESHES.map((refresh) => ({ value: String(refresh), label: refreshText(refresh) }))}
      onChange={(chosen) => onChange(refreshOf(chosen))}
    />
  );
}
