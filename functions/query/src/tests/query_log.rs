//! The log of queries, and the limits of their answers.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use neap_memory::{MemoryMonitor, PressureLevel};

use super::{DATABASE, WEATHER, instance::QueryTestInstance};
use crate::{QueryError, QueryRequest, QuerySettings};

const PHASES: &str = "SELECT phase, success, running, cancelled FROM system.queries \
                      WHERE query_text LIKE '%weather%' AND query_text NOT LIKE '%system%'";

/// Its rows come in many batches, which the test does not read.
const LONG: &str = "SELECT value AS weather FROM generate_series(1, 1000000)";

/// Waits until the queries about the weather are in these phases.
async fn wait_for_phases(one: &QueryTestInstance, expected: &str) {
    for _ in 0..100 {
        if one.sql(PHASES).await == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(one.sql(PHASES).await, expected);
}

async fn with(settings: QuerySettings) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    QueryTestInstance::with(store, clock, settings).await
}

#[tokio::test]
async fn a_database_shows_its_queries_and_the_internal_one_all() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.flush().await;
    one.sql("SELECT * FROM weather").await;
    one.post(serde_json::json!({"db": "db", "q": "SELECT nope FROM weather"})).await;
    one.catalog.create_database("other", None).await.unwrap();
    one.sql_in("other", "SELECT 1 AS weather").await;
    let columns = "SELECT phase, query_type, query_text, partitions, parquet_files, success, running, cancelled \
                   FROM system.queries";
    let of_database = one.sql(columns).await;
    assert_eq!(
        of_database,
        format!(
            "phase,query_type,query_text,partitions,parquet_files,success,running,cancelled\n\
             success,sql,SELECT * FROM weather,1,1,true,false,false\n\
             fail,sql,SELECT nope FROM weather,,,false,false,false\n\
             received,sql,\"{columns}\",,,false,true,false\n"
        )
    );
    let texts =
        "SELECT query_text FROM system.queries WHERE success AND query_text LIKE '%weather%'";
    assert_eq!(
        one.sql_in("_internal", texts).await,
        "query_text\nSELECT * FROM weather\nSELECT 1 AS weather\n"
    );
}

#[tokio::test]
async fn durations_and_ids_are_there_when_a_query_has_ended() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.sql("SELECT city, avg(temp) FROM weather GROUP BY city ORDER BY city").await;
    let known = "SELECT id IS NOT NULL AND plan_duration IS NOT NULL AND permit_duration IS NOT NULL \
                 AND execute_duration IS NOT NULL AND end2end_duration IS NOT NULL \
                 AND compute_duration IS NOT NULL AND max_memory > 0 AS known, \
                 date_trunc('second', issue_time) AS issue_time \
                 FROM system.queries WHERE success";
    assert_eq!(one.sql(known).await, "known,issue_time\ntrue,2023-11-14T22:13:20\n");
}

