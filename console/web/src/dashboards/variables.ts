// Values of variables: where they come from, how the URL names them, and how queries get them.

import { quoteIdentifier } from "../api/schema";
import type { RouteParams } from "../router";
import { intervalText } from "../time/interval";
import { rangeParameters, resolveRange, type TimeRange } from "../time/range";
import type { Dashboard, Variable } from "./dashboard";

/** Values that a variable offers at most. */
export const MAX_VALUES = 1000;

/** Characters of a value that is part of the URL at most. */
const MAX_URL_VALUE = 500;

/** The values of variables, by name. Null is "all". */
export type VariableValues = ReadonlyMap<string, string | null>;

/** Returns the query of the values of a tag, in the time range of the dashboard. */
export function valuesQuery(table: string, column: string): string {
  const name = quoteIdentifier(column);
  const where = `time >= $from AND time < $to AND ${name} IS NOT NULL`;
  return `SELECT DISTINCT ${name} AS value FROM ${quoteIdentifier(table)} WHERE ${where} ORDER BY 1 LIMIT ${MAX_VALUES}`;
}

/** Returns the parameter of the URL for a variable. */
export function urlName(variable: Pick<Variable, "name">): string {
  return `var-${variable.name}`;
}

/** Returns the values of variables: those of the URL, or else the initial ones. */
export function valuesFromUrl(variables: readonly Variable[], params: URLSearchParams): Map<string, string | null> {
  return new Map(
    variables.map((variable) => {
      const text = params.get(urlName(variable));
      if (text === "all" && variable.hasAll) {
        return [variable.name, null];
      }
      return [variable.name, text?.startsWith("=") ? text.slice(1) : variable.initial];
    }),
  );
}

/** Returns the parameter of the URL for a value. A value that is too long for it is not part of the URL. */
export function urlValue(variable: Variable, value: string | null): RouteParams {
  const text = value === null ? "all" : `=${value}`;
  return { [urlName(variable)]: text.length > MAX_URL_VALUE ? undefined : text };
}

/** Returns the parameters of the queries of a dashboard. */
export function queryParameters(
  { variables }: Pick<Dashboard, "variables">,
  range: TimeRange,
  values: VariableValues,
  nowMs: number,
): Record<string, unknown> {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  const parameters: Record<string, unknown> = {
    ...rangeParameters(range, nowMs),
    interval: intervalText(fromMs, toMs),
  };
  for (const { name } of variables) {
    parameters[name] = values.get(name) ?? null;
  }
  return parameters;
}
