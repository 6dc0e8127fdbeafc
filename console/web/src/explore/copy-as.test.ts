import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { type CopiedQuery, quoteShell, toCurl, toNeap, toPython } from "./copy-as";

const QUERY: CopiedQuery = {
  origin: "http://127.0.0.1:8181",
  database: "home",
  text: "SELECT * FROM home WHERE room = $room -- it's",
  language: "sql",
  parameters: { room: "Kitchen", n: 1, is: true },
  asOf: "2026-01-31T12:00:00Z",
  needsToken: true,
};

test("a_query_becomes_a_command_of_curl_without_the_token", () => {
  expect(toCurl(QUERY)).toMatchInlineSnapshot(`
    "curl 'http://127.0.0.1:8181/api/v3/query_sql' \\
      --header "Authorization: Bearer $NEAP_AUTH_TOKEN" \\
      --header 'x-neap-as-of: 2026-01-31T12:00:00Z' \\
      --data-binary '{"db":"home","q":"SELECT * FROM home WHERE room = $room -- it'\\''s","format":"csv","params":{"room":"Kitchen","n":1,"is":true}}'"
  `);
});

test("a_query_in_promql_becomes_a_command_of_curl_for_the_same_range_and_state", () => {
  const parameters = { from: "2026-01-31T11:00:00Z", to: "2026-01-31T12:00:00Z" };
  expect(toCurl({ ...QUERY, language: "promql", text: "rate(x[$interval])", parameters })).toMatchInlineSnapshot(`
    "curl 'http://127.0.0.1:8181/prometheus/api/v1/query_range' \\
      --header "Authorization: Bearer $NEAP_AUTH_TOKEN" \\
      --header 'x-neap-as-of: 2026-01-31T12:00:00Z' \\
      --data-urlencode 'db=home' \\
      --data-urlencode 'query=rate(x[15s])' \\
      --data-urlencode 'start=1769857200' \\
      --data-urlencode 'end=1769860800' \\
      --data-urlencode 'step=15'"
  `);
});

test("the_interval_of_windows_in_influxql_is_filled_for_every_tool", () => {
  const text = "SELECT mean(v) FROM m WHERE time >= $from GROUP BY time($interval)";
  const parameters = { from: "2026-01-31T11:00:00Z", interval: "5 minutes" };
  for (const form of [toCurl, toNeap, toPython]) {
    const copied = form({ ...QUERY, language: "influxql", text, parameters });
    expect(copied).toContain("GROUP BY time(5m)");
    expect(copied).not.toContain("$interval");
  }
});

test("a_query_becomes_a_program_in_python", () => {
  expect(toPython(QUERY)).toMatchInlineSnapshot(`
    "import os

    from influxdb_client_3 import InfluxDBClient3

    query = "SELECT * FROM home WHERE room = $room -- it's"
    with InfluxDBClient3(host="http://127.0.0.1:8181", token=os.environ["NEAP_AUTH_TOKEN"], database="home") as client:
        table = client.query(
            query,
            language="sql",
            mode="pandas",
            query_parameters={"room": "Kitchen", "n": 1, "is": True},
            headers=[(b"x-neap-as-of", b"2026-01-31T12:00:00Z")],
        )
    print(table)"
  `);
});

test("a_query_becomes_a_command_of_neap_with_its_values", () => {
  expect(toNeap(QUERY)).toMatchInlineSnapshot(`
    "# Reads the token from the environment variable NEAP_AUTH_TOKEN.
    neap query --host 'http://127.0.0.1:8181' --database 'home' \\
      --as-of '2026-01-31T12:00:00Z' \\
      'SELECT * FROM home WHERE room = '\\''Kitchen'\\'' -- it'\\''s'"
  `);
});

test("a_shell_reads_back_any_text", () => {
  for (const text of ["", "it's", '$(date) `date` \\ " !', "a\nb", "'; rm -rf /; '"]) {
    expect(execFileSync("sh", ["-c", `printf %s ${quoteShell(text)}`]).toString()).toBe(text);
  }
});
