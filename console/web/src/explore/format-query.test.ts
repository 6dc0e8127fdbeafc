import { expect, test } from "vitest";
import { formatQuery } from "./format-query";
import { isMeaningful, tokenize } from "./tokens";

const QUERIES = [
  "select bed, date_bin(interval '1 hour', time) as hour, avg(moisture) from soil where time >= $from and time < $to group by bed, hour order by hour desc limit 10",
  "with a as (select * from b where x between 1 and 2 and y is not null), c as (select 1) select * from a left join c on a.x = c.y where a.z in (1,2,3) or not exists (select 1 from d)",
  'select "select", t."from", -1, a - -1, x::text, list[1] -- note\nfrom "odd name" /* two */ where a = \'it\'\'s\'',
  "select extract(epoch from time), a is distinct from b from t; select 2;",
  "select case when a > 1 then 'x' else 'y' end from t union all select row_number() over (partition by a order by b) from u",
  "",
  "   ;;  ",
];

test("a_query_is_laid_out_by_clauses", () => {
  expect(formatQuery(QUERIES[0] ?? "", "sql")).toMatchInlineSnapshot(`
    "SELECT bed,
      date_bin(INTERVAL '1 hour', time) AS hour,
      avg(moisture)
    FROM soil
    WHERE time >= $from
      AND time < $to
    GROUP BY bed, hour
    ORDER BY hour DESC
    LIMIT 10"
  `);
});

test("subqueries_are_indented", () => {
  expect(formatQuery(QUERIES[1] ?? "", "sql")).toMatchInlineSnapshot(`
    "WITH a AS (SELECT * FROM b WHERE x BETWEEN 1 AND 2 AND y IS NOT NULL),
      c AS (SELECT 1)
    SELECT *
    FROM a
    LEFT JOIN c ON a.x = c.y
    WHERE a.z IN (1, 2, 3)
      OR NOT EXISTS (SELECT 1 FROM d)"
  `);
});

test("formatting_changes_only_spaces_and_the_case_of_keywords", () => {
  for (const query of QUERIES) {
    const formatted = formatQuery(query, "sql");
    expect(meaning(formatted)).toEqual(meaning(query));
    expect(comments(formatted)).toEqual(comments(query));
  }
});

test("no_mixture_of_tokens_changes_its_meaning", () => {
  const parts = [
    "select",
    "from",
    "a",
    '"b"',
    "'c'",
    "1",
    "1.5",
    ".",
    ",",
    "(",
    ")",
    "-",
    "+",
    "*",
    "/",
    "--x\n",
    "/*y*/",
  ];
  parts.push("$p", "::", "and", "between", "group by", "join", "left", ";", "[", "]", "|", "<", "=", ":", "10m");
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: 1 + random(12) }, () => parts[random(parts.length)] + " ".repeat(random(2))).join(
      "",
    );
    expect(meaning(formatQuery(text, "sql"))).toEqual(meaning(text));
  }
});

test("formatting_twice_changes_nothing_more", () => {
  for (const query of QUERIES) {
    const once = formatQuery(query, "sql");
    expect(formatQuery(once, "sql")).toBe(once);
  }
});

test("influxql_keeps_its_durations_and_regular_expressions", () => {
  const query = "select mean(a) from /^c/ where host =~ /x y/ and time > now() - 1h group by time(10m), * fill(none)";
  expect(formatQuery(query, "influxql")).toMatchInlineSnapshot(`
    "SELECT mean(a)
    FROM /^c/
    WHERE host =~ /x y/
      AND time > now() - 1h
    GROUP BY time(10m), *
    FILL(NONE)"
  `);
});

function meaning(text: string): string[] {
  return tokenize(text)
    .filter(isMeaningful)
    .map(({ kind, text: part }) => (kind === "word" ? part.toUpperCase() : part));
}

function comments(text: string): string[] {
  return tokenize(text)
    .filter(({ kind }) => kind === "comment")
    .map(({ text: part }) => part);
}
