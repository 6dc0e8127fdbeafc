/** Ends queries that other clients run. */

import { ApiError, getJson } from "../api/client";
import { INTERNAL_DATABASE, quoteText } from "../api/schema";
import { type LoggedQuery, querySystem } from "./system-tables";

/** The answer of the interface of InfluxDB 1. */
interface InfluxqlAnswer {
  results: { error?: string; series?: { columns: string[]; values: unknown[][] }[] }[];
}

/** A running query, as `SHOW QUERIES` lists it. */
export interface NumberedQuery {
  /** The number that `KILL QUERY` takes. */
  qid: number;
  query: string;
  database: string;
}

/**
 * Ends a running query of the process. Throws an `Error` if it has ended, or if the server refuses. Administrators only.
 */
export async function killQuery(query: LoggedQuery, database: string): Promise<void> {
  const text = `SELECT id FROM system.queries WHERE running AND query_text = ${quoteText(query.query_text)}
    ORDER BY issue_time`;
  const running = await querySystem<{ id: string }>(database, text);
  const place = running.findIndex(({ id }) => id === query.id);
  const listed = readQueries(await influxql("GET", "SHOW QUERIES"));
  const number = numberOf(listed, query.query_text, database, place);
  if (number === undefined) {
    throw new Error("The query has ended.");
  }
  await influxql("POST", `KILL QUERY ${number}`);
}

/** Returns the number of a query: the one at `place` of those with the same text, the oldest first. */
export function numberOf(
  listed: readonly NumberedQuery[],
  text: string,
  database: string,
  place: number,
): number | undefined {
  const isSame = (other: NumberedQuery) =>
    other.query === text && (database === INTERNAL_DATABASE || other.database === database);
  return listed.filter(isSame)[place]?.qid;
}

/** Returns the rows of `SHOW QUERIES`. */
export function readQueries({ results }: InfluxqlAnswer): NumberedQuery[] {
  return (results[0]?.series ?? []).flatMap(({ columns, values }) =>
    values.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]])) as unknown as NumberedQuery),
  );
}

/** Executes a statement of InfluxQL, whose error InfluxDB 1 answers with status 200. Throws `ApiError` if it fails. */
export async function influxql(method: "GET" | "POST", q: string): Promise<InfluxqlAnswer> {
  const answer = await getJson<InfluxqlAnswer>("/query", { method, query: { q } });
  const error = answer.results[0]?.error;
  if (error !== undefined) {
    throw new ApiError(error, 400);
  }
  return answer;
}
