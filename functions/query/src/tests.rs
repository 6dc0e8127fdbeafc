//! Queries over databases that the tests really write and flush, in a memory store with a clock that the tests advance.

mod all_views;
mod answer_cache;
mod as_of;
mod bit_flips;
mod cache_faults;
mod cache_histories;
mod cache_rewrite;
mod caches;
mod cancellation;
mod cold_sections;
mod columns;
mod compared_columns;
mod compared_texts;
mod counts;
mod damaged_segments;
mod delete_statements;
mod deletes;
mod distributed;
mod distributed_faults;
mod distributed_histories;
mod expanding_statements;
mod exports;
mod histories;
pub(crate) mod instance;
mod internal;
mod invalid_arguments;
mod json;
mod narrow_integers;
mod newest_rows;
mod newest_sections;
mod objects;
mod patterns;
mod plugins;
mod query_log;
mod redundant_time_bounds;
mod renames;
mod retention;
mod rollup_histories;
mod rollup_influxql;
mod rollup_levels;
mod rollup_rewrite;
mod row_deletes;
mod section_memory;
mod section_scans;
mod small_plans;
mod spilled_tails;
mod system;
mod tag_conditions;
mod tail_columns;
mod tail_conditions;
mod tail_counts;
mod time_series_syntax;
mod times_out_of_range;
mod upstream_answers;
mod view_histories;
mod views;
pub(crate) mod workers;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{KeyClass, Operation, OperationCounts};
use neap_compact::FlushResult;
use tower::ServiceExt;

use crate::QuerySettings;
use instance::{DATABASE, QueryTestInstance};

const WEATHER: &str = "\
weather,city=Rome,country=it temp=20.5,wind=3i 1700000000000000000
weather,city=Oslo,country=no temp=2.5,ok=true 1700000000000000000
weather,city=Rome,country=it temp=21.5,note=\"sun, and more\" 1700000060000000000";

#[tokio::test]
async fn rows_are_the_same_from_the_tail_and_from_sections() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let sql = "SELECT * FROM weather ORDER BY city, time";
    let from_tail = one.sql(sql).await;
    assert_eq!(
        from_tail,
        "city,country,note,ok,temp,time,wind\n\
         Oslo,no,,true,2.5,2023-11-14T22:13:20,\n\
         Rome,it,,,20.5,2023-11-14T22:13:20,3\n\
         Rome,it,\"sun, and more\",,21.5,2023-11-14T22:14:20,\n"
    );
    assert!(matches!(one.flush().await, FlushResult::Done { rows: 3, sections: 1, .. }));
    assert_eq!(one.sql(sql).await, from_tail);
    one.write("weather,city=Rome,country=it wind=9i 1700000060000000000").await;
    assert_eq!(
        one.sql("SELECT wind, temp FROM weather WHERE city = 'Rome' AND temp > 21")
            .await,
        "wind,temp\n9,21.5\n"
    );
}

#[tokio::test]
async fn a_field_filter_never_uncovers_an_older_version() {
    let one = QueryTestInstance::with_rows("t,k=a v=1 1700000000000000000").await;
    one.flush().await;
    one.write("t,k=a v=2 1700000000000000000").await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM t WHERE v = 1").await, "n\n0\n");
    one.flush().await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM t WHERE v = 1").await, "n\n0\n");
    assert_eq!(one.sql("SELECT v FROM t WHERE v = 2").await, "v\n2.0\n");
}

#[tokio::test]
async fn rows_of_the_tail_are_counted_once_when_no_column_is_read() {
    let one = QueryTestInstance::with_rows("t,k=a v=1 1700000000000000000").await;
    one.write("t,k=a v=2 1700000000000000000\nt,k=b v=2 1700000000000000000").await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM t").await, "n\n2\n");
}

#[tokio::test]
async fn a_second_instance_answers_from_the_bucket_alone() {
    let (store, clock) = QueryTestInstance::memory_store();
    let writer = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    let reader = QueryTestInstance::new(store, clock).await;
    writer.write(WEATHER).await;
    assert_eq!(reader.sql("SELECT count(*) AS n FROM weather").await, "n\n3\n");
    writer.write("weather,city=Rome,new=tag extra=1u 1700000120000000000").await;
    assert_eq!(
        reader.sql("SELECT new, extra FROM weather WHERE new IS NOT NULL").await,
        "new,extra\ntag,1\n"
    );
}

