/** A query as a command or program for other tools. */

import { promqlRequest } from "../api/promql";
import type { QueryLanguage } from "../api/query";
import { queryPath, sentText } from "../api/query";
import { formatMoment } from "../time/range";
import { inlineParameters } from "./parameters";

/** A query as other tools run it. Never contains a token: the tools read it from the environment. */
export interface CopiedQuery {
  /** The address of the server: `http://127.0.0.1:8181`. */
  origin: string;
  database: string;
  text: string;
  language: QueryLanguage;
  parameters: Record<string, unknown>;
  asOf?: string;
  /** Whether the server requires tokens. */
  needsToken: boolean;
}

/** Quotes a text for POSIX shells. */
export function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns a command of curl. */
export function toCurl(query: CopiedQuery): string {
  const lines = [`curl ${quoteShell(query.origin + queryPath(query.language))}`];
  if (query.needsToken) {
    lines.push(`--header "Authorization: Bearer $NEAP_AUTH_TOKEN"`);
  }
  if (query.asOf) {
    lines.push(`--header ${quoteShell(`x-neap-as-of: ${query.asOf}`)}`);
  }
  return [...lines, ...curlContent(query)].join(" \\\n  ");
}

/** Returns the options of curl for the content of a request. */
function curlContent(query: CopiedQuery): string[] {
  if (query.language === "promql") {
    const { parameters } = promqlRequest(query, Date.now());
    return Object.entries(parameters).map(([name, value]) => `--data-urlencode ${quoteShell(`${name}=${value}`)}`);
  }
  const body: Record<string, unknown> = { db: query.database, q: sentText(query), format: "csv" };
  if (Object.keys(query.parameters).length > 0) {
    body.params = query.parameters;
  }
  return [`--data-binary ${quoteShell(JSON.stringify(body))}`];
}

/** Returns a command of the program `neap`. It takes no parameters, so the values are in the text. */
export function toNeap(query: CopiedQuery): string {
  const lines = [`neap query --host ${quoteShell(query.origin)} --database ${quoteShell(query.database)}`];
  if (query.language === "influxql") {
    lines.push("--language influxql");
  }
  if (query.asOf) {
    lines.push(`--as-of ${quoteShell(query.asOf)}`);
  }
  const promql = query.language === "promql" ? promqlRequest(query, Date.now()).parameters : undefined;
  if (promql) {
    const [start, end] = [promql.start, promql.end].map((at) => formatMoment(Number(at) * 1000));
    lines.push(`--language promql --start ${start} --end ${end} --step ${promql.step}s`);
  }
  const text = promql?.query ?? inlineParameters(sentText(query), query.language, query.parameters);
  lines.push(text.startsWith("-") ? `-- ${quoteShell(text)}` : quoteShell(text));
  const command = lines.join(" \\\n  ");
  return query.needsToken ? `# Reads the token from the environment variable NEAP_AUTH_TOKEN.\n${command}` : command;
}

/** Returns a program for the Python library of InfluxDB 3. */
export function toPython(query: CopiedQuery): string {
  const token = query.needsToken ? 'os.environ["NEAP_AUTH_TOKEN"]' : '""';
  const lines = [
    ...(query.needsToken ? ["import os", ""] : []),
    "from influxdb_client_3 import InfluxDBClient3",
    "",
    `query = ${quotePython(sentText(query))}`,
    `with InfluxDBClient3(host=${quotePython(query.origin)}, token=${token}, database=${quotePython(query.database)}) as client:`,
    "    table = client.query(",
    "        query,",
    `        language=${quotePython(query.language)},`,
    '        mode="pandas",',
  ];
  if (Object.keys(query.parameters).length > 0) {
    lines.push(`        query_parameters=${pythonValue(query.parameters)},`);
  }
  if (query.asOf) {
    lines.push(`        headers=[(b"x-neap-as-of", b${quotePython(query.asOf)})],`);
  }
  lines.push("    )", "print(table)");
  return lines.join("\n");
}

function quotePython(text: string): string {
  return JSON.stringify(text);
}

function pythonValue(value: unknown): string {
  if (value === null || value === undefined) {
    return "None";
  }
  if (typeof value === "boolean") {
    return value ? "True" : "False";
  }
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([name, inner]) => `${quotePython(name)}: ${pythonValue(inner)}`);
    return `{${entries.join(", ")}}`;
  }
  return typeof value === "string" ? quotePython(value) : String(value);
}
