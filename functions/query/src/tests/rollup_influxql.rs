//! Queries in InfluxQL and queries that fill gaps, which materialized views in SQL answer.

use axum::body::Body;
use http::Request;

use super::{
    QueryTestInstance,
    rollup_rewrite::{line, with_view},
};

/// The times of the rows.
const TIMES: &str = "time >= '2023-11-14T15:20:00Z' AND time < '2023-11-15T06:00:00Z'";

/// Queries in InfluxQL, without `WHERE`, that the view answers exactly.
const ANSWERED: [(&str, &str); 9] = [
    ("mean(v), max(i), sum(i), count(v)", "time(1h), host, region fill(none)"),
    ("mean(v), median(v)", "time(1h), host, region"),
    ("max(i) - min(i)", "time(2h), host fill(0)"),
    ("count(i)", "time(3h, 1h) fill(previous)"),
    ("spread(i)", "host"),
    ("max(i)", "time(1h), host fill(linear)"),
    ("count(v)", "host, region"),
    ("count(i) + sum(i)", "time(1d) fill(none)"),
    ("sum(i)", "time(4h)"),
];

/// Queries in InfluxQL that need rows of the source.
const NOT_ANSWERED: [(&str, &str); 8] = [
    ("max(v)", "time(1h), host"),
    ("last(v)", "time(1h), host, region"),
    ("count(s)", "time(1h), host"),
    ("max(i)", "time(30m), host"),
    ("mean(v)", "time(1h), host"),
    ("mean(i)", "time(1h), host, region"),
    ("percentile(i, 90)", "time(1h), host, region"),
    ("derivative(max(v), 1h)", "time(1h), host, region"),
];

/// Gap-filling queries in SQL that the view answers.
const GAP_FILLING: [&str; 4] = [
    "SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, host, region, avg(v) AS m, count(*) AS n FROM cpu \
     WHERE time >= '2023-11-14T15:20:00Z' AND time < '2023-11-15T06:00:00Z' GROUP BY 1, 2, 3 ORDER BY 2, 3, 1",
    "SELECT date_bin_gapfill(INTERVAL '2 hours', time) AS t, locf(max(i)) AS m, count(v) AS n FROM cpu \
     WHERE time >= '2023-11-14T15:00:00Z' AND time < '2023-11-15T06:00:00Z' GROUP BY 1 ORDER BY 1",
    "SELECT date_bin_gapfill(INTERVAL '3 hours', time, TIMESTAMP '2023-11-14T01:00:00') AS t, host, \
     interpolate(min(i)) AS m FROM cpu WHERE time > '2023-11-14T15:00:00Z' AND time < now() + INTERVAL '3 hours' \
     AND host = 'b' GROUP BY 1, 2 ORDER BY 1",
    "SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, count(i) AS n FROM cpu WHERE i IS NOT NULL AND \
     time >= '2023-11-14T15:00:00Z' AND time < '2023-11-15T06:00:00Z' GROUP BY 1 ORDER BY 1",
];

impl QueryTestInstance {
    /// Answers a statement by an interface for InfluxQL, with this value of `x-neap-rollups`.
    async fn influxql_with_rollups(&self, path: &str, statement: &str, usage: &str) -> String {
        let query = url_encoded(&[("db", "db"), ("q", statement)]);
        let request = Request::get(format!("{path}?{query}"))
            .header("x-neap-rollups", usage)
            .body(Body::empty());
        let (status, body) = self.send(request.unwrap()).await;
        assert_eq!(status, 200, "{statement}: {body}");
        body
    }
}

fn url_encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Returns whether a view answers a statement. Checks that it has the answer of the source on both interfaces.
async fn is_answered(one: &QueryTestInstance, statement: &str, usage: &str) -> bool {
    for path in ["/query", "/api/v3/query_influxql"] {
        let expected = one.influxql_with_rollups(path, statement, "off").await;
        let answer = one.influxql_with_rollups(path, statement, usage).await;
        assert_eq!(answer, expected, "{path}: {statement}");
        assert!(answer.contains("2023-11") || answer.contains("host"), "{statement}: {answer}");
    }
    let explain = format!("EXPLAIN {statement}");
    let plan = one.influxql_with_rollups("/api/v3/query_influxql", &explain, usage).await;
    plan.contains("TableScan: hourly")
}

fn statement((outputs, groups): (&str, &str)) -> String {
    format!("SELECT {outputs} FROM cpu WHERE {TIMES} GROUP BY {groups}")
}