#[tokio::test]
async fn requests_are_those_of_the_budget() {
    let (store, clock) = QueryTestInstance::memory_store();
    let writer = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    writer.write(WEATHER).await;
    writer.flush().await;

    let cold = QueryTestInstance::new(store, clock).await;
    let sql = "SELECT max(temp) FROM weather";
    let before = cold.counting.counts();
    let of = |counts: &OperationCounts, operation, class| counts.of(operation, class).requests;
    cold.sql(sql).await;
    // The root catalog was read with the cluster rules.
    let first = cold.counting.counts() - before;
    assert_eq!(first.requests(Operation::List), 1);
    assert_eq!(of(&first, Operation::Get, KeyClass::DatabaseCatalog), 1);
    assert_eq!(of(&first, Operation::Get, KeyClass::Manifest), 1);
    // The footer and the one column of a small section.
    assert_eq!(of(&first, Operation::Get, KeyClass::Data), 2);
    assert_eq!(first.requests(Operation::Put), 0);
    let read = cold.engine.data_cache_stats();
    assert!(read.hits == 0 && read.misses > 0, "{read:?}");
    assert!(read.chunk_bytes > 0 && read.footer_bytes > 0, "{read:?}");

    let warm = cold.requests(sql).await;
    let again = cold.engine.data_cache_stats();
    assert_eq!((again.hits, again.misses), (read.misses, read.misses));
    let queries = cold.engine.query_stats();
    assert_eq!((queries.succeeded, queries.rows), (2, 2));
    assert_eq!((warm.requests(Operation::List), warm.requests(Operation::Get)), (1, 2));

    writer.write("weather,city=Bern,country=ch temp=9 1700000000000000000").await;
    writer.write("weather,city=Bern,country=ch temp=8 1700000060000000000").await;
    let fresh = cold.requests(sql).await;
    assert_eq!(fresh.requests(Operation::List), 1);
    assert_eq!(of(&fresh, Operation::Get, KeyClass::Tail), 2);
}

#[tokio::test]
async fn an_allowed_staleness_costs_no_request() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.sql("SELECT 1").await;
    let before = one.counting.counts();
    let request =
        Request::get("/api/v3/query_sql?db=db&q=SELECT%20count(*)%20AS%20n%20FROM%20weather")
            .header("x-neap-max-staleness", "10s")
            .body(Body::empty())
            .unwrap();
    assert_eq!(one.send(request).await, (200, r#"[{"n":3}]"#.to_owned()));
    let counts = one.counting.counts() - before;
    assert_eq!((counts.requests(Operation::List), counts.requests(Operation::Get)), (0, 0));
}

#[tokio::test]
async fn only_sections_that_can_match_are_read() {
    let one = QueryTestInstance::alone().await;
    for (host, day) in [("a", 0), ("b", 1), ("c", 2)] {
        let time = 1_700_000_000_000_000_000i64 + day * 86_400_000_000_000;
        one.write(&format!("t,host={host} v={day} {time}")).await;
        one.flush().await;
    }
    let data = |counts: OperationCounts| counts.of(Operation::Get, KeyClass::Data).requests;
    assert_eq!(data(one.requests("SELECT v FROM t WHERE host = 'z'").await), 0);
    assert_eq!(data(one.requests("SELECT v FROM t WHERE host = 'b'").await), 2);
    let recent = "SELECT v FROM t WHERE time >= '2023-11-16T00:00:00Z' AND host != 'b'";
    assert_eq!(data(one.requests(recent).await), 2);
}

#[tokio::test]
async fn explain_shows_that_only_overlaps_are_merged() {
    let one = QueryTestInstance::with_rows(
        "t,k=a v=1 1700000000000000000\nt,k=a v=1 1700000060000000000",
    )
    .await;
    one.flush().await;
    let plan = "EXPLAIN SELECT k, v FROM t";
    assert!(!one.sql(plan).await.contains("DedupExec"));
    one.write("t,k=a v=2 1700000060000000000\nt,k=b v=2 1700000120000000000").await;
    let plan = one.sql(plan).await;
    assert_eq!(plan.matches("DedupExec").count(), 1, "{plan}");
    assert_eq!(plan.matches("UnionExec").count(), 1, "{plan}");
}

#[tokio::test]
async fn statements_that_would_change_something_are_refused() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let cases = [
        ("DROP TABLE weather", 400),
        ("CREATE TABLE x (a INT)", 400),
        ("COPY weather TO '/tmp/x.csv'", 400),
        ("SET datafusion.execution.batch_size = 1", 400),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", 400),
        ("SELECT * FROM nope", 400),
        ("SELEC 1", 400),
        ("", 400),
        ("SELECT 1; SELECT 2", 405),
        ("BEGIN", 405),
        ("SHOW DATABASES", 405),
        ("SELECT nope FROM weather", 500),
        ("SELECT CAST('x' AS INT)", 400),
        ("SELECT 1/0", 400),
    ];
    for (sql, status) in cases {
        let (found, body) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(found, status, "{sql}: {body}");
    }
    assert_eq!(one.sql("SELECT count(*) AS n FROM weather").await, "n\n3\n");
}

#[tokio::test]
async fn a_statement_that_would_overflow_the_stack_is_refused() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let chain = |terms: usize| vec!["temp = 1"; terms].join(" OR ");
    let sql = |terms| format!("SELECT city FROM weather WHERE {}", chain(terms));
    assert_eq!(one.sql(&sql(20)).await, "");
    let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql(5_000)})).await;
    assert_eq!(status, 400);
    assert_eq!(body, "Error during planning: the statement has 9999 operators, more than 5000");
}

