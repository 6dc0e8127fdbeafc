/** The dialects of the editor: keywords and functions of SQL and InfluxQL. */

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { SQLDialect, sql } from "@codemirror/lang-sql";
import type { Extension } from "@codemirror/state";
import { EditorState } from "@codemirror/state";
import type { QueryLanguage } from "../api/query";
import { type CompletionSchema, type Suggestion, suggest } from "./completion";
import { INFLUXQL_FUNCTIONS, INFLUXQL_KEYWORDS, SQL_KEYWORDS, SQL_TYPE_NAMES } from "./keywords";
import { textLiteral } from "./names";
import { promqlLanguage } from "./promql-language";
import { statementAt } from "./statements";
import { tagPlace } from "./tag-values";

const SQL = SQLDialect.define({
  keywords: SQL_KEYWORDS.join(" ").toLowerCase(),
  types: SQL_TYPE_NAMES.join(" ").toLowerCase(),
  operatorChars: "*+-%<>!=&|~^/:",
  specialVar: "$",
  identifierQuotes: '"',
});

const INFLUXQL = SQLDialect.define({
  keywords: INFLUXQL_KEYWORDS.join(" ").toLowerCase(),
  builtin: INFLUXQL_FUNCTIONS.map(({ name }) => name).join(" "),
  backslashEscapes: true,
  operatorChars: "*+-%<>!=~/:",
  specialVar: "$",
  identifierQuotes: '"',
});

/** The suggestions of the keyboard are below names and functions. */
const KEYWORD_BOOST = -10;

/** Returns the colours and the completion of a language. `schema` is read at each completion. */
export function queryLanguage(language: QueryLanguage, schema: () => CompletionSchema): Extension {
  if (language === "promql") {
    return promqlLanguage(schema);
  }
  const complete = (context: CompletionContext) => completeQuery(context, language, schema());
  return [
    sql({ dialect: language === "sql" ? SQL : INFLUXQL }).language,
    EditorState.languageData.of(() => [{ autocomplete: complete, commentTokens: { line: "--" } }]),
  ];
}

async function completeQuery(
  context: CompletionContext,
  language: QueryLanguage,
  schema: CompletionSchema,
): Promise<CompletionResult | null> {
  const text = context.state.doc.toString();
  const statement = statementAt(text, context.pos, language);
  const start = statement && context.pos >= statement.start ? statement.start : context.pos;
  const place = context.pos - start;
  const body = statement?.text.padEnd(place) ?? "";
  const tag = schema.values && tagPlace(body, place, language, schema.tables);
  if (tag && schema.values) {
    const values = await schema.values(tag);
    const before = body.slice(tag.from, place);
    const closing = context.state.sliceDoc(context.pos, context.pos + 1) === "'" && before !== "" ? 1 : 0;
    return {
      from: start + tag.from,
      to: context.pos + closing,
      options: values.map((value) => ({ label: textLiteral(value, language), type: "text" })),
      // The filter of the editor compares with what stands before the cursor only.
      filter: closing === 0,
      validFor: closing === 0 ? /^'?[^']*$/ : undefined,
    };
  }
  const found = suggest(body, place, language, schema);
  if (!found) {
    return null;
  }
  const before = body[found.from - 1] ?? "";
  if (!context.explicit && found.from === place && before !== "." && before !== "$") {
    return null;
  }
  return {
    from: start + found.from,
    options: found.items.map(toCompletion),
    validFor: /^[$"\p{L}\p{N}_.]*$/u,
  };
}

function toCompletion(item: Suggestion): Completion {
  return {
    label: item.label,
    apply: item.insert,
    type: { table: "class", column: "property", function: "function", keyword: "keyword", parameter: "variable" }[
      item.kind
    ],
    detail: item.detail,
    info: item.info,
    boost: item.boost ?? (item.kind === "keyword" ? KEYWORD_BOOST : 0),
  };
}
