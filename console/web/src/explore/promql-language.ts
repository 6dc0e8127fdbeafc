/** The language PromQL in the editor: colours, and completion of metrics, labels and functions. */

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { StreamLanguage } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { EditorState } from "@codemirror/state";
import type { Table } from "../api/schema";
import type { CompletionSchema } from "./completion";

const AGGREGATIONS =
  "sum avg min max count group stddev stdvar topk bottomk quantile count_values limitk limit_ratio".split(" ");

const KEYWORDS = "by without on ignoring group_left group_right bool offset and or unless start end".split(" ");

const COLOURED_WORDS = new Set([...KEYWORDS, ...AGGREGATIONS]);

const FUNCTIONS = (
  "rate irate increase delta idelta deriv predict_linear resets changes avg_over_time min_over_time max_over_time " +
  "sum_over_time count_over_time quantile_over_time stddev_over_time stdvar_over_time last_over_time " +
  "first_over_time present_over_time absent_over_time histogram_quantile histogram_fraction histogram_count histogram_sum " +
  "histogram_avg abs ceil floor round clamp clamp_min clamp_max exp ln log2 log10 sqrt sgn time timestamp minute hour " +
  "day_of_week day_of_month days_in_month month year info label_replace label_join absent scalar vector sort sort_desc"
).split(" ");

/** Metrics among the suggestions at most. */
const MAX_METRICS = 2_000;

const PARSER = StreamLanguage.define<null>({
  name: "promql",
  startState: () => null,
  languageData: { commentTokens: { line: "#" } },
  token(stream) {
    if (stream.eatSpace()) {
      return null;
    }
    if (stream.match(/^#.*/)) {
      return "comment";
    }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?|^'(?:[^'\\]|\\.)*'?|^`[^`]*`?/)) {
      return "string";
    }
    if (stream.match(/^\d[\w.]*/)) {
      return "number";
    }
    if (stream.match(/^[A-Za-z_:][\w:]*/)) {
      if (COLOURED_WORDS.has(stream.current())) {
        return "keyword";
      }
      return stream.peek() === "(" ? "meta" : "variableName";
    }
    stream.next();
    return "operator";
  },
});

/** Returns the metrics of tables: numbers and booleans are metrics of their own, `value` has the name of its table. */
export function metricsOf(tables: readonly Table[]): string[] {
  const metrics = tables.flatMap(({ name: table, columns }) => {
    return columns
      .filter(({ role, type }) => role === "field" && /^(Float|Int|UInt|Boolean)/.test(type))
      .map(({ name }) => (name === "value" ? table : `${table}_${name}`));
  });
  return [...new Set(metrics)].slice(0, MAX_METRICS);
}

/** Suggests labels in braces and lists of labels, and metrics and functions elsewhere. */
export function suggestPromql(before: string, tables: readonly Table[]): Completion[] | undefined {
  const outside = before.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '""');
  if (/["'`#][^\n"'`]*$/.test(outside.replaceAll('""', "")) || /[\d][\w.]*$/.test(outside)) {
    return undefined;
  }
  const labels = tables.flatMap(({ columns }) => columns.flatMap(({ name, role }) => (role === "tag" ? [name] : [])));
  const isInBraces = outside.lastIndexOf("{") > outside.lastIndexOf("}");
  const isInLabels = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*$/.test(outside);
  if (isInBraces || isInLabels) {
    return [...new Set(labels)].map((label) => ({ label, type: "property", detail: "label" }));
  }
  return [
    ...metricsOf(tables).map((label): Completion => {
      const apply = /^[A-Za-z_:][\w:]*$/.test(label) ? label : `{"${label.replace(/[\\"]/g, "\\$&")}"}`;
      return { label, apply, type: "class", detail: "metric", boost: 20 };
    }),
    ...FUNCTIONS.map((label): Completion => ({ label, apply: `${label}(`, type: "function" })),
    ...AGGREGATIONS.map((label): Completion => ({ label, type: "function", detail: "aggregation" })),
    ...KEYWORDS.map((label): Completion => ({ label, type: "keyword", boost: -10 })),
  ];
}

/** Returns the colours and the completion of PromQL. `schema` is read at each completion. */
export function promqlLanguage(schema: () => CompletionSchema): Extension {
  const complete = (context: CompletionContext): CompletionResult | null => {
    const word = context.matchBefore(/[\w:]*/);
    const isEmpty = word === null || word.from === word.to;
    const options = suggestPromql(context.state.sliceDoc(0, context.pos), schema().tables);
    if (options === undefined || (isEmpty && !context.explicit)) {
      return null;
    }
    return { from: word?.from ?? context.pos, options, validFor: /^[\w:]*$/ };
  };
  return [PARSER, EditorState.languageData.of(() => [{ autocomplete: complete }])];
}
