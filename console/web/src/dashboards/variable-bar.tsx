/** The variables of a dashboard and their selected values. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { setParams } from "../router";
import { rangeParameters, type TimeRange } from "../time/range";
import { Select, TextField } from "../ui";
import type { Variable } from "./dashboard";
import { type CellQuery, useQuery } from "./use-query";
import { MAX_VALUES, urlValue, type VariableValues, valuesQuery } from "./variables";

/** Values from which a field with suggestions is easier than a list. */
const MAX_LISTED = 200;

/** The option of a list that means all values. Values of the database have a prefix. */
const ALL = "all";

/** The properties of the variables. */
export interface VariableBarProps {
  database: string;
  variables: readonly Variable[];
  values: VariableValues;
  range: TimeRange;
  tick: number;
}

/** The values of the variables of a dashboard. */
export function VariableBar({ database, variables, values, range, tick }: VariableBarProps): JSX.Element {
  return (
    <div class="variable-bar" role="group" aria-label="Variables">
      {variables.map((variable) => (
        <VariableField
          key={variable.name}
          database={database}
          variable={variable}
          value={values.get(variable.name) ?? null}
          range={range}
          tick={tick}
        />
      ))}
    </div>
  );
}

function VariableField(props: {
  database: string;
  variable: Variable;
  value: string | null;
  range: TimeRange;
  tick: number;
}): JSX.Element {
  const { variable, value } = props;
  const { known, error } = useKnownValues(props);
  const choose = (chosen: string | null): void => setParams(urlValue(variable, chosen));
  if (variable.source.kind === "text" || known.length > MAX_LISTED || error !== undefined) {
    return (
      <TextField
        label={variable.name}
        value={value ?? ""}
        placeholder={variable.hasAll ? "all" : undefined}
        suggestions={known.slice(0, MAX_LISTED)}
        error={error}
        onInput={(text) => choose(text === "" && variable.hasAll ? null : text)}
      />
    );
  }
  const listed = value === null || known.includes(value) ? known : [value, ...known];
  const options = listed.map((text) => ({ value: `=${text}`, label: text === "" ? "(empty)" : text.slice(0, 120) }));
  const first = variable.hasAll ? { value: ALL, label: "All" } : { value: ALL, label: "Choose", disabled: true };
  return (
    <Select
      label={variable.name}
      value={value === null ? ALL : `=${value}`}
      options={[first, ...options]}
      onChange={(option) => choose(option === ALL ? null : option.slice(1))}
    />
  );
}

function useKnownValues(props: { database: string; variable: Variable; range: TimeRange; tick: number }): {
  known: string[];
  error: string | undefined;
} {
  const { database, variable, range, tick } = props;
  const { source } = variable;
  // The range is not moved along with each refresh, because the values rarely change.
  const query = useMemo((): CellQuery | undefined => {
    if (source.kind !== "tag") {
      return undefined;
    }
    const parameters = rangeParameters(range, Date.now());
    return { database, text: valuesQuery(source.table, source.column), language: "sql", parameters };
  }, [database, source, range.from, range.to]);
  const { result, error } = useQuery(query, query === undefined ? 0 : Math.floor(tick / 10));
  const known = useMemo(() => {
    if (source.kind === "list") {
      return source.values;
    }
    const column = result?.columns[0];
    return column === undefined
      ? []
      : Array.from({ length: Math.min(MAX_VALUES, result?.rows ?? 0) }, (_, row) => String(column.get(row) ?? ""));
  }, [source, result]);
  return { known, error: error === undefined ? undefined : errorText(error) };
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 300) : "The values can't be read.";
}