#[tokio::test]
async fn a_statement_that_would_be_planned_for_too_long_is_refused() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let sql = |terms| {
        let all = vec!["temp + 1 = 1"; terms].join(" AND ");
        format!("SELECT city FROM weather WHERE {all}")
    };
    assert_eq!(one.sql(&sql(20)).await, "");
    let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql(502)})).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "Error during planning: the statement has 501 AND operators, more than 500"
    );
}

#[tokio::test]
async fn a_client_that_stops_reading_releases_its_permit_at_the_timeout() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings {
        timeout: Duration::from_secs(5),
        concurrent_queries: 1,
        ..QuerySettings::default()
    };
    let one = QueryTestInstance::with(store, clock, settings).await;
    let lines: Vec<String> = (0..300).map(|at| format!("m v={at}i {at}")).collect();
    one.write(&lines.join("\n")).await;
    let get = |sql: &str| {
        let uri = format!("/api/v3/query_sql?db=db&format=csv&q={}", sql.replace(' ', "%20"));
        one.router.clone().oneshot(Request::get(uri).body(Body::empty()).unwrap())
    };
    let unread = get("SELECT a.v FROM m a CROSS JOIN m b").await.unwrap();
    assert_eq!(unread.status().as_u16(), 200);

    one.pass(Duration::from_secs(3));
    let waiting = tokio::spawn(get("SELECT count(*) AS n FROM m"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    one.pass(Duration::from_secs(3));
    assert_eq!(waiting.await.unwrap().unwrap().status().as_u16(), 200);
    assert!(unread.into_body().collect().await.is_err(), "the answer is cut off, not ended");
}

#[tokio::test]
async fn placeholders_take_typed_values() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let body = serde_json::json!({
        "db": "db", "format": "jsonl",
        "q": "SELECT city FROM weather WHERE temp > $t AND time >= $from ORDER BY city",
        "params": {"t": 3, "from": "2023-11-14T22:14:00Z"},
    });
    assert_eq!(one.post(body).await, (200, "{\"city\":\"Rome\"}\n".to_owned()));
    let body = serde_json::json!({"db": "db", "q": "SELECT $x AS x"});
    assert_eq!(one.post(body).await.0, 400);
}

#[tokio::test]
async fn now_is_the_time_at_which_the_query_came() {
    let one = QueryTestInstance::alone().await;
    one.write("m v=1i 1699999990000000000\nm v=2i 1700000000000000000\nm v=3i 1700000100000000000")
        .await;
    one.pass(Duration::from_secs(4));
    let recent = "SELECT v FROM m WHERE time > now() - INTERVAL '5 seconds' AND time <= now()";
    assert_eq!(one.sql(recent).await, "v\n2\n");
    assert_eq!(one.sql("SELECT now() AS t").await, "t\n2023-11-14T22:13:24.001\n");
}

#[tokio::test]
async fn the_schema_is_shown_as_influxdb_shows_it() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let columns = "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
                   WHERE table_name = 'weather' AND column_name IN ('city', 'temp', 'time', 'ok')";
    assert_eq!(
        one.sql(columns).await,
        "column_name,data_type,is_nullable\n\
         city,\"Dictionary(Int32, Utf8)\",YES\n\
         ok,Boolean,YES\n\
         temp,Float64,YES\n\
         time,Timestamp(ns),NO\n"
    );
    let tables = one.sql("SHOW TABLES").await;
    assert_contains!(tables, "public,iox,weather,BASE TABLE\n");
    assert_eq!(
        one.get("/api/v3/configure/database?format=csv").await.1,
        "iox::database\n_internal\ndb\n"
    );
}

#[tokio::test]
async fn a_table_without_rows_has_its_columns_on_request() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let empty = "SELECT city, temp FROM weather WHERE city = 'Bonn'";
    for (sql, format, header, expected) in [
        (empty, "pretty", None, "++\n++"),
        (
            empty,
            "pretty",
            Some("columns"),
            "+------+------+\n| city | temp |\n+------+------+\n+------+------+",
        ),
        (empty, "csv", Some("columns"), ""),
        (
            "SELECT wind FROM weather WHERE wind = 3",
            "pretty",
            Some("columns"),
            "+------+\n| wind |\n+------+\n| 3    |\n+------+",
        ),
    ] {
        let body = serde_json::json!({"db": "db", "q": sql, "format": format});
        let mut request = Request::post("/api/v3/query_sql");
        if let Some(header) = header {
            request = request.header("x-neap-empty-table", header);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        assert_eq!(one.send(request).await, (200, expected.to_owned()), "{sql}");
    }
    let body = serde_json::json!({"db": "db", "q": empty, "format": "pretty"});
    let request = Request::post("/api/v3/query_sql")
        .header("x-neap-empty-table", "rows")
        .body(Body::from(body.to_string()));
    assert_eq!(one.send(request.unwrap()).await.0, 400);
}
