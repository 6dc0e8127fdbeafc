//! Short statements with huge plans.

use super::QueryTestInstance;

async fn refusal(one: &QueryTestInstance, sql: &str) -> String {
    let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
    let (status, answer) = one.post(body).await;
    assert_eq!(status, 400, "{answer}");
    answer
}

#[tokio::test]
async fn statements_whose_plans_are_huge_are_refused_before_they_are_planned() {
    let one = QueryTestInstance::with_rows("cpu,host=a v=1 1700000000000000000").await;
    let joined = |number: usize| {
        format!(", c{} AS (SELECT a.v FROM c{number} a JOIN c{number} b USING (v))", number + 1)
    };
    let chain: String = (0..29).map(joined).collect();
    let doubled = format!("WITH c0 AS (SELECT v FROM cpu){chain} SELECT count(*) FROM c29");
    assert!(doubled.len() < 2_000);
    let answer = refusal(&one, &doubled).await;
    assert_contains!(answer, "counting those of WITH at each reference");
    // A quote in a comment hides nothing.
    refusal(&one, &format!("--'\n{doubled}")).await;
    let columns: Vec<_> = (0..24).map(|number| format!("v+{number}")).collect();
    let cube = format!("SELECT count(*) FROM cpu GROUP BY CUBE ({})", columns.join(","));
    let answer = refusal(&one, &cube).await;
    assert!(answer.contains("16777216 grouping sets"), "{answer}");
    let tables: Vec<_> = (0..20_000).map(|number| format!("cpu c{number}")).collect();
    let answer = refusal(&one, &format!("SELECT count(*) FROM {}", tables.join(","))).await;
    assert!(answer.contains("20000 tables"), "{answer}");
    // The other queries are answered.
    assert_eq!(one.sql("SELECT v FROM cpu").await, "v\n1.0\n");
    let small = "WITH a AS (SELECT v FROM cpu), b AS (SELECT * FROM a UNION ALL SELECT * FROM a) \
                 SELECT v, count(*) AS n FROM b GROUP BY ROLLUP (v) ORDER BY n, v";
    assert_eq!(one.sql(small).await, "v,n\n1.0,2\n,2\n");
}

#[tokio::test]
async fn filters_over_columns_that_double_stay_small() {
    let one = QueryTestInstance::with_rows("cpu,host=a v=1 1700000000000000000").await;
    let doubled =
        |number: usize| format!(", c{} AS (SELECT v + v AS v FROM c{number})", number + 1);
    let chain: String = (0..40).map(doubled).collect();
    let with = format!("WITH c0 AS (SELECT v FROM cpu){chain}");
    let repeated = vec!["v"; 100].join(" + ");
    let nested = (0..10).fold("cpu".to_owned(), |table, _| {
        format!("(SELECT ({repeated}) / 100 AS v FROM {table})")
    });
    for (sql, value) in [
        (format!("{with} SELECT v FROM c40 WHERE v > 1"), "1099511627776.0"),
        (
            format!("{with} SELECT v FROM c40 WHERE v > (SELECT min(v) FROM cpu)"),
            "1099511627776.0",
        ),
        (format!("SELECT v FROM {nested} WHERE v > 0"), "1.0"),
    ] {
        assert_eq!(one.sql(&sql).await, format!("v\n{value}\n"));
    }
}

#[tokio::test]
async fn measurements_of_influxql_are_no_joins() {
    let one = QueryTestInstance::alone().await;
    let lines: Vec<_> = (0..150).map(|number| format!("m{number} v={number}")).collect();
    one.write(&lines.join("\n")).await;
    let names: Vec<_> = (0..150).map(|number| format!("m{number}")).collect();
    let statement = format!("SELECT v FROM {} WHERE host <> 'with'", names.join(", "));
    let rows = one.influxql(&statement).await;
    assert!(rows.contains("m149"), "{rows}");
}