#[tokio::test]
async fn a_view_answers_influxql() {
    let one = with_view().await;
    for query in ANSWERED {
        assert!(is_answered(&one, &statement(query), "exact").await, "{query:?}");
    }
    for query in NOT_ANSWERED {
        assert!(!is_answered(&one, &statement(query), "exact").await, "{query:?}");
    }
    let conditions = [
        ("host = 'a' AND region = 'eu'", true),
        ("host =~ /a|b/ AND region != ''", true),
        ("v > 3", false),
    ];
    for (condition, expected) in conditions {
        let statement =
            format!("SELECT max(i) FROM cpu WHERE {TIMES} AND {condition} GROUP BY time(1h), host");
        assert_eq!(is_answered(&one, &statement, "exact").await, expected, "{condition}");
    }
    // Floats are added in another order.
    let inexact = statement(("mean(v), sum(v)", "time(2h), host"));
    assert!(!is_answered(&one, &inexact, "exact").await);
    assert!(is_answered(&one, &inexact, "on").await);
    let nested = format!(
        "SELECT max(m) FROM (SELECT sum(i) AS m FROM cpu WHERE {TIMES} GROUP BY time(1h), host) GROUP BY host"
    );
    assert!(is_answered(&one, &nested, "exact").await);
}

#[tokio::test]
async fn a_group_without_values_of_the_field_has_no_rows() {
    let one = with_view().await;
    // Hosts without values of `i`, and of `v`.
    one.write(&line("host=c,region=eu", 30, "s=\"x\"")).await;
    one.write(&line("host=d,region=eu", 30, "i=4i")).await;
    for _ in 0..2 {
        for query in ANSWERED {
            is_answered(&one, &statement(query), "exact").await;
        }
        one.flush().await;
        one.refresh().await;
    }
    for query in ANSWERED {
        assert!(is_answered(&one, &statement(query), "exact").await, "{query:?}");
    }
    for condition in ["i IS NOT NULL", "i IS NOT NULL OR v IS NOT NULL"] {
        let sql = format!(
            "SELECT host, max(i) AS m FROM cpu WHERE {condition} GROUP BY host ORDER BY host"
        );
        one.assert_answered(&sql, "exact").await;
    }
    for sql in [
        // The number of rows with a value of either field is unknown.
        "SELECT host, count(*) AS n FROM cpu WHERE i IS NOT NULL OR v IS NOT NULL GROUP BY host ORDER BY host",
        "SELECT host, count(v) AS n FROM cpu WHERE i IS NOT NULL GROUP BY host ORDER BY host",
        "SELECT host, max(s) AS n FROM cpu WHERE s IS NOT NULL GROUP BY host ORDER BY host",
    ] {
        assert!(!one.reads_view(sql, "exact").await, "{sql}");
    }
    one.assert_answered("SELECT count(*) AS n FROM cpu WHERE i IS NOT NULL", "exact")
        .await;
}

#[tokio::test]
async fn a_view_answers_queries_that_fill_gaps() {
    let one = with_view().await;
    for change in [None, Some(line("host=a,region=eu", 70, "i=100i,v=2"))] {
        if let Some(change) = change {
            one.write(&change).await;
        }
        for sql in GAP_FILLING {
            one.assert_answered(sql, "exact").await;
        }
    }
}

#[tokio::test]
async fn a_view_answers_subqueries_that_rename_columns() {
    let one = with_view().await;
    let sql = "SELECT h, max(number) AS m FROM (SELECT time, host AS h, i AS number FROM cpu WHERE host <> 'c') AS t \
               GROUP BY h ORDER BY h";
    one.assert_answered(sql, "exact").await;
    let shifted = "SELECT max(number) AS m, min(time) AS t FROM \
                   (SELECT time + INTERVAL '1 hour' AS time, i AS number FROM cpu) AS t";
    assert!(!one.reads_view(shifted, "exact").await);
}

#[tokio::test]
async fn a_view_does_not_answer_for_another_database() {
    let one = with_view().await;
    let body = bytes::Bytes::from(line("host=a,region=eu", 0, "v=1000,i=1000i"));
    let written = one.service.write("other", body, neap_write::WriteOptions::default());
    written.await.unwrap();
    let sum = async |from: &str| {
        let statement = format!("SELECT sum(i) FROM {from} WHERE {TIMES} GROUP BY host fill(none)");
        let explained = format!("EXPLAIN {statement}");
        let plan = one.influxql_with_rollups("/query", &explained, "on").await;
        let is_answered = plan.contains("TableScan: hourly");
        let answer = one.influxql_with_rollups("/query", &statement, "on").await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let value = answer["results"][0]["series"][0]["values"][0][1].as_i64();
        (is_answered, value.unwrap())
    };
    let (is_answered, alone) = sum("cpu").await;
    assert!(is_answered);
    assert_eq!(sum("cpu, other..cpu").await, (false, alone + 1000));
    assert_eq!(sum("other..cpu, cpu").await, (false, alone + 1000));
    assert_eq!(sum("other..cpu, db..none").await, (false, 1000));
}
