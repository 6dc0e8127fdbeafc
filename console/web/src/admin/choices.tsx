/** Check boxes of which any number can be chosen. */

import type { JSX } from "preact";
import { Checkbox } from "../ui";

export interface ChoicesProps {
  label: string;
  options: readonly { id: string; label: string; detail?: string }[];
  chosen: readonly string[];
  onChange(chosen: string[]): void;
}

/** Check boxes of which any number can be chosen. */
export function Choices({ label, options, chosen, onChange }: ChoicesProps): JSX.Element {
  return (
    <fieldset class="admin-choices">
      <legend class="field-label">{label}</legend>
      {options.map(({ id, label: text, detail }) => (
        <Checkbox
          key={id}
          label={
            <>
              {text}
              {detail !== undefined && <span class="muted"> {detail}</span>}
            </>
          }
          isChecked={chosen.includes(id)}
          onChange={(isChecked) => onChange(isChecked ? [...chosen, id] : chosen.filter((other) => other !== id))}
        />
      ))}
    </fieldset>
  );
}