#[tokio::test]
async fn a_query_whose_client_disconnects_is_cancelled_and_releases_its_permit() {
    let one = with(QuerySettings { concurrent_queries: 2, ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    let rows = one.engine.query(DATABASE, QueryRequest::new(LONG)).await.unwrap();
    let phases = |phase: &str, running, cancelled| {
        format!("phase,success,running,cancelled\n{phase},false,{running},{cancelled}\n")
    };
    assert_eq!(one.sql(PHASES).await, phases("permit", true, false));
    drop(rows);
    wait_for_phases(&one, &phases("cancel", false, true)).await;
}

#[tokio::test]
async fn a_query_dropped_during_planning_is_cancelled() {
    let one = with(QuerySettings { concurrent_queries: 1, ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    let first = one.engine.query(DATABASE, QueryRequest::new(LONG)).await.unwrap();
    let second = one.engine.query(DATABASE, QueryRequest::new("SELECT 2 FROM weather"));
    assert!(futures::FutureExt::now_or_never(second).is_none());
    drop(first);
    assert_eq!(
        one.sql("SELECT phase FROM system.queries WHERE query_text LIKE 'SELECT 2%'")
            .await,
        "phase\ncancel\n"
    );
}

#[tokio::test]
async fn a_query_that_takes_too_long_fails() {
    let one =
        with(QuerySettings { timeout: Duration::from_secs(60), ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    let rows = one.engine.query(DATABASE, QueryRequest::new(LONG)).await.unwrap();
    tokio::task::yield_now().await;
    one.pass(Duration::from_secs(61));
    let failed = "phase,success,running,cancelled\nfail,false,false,false\n";
    wait_for_phases(&one, failed).await;
    drop(rows);
}

#[tokio::test]
async fn a_query_without_any_time_is_logged_as_failed() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let late = QueryRequest {
        ends: Some(Duration::ZERO),
        ..QueryRequest::new("SELECT city FROM weather")
    };
    let answer = one.engine.query(DATABASE, late).await;
    assert!(matches!(answer, Err(QueryError::Timeout(limit)) if limit.is_zero()));
    let failed = "phase,success,running,cancelled\nfail,false,false,false\n";
    assert_eq!(one.sql(PHASES).await, failed);
}

#[tokio::test]
async fn an_answer_with_too_many_rows_is_an_error_before_it_begins() {
    let one = with(QuerySettings { max_rows: Some(2), ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    let sql = "SELECT * FROM weather";
    let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
    assert_eq!(
        (status, body.as_str()),
        (
            400,
            "query error: the answer has more than 2 rows, the limit of this server; select fewer rows or \
             add LIMIT"
        )
    );
    assert_eq!(one.sql("SELECT city FROM weather LIMIT 2").await.lines().count(), 3);
    let phase = format!("SELECT phase FROM system.queries WHERE query_text = '{sql}'");
    assert_eq!(one.sql(&phase).await, "phase\nfail\n");
}

#[tokio::test]
async fn a_query_without_a_permit_gets_a_retry_after_header() {
    let one = with(QuerySettings { concurrent_queries: 1, ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    // More rows than fit into the channel.
    let rows = "SELECT * FROM generate_series(1, 1000000)";
    let running = one.engine.query(DATABASE, QueryRequest::new(rows)).await.unwrap();
    let body = serde_json::json!({"db": "db", "q": "SELECT 1"});
    let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
    let waiting = one.exchange(request.unwrap());
    let others = async {
        tokio::task::yield_now().await;
        one.pass(Duration::from_secs(31));
    };
    let ((head, body), ()) = tokio::join!(waiting, others);
    assert_eq!(
        (head.status.as_u16(), body.as_str()),
        (503, "query error: too many queries are waiting")
    );
    assert_eq!(head.headers["retry-after"], "1");
    drop(running);
}

#[tokio::test]
async fn a_query_waits_for_ten_seconds_while_memory_is_full_and_is_then_refused() {
    // The process holds more than one byte.
    let monitor = MemoryMonitor::new(1);
    assert_eq!(monitor.look(), PressureLevel::Exhausted);
    let one =
        with(QuerySettings { pressure: monitor.pressure(), ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    let body = serde_json::json!({"db": "db", "q": "SELECT 1"});
    let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
    let waiting = one.exchange(request.unwrap());
    let others = async {
        tokio::task::yield_now().await;
        one.pass(Duration::from_secs(11));
    };
    let ((head, body), ()) = tokio::join!(waiting, others);
    assert_eq!(
        (head.status.as_u16(), body.as_str()),
        (503, "query error: too many queries are waiting")
    );
    assert_eq!(head.headers["retry-after"], "1");
}

#[tokio::test]
async fn the_newest_query_is_ended_when_memory_is_exhausted() {
    let one = with(QuerySettings::default()).await;
    one.write(WEATHER).await;
    // More rows than fit into the channel.
    let rows = "SELECT * FROM generate_series(1, 10000000)";
    let mut first = one.engine.query(DATABASE, QueryRequest::new(rows)).await.unwrap();
    let mut second = one.engine.query(DATABASE, QueryRequest::new(rows)).await.unwrap();
    one.engine.end_newest_query();
    let last = loop {
        match second.batches.next().await {
            Some(Ok(_)) => {}
            last => break last,
        }
    };
    assert!(matches!(last, Some(Err(QueryError::OutOfMemory))), "{last:?}");
    assert!(matches!(first.batches.next().await, Some(Ok(_))));
    one.engine.end_newest_query();
    while let Some(Ok(_)) = first.batches.next().await {}
    // None is left.
    one.engine.end_newest_query();
}

#[tokio::test]
async fn the_log_keeps_at_most_its_maximum_number_of_queries() {
    let one = with(QuerySettings { query_log_size: 2, ..QuerySettings::default() }).await;
    one.write(WEATHER).await;
    for number in 0..4 {
        one.sql(&format!("SELECT {number}")).await;
    }
    let sql = "SELECT query_text FROM system.queries WHERE success";
    assert_eq!(one.sql(sql).await, "query_text\nSELECT 3\n");
}
