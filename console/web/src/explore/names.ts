/** Names and texts as SQL and InfluxQL write them. */

import type { QueryLanguage } from "../api/query";
import { quoteIdentifier, quoteInfluxQlIdentifier, quoteText } from "../api/schema";
import { INFLUXQL_KEYWORDS, SQL_KEYWORDS } from "./keywords";

/** Quotes a name that is not a plain word, and one that is a keyword. SQL folds names without quotes to lower case. */
export function quoteIfNeeded(name: string, language: QueryLanguage): string {
  const isPlain = language === "sql" ? /^[a-z_][a-z0-9_]*$/.test(name) : /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
  const isKeyword = (language === "sql" ? SQL_KEYWORDS : INFLUXQL_KEYWORDS).includes(name.toUpperCase());
  if (isPlain && !isKeyword) {
    return name;
  }
  return language === "sql" ? quoteIdentifier(name) : quoteInfluxQlIdentifier(name);
}

/** Returns a text as a literal of a language. */
export function textLiteral(text: string, language: QueryLanguage): string {
  return language === "sql" ? quoteText(text) : `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
