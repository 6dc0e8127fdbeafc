// Queries between Grafana and this page: macros and variables of Grafana are parameters here.

import type { QueryLanguage } from "../api/query";

/** A column or an expression that a macro or a comparison names. */
const NAME = String.raw`"[^"]+"|[\w.]+`;

/** The macros of SQL, and what they are here. Their first group is the column. */
const SQL_MACROS: readonly [RegExp, string][] = [
  [/\$__timeFilter\(([^()]*)\)/g, "$1 >= $$from AND $1 < $$to"],
  [/\$__dateBinAlias\(([^()]*)\)/g, "date_bin($$interval, $1) AS time_binned"],
  [/\$__dateBin\(([^()]*)\)/g, "date_bin($$interval, $1)"],
  [/\$__timeGroupAlias\(([^(),]*),\s*\$__interval[^()]*\)/g, "date_bin($$interval, $1) AS time"],
  [/\$__timeGroupAlias\(([^(),]*),\s*'?(\w+)'?[^()]*\)/g, "date_bin(INTERVAL '$2', $1) AS time"],
  [/\$__timeGroup\(([^(),]*),\s*\$__interval[^()]*\)/g, "date_bin($$interval, $1)"],
  [/\$__timeGroup\(([^(),]*),\s*'?(\w+)'?[^()]*\)/g, "date_bin(INTERVAL '$2', $1)"],
  [/\$__(?:timeFrom|fromTime)(?:\(\))?/g, "$$from"],
  [/\$__(?:timeTo|toTime)(?:\(\))?/g, "$$to"],
  [/'?\$\{__from:date(?::iso)?\}'?/g, "$$from"],
  [/'?\$\{__to:date(?::iso)?\}'?/g, "$$to"],
  [/\$__interval\b/g, "$$interval"],
];

/** Returns a query of Grafana with the parameters of this page. `all`: the variables that may have no value. */
export function fromGrafana(text: string, language: QueryLanguage, all: ReadonlySet<string>): string {
  const named = text.replace(/\[\[(\w+)(?::\w+)?\]\]|\$\{(\w+)(?::\w+)?\}/g, (whole, old?: string, name?: string) =>
    (old ?? name ?? "").startsWith("__") ? whole : `$${old ?? name}`,
  );
  switch (language) {
    case "sql":
      return withoutAll(unquoted(replaced(named.trim(), SQL_MACROS)), all);
    case "influxql":
      return unquoted(named)
        .replace(/\$timeFilter\b/g, "time >= $from AND time < $to")
        .replace(/\$__interval\b/g, "$interval");
    case "promql":
      return named.replace(/\$__(interval|rate_interval|range)\b/g, "$$$1");
  }
}

/** Returns a query of this page with the macros and variables of Grafana. */
export function toGrafana(text: string, language: QueryLanguage): string {
  if (language === "promql") {
    return text.replace(/\$(interval|rate_interval|range)\b/g, "$$__$1");
  }
  const filter = new RegExp(String.raw`(${NAME})\s*>=\s*\$from\s+AND\s+\1\s*<\s*\$to\b`, "gi");
  if (language === "influxql") {
    const timed = text.replace(filter, "$$timeFilter").replace(/\$interval\b/g, "$$__interval");
    return timed.replace(/\$(from|to)\b/g, "$${__$1}ms").replace(/([=<>]\s*)\$(?!_|\{)(\w+)/g, "$1'$$$2'");
  }
  const all = new RegExp(String.raw`\(\$(\w+) IS NULL OR (${NAME}) = \$\1\)`, "gi");
  return text
    .replace(filter, "$$__timeFilter($1)")
    .replace(/date_bin\(\s*\$interval,\s*([^()]*)\)/gi, "$$__dateBin($1)")
    .replace(/\$interval\b/g, "$$__interval")
    .replace(/\$(from|to)\b/g, "'$${__$1:date:iso}'")
    .replace(all, "$2 IN ($${$1:singlequote})")
    .replace(/\$(?!_|\{)(\w+)/g, "$${$1:singlequote}");
}

function replaced(text: string, macros: readonly [RegExp, string][]): string {
  return macros.reduce((sofar, [macro, value]) => sofar.replace(macro, value), text);
}

/** Variables are values here, and texts there. */
function unquoted(text: string): string {
  return text.replace(/'(\$(?!_)\w+)'/g, "$1");
}

/** Returns a query whose conditions hold if a variable has no value. */
function withoutAll(text: string, all: ReadonlySet<string>): string {
  const condition = new RegExp(String.raw`(${NAME})\s*(?:=\s*\$(\w+)|IN\s*\(\s*\$(\w+)\s*\))`, "gi");
  return text.replace(condition, (whole, column: string, equal?: string, listed?: string) => {
    const name = equal ?? listed ?? "";
    if (all.has(name)) {
      return `($${name} IS NULL OR ${column} = $${name})`;
    }
    return listed === undefined ? whole : `${column} = $${name}`;
  });
}

interface BuilderPart {
  type: string;
  params: string[];
}

/** The parts of a query of the editor of InfluxQL. */
export interface BuilderQuery {
  measurement: string;
  policy: string;
  select: BuilderPart[][];
  tags: { key: string; operator: string; value: string; condition: string }[];
  groupBy: BuilderPart[];
}

/** Returns the statement of a query of Grafana's editor of InfluxQL. */
export function builderStatement({ measurement, policy, select, tags, groupBy }: BuilderQuery): string {
  const quote = (name: string): string =>
    name.startsWith("/") || name === "*" ? name : `"${name.replaceAll('"', '\\"')}"`;
  const expressions = select.map((parts) =>
    parts.reduce((inner, { type, params }) => {
      const [first = ""] = params;
      switch (type) {
        case "field":
          return quote(first);
        case "math":
          return `${inner}${first}`;
        case "alias":
          return `${inner} AS ${quote(first)}`;
        default:
          return `${type}(${[inner, ...params].join(", ")})`;
      }
    }, ""),
  );
  const conditions = tags.map(({ key, operator, value, condition }, at) => {
    const isRegex = /^\/.*\/$/.test(value);
    const compared = isRegex ? value : `'${value.replaceAll("'", "\\'")}'`;
    const word = at === 0 ? "" : `${condition || "AND"} `;
    return `${word}${quote(key)} ${operator || (isRegex ? "=~" : "=")} ${compared}`;
  });
  const groups = groupBy.filter(({ type }) => type !== "fill");
  const keys = groups.map(({ type, params }) => (type === "time" ? `time(${params[0]})` : quote(params[0] ?? "")));
  const fill = groupBy.find(({ type }) => type === "fill")?.params[0];
  const place = [...(policy === "" || policy === "default" ? [] : [quote(policy)]), quote(measurement)].join(".");
  return [
    `SELECT ${expressions.join(", ")} FROM ${place}`,
    `WHERE ${conditions.length === 0 ? "" : `(${conditions.join(" ")}) AND `}$timeFilter`,
    ...(keys.length === 0 ? [] : [`GROUP BY ${keys.join(", ")}`]),
    ...(fill === undefined || keys.length === 0 ? [] : [`fill(${fill})`]),
  ].join(" ");
}
