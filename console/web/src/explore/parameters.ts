/** The placeholders of a query and their values. */

import type { QueryLanguage } from "../api/query";
import { intervalText } from "../time/interval";
import { type ResolvedRange, rangeParameters, resolveRange, type TimeRange } from "../time/range";
import { textLiteral } from "./names";
import { placeholders } from "./statements";
import { tokenize } from "./tokens";

/** The types of values of placeholders. */
export type ParameterType = "text" | "number" | "boolean" | "null";

/** The value of a placeholder as the user typed it. */
export interface ParameterInput {
  type: ParameterType;
  value: string;
}

/** The names that the time range fills. */
export const RANGE_PARAMETERS: readonly string[] = ["from", "to", "interval"];

/** Returns whether the answer of a query depends on the time range. Each query in PromQL is evaluated over it. */
export function usesRange(text: string, language: QueryLanguage): boolean {
  const names = placeholders(text, language);
  return language === "promql" || names.includes("from") || names.includes("to");
}

/** Returns whether a query has finer points in a shorter range. */
export function hasFinerPoints(text: string, language: QueryLanguage): boolean {
  const names = placeholders(text, language);
  return language === "promql" || ["from", "to", "interval"].every((name) => names.includes(name));
}

/** Returns the names of the placeholders that the user fills. */
export function userPlaceholders(text: string, language: QueryLanguage): string[] {
  return placeholders(text, language).filter((name) => !RANGE_PARAMETERS.includes(name));
}

/** Returns what the user typed for a placeholder, or an empty text. */
export function inputOf(inputs: Readonly<Record<string, ParameterInput>>, name: string): ParameterInput {
  // A placeholder may have the name of a property that every object has.
  return (Object.hasOwn(inputs, name) ? inputs[name] : undefined) ?? { type: "text", value: "" };
}

/** Returns why the value of a placeholder is not valid, or `undefined`. */
export function parameterError(input: ParameterInput): string | undefined {
  if (input.type === "number" && (input.value.trim() === "" || Number.isNaN(Number(input.value)))) {
    return "This is not a number.";
  }
  return undefined;
}

/**
 * Returns the values of the placeholders that a text uses. A placeholder without a value is the empty text. The range that
 * is `shown` is that of the data, if the ends of the other one are open: it decides about `$interval`.
 */
export function parameterValues(
  text: string,
  language: QueryLanguage,
  inputs: Readonly<Record<string, ParameterInput>>,
  range: TimeRange,
  nowMs: number,
  shown: ResolvedRange = {},
): Record<string, unknown> {
  const { fromMs = shown.fromMs, toMs = shown.toMs } = resolveRange(range, nowMs);
  const times: Record<string, string> = { ...rangeParameters(range, nowMs), interval: intervalText(fromMs, toMs) };
  // The range is part of each query in PromQL, whether or not its text uses it.
  const names =
    language === "promql" ? [...RANGE_PARAMETERS, ...placeholders(text, language)] : placeholders(text, language);
  return Object.fromEntries(
    names.map((name) => {
      const time = RANGE_PARAMETERS.includes(name) ? times[name] : undefined;
      return [name, time ?? typedValue(inputOf(inputs, name))];
    }),
  );
}

/** Replaces the placeholders of a text by their values, for tools that take no parameters. */
export function inlineParameters(text: string, language: QueryLanguage, values: Record<string, unknown>): string {
  return tokenize(text, language)
    .map((token) => (token.kind === "parameter" ? literal(values[token.text.slice(1)], language) : token.text))
    .join("");
}

function typedValue({ type, value }: ParameterInput): unknown {
  switch (type) {
    case "number":
      return Number(value);
    case "boolean":
      return value === "true";
    case "null":
      return null;
    case "text":
      return value;
  }
}

function literal(value: unknown, language: QueryLanguage): string {
  if (typeof value === "string") {
    return textLiteral(value, language);
  }
  return value === null || value === undefined ? "NULL" : String(value);
}
