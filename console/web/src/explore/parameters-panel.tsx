/** Asks for the values of the placeholders of a query. */

import type { JSX } from "preact";
import { Select, TextField } from "../ui";
import { inputOf, type ParameterInput, type ParameterType, parameterError, userPlaceholders } from "./parameters";
import { type QueryTab, updateTab } from "./query-tabs";

/** Asks for the values of the placeholders of a query. Shows nothing if there are none. */
export function ParametersPanel({ tab, onRun }: { tab: QueryTab; onRun(): void }): JSX.Element | null {
  const names = userPlaceholders(tab.text, tab.language);
  if (names.length === 0) {
    return null;
  }
  const set = (name: string, change: Partial<ParameterInput>) => {
    const input = { ...inputOf(tab.parameters, name), ...change };
    updateTab(tab.id, { parameters: { ...tab.parameters, [name]: input } });
  };
  return (
    <fieldset class="parameters">
      <legend class="visually-hidden">Parameters</legend>
      {names.map((name) => {
        const input = inputOf(tab.parameters, name);
        return (
          <div class="parameter" key={name}>
            <span class="parameter-name monospace" aria-hidden="true">
              ${name}
            </span>
            {input.type === "boolean" ? (
              <Select
                label={`Value of $${name}`}
                isLabelHidden
                value={input.value === "true" ? "true" : "false"}
                options={["true", "false"]}
                onChange={(value) => set(name, { value })}
              />
            ) : (
              <TextField
                label={`Value of $${name}`}
                isLabelHidden
                value={input.type === "null" ? "" : input.value}
                disabled={input.type === "null"}
                onInput={(value) => set(name, { value })}
                onEnter={onRun}
                error={parameterError(input)}
                isMonospace
              />
            )}
            <Select
              label={`Type of $${name}`}
              isLabelHidden
              value={input.type}
              options={["text", "number", "boolean", "null"]}
              onChange={(type: ParameterType) => set(name, { type })}
            />
          </div>
        );
      })}
    </fieldset>
  );
}
