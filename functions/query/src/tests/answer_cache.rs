//! Kept answers: when an answer is one, and that it is always the computed one.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, header};
use neap_test_inputs::cases;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{DATABASE, QueryTestInstance, WEATHER};
use crate::QuerySettings;

const HOUR: Duration = Duration::from_secs(3_600);

const COUNT: &str = "SELECT count(*) AS n FROM weather";

/// Returns an instance that keeps this number of bytes of answers.
async fn instance(answer_cache_bytes: usize) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { answer_cache_bytes, ..QuerySettings::default() };
    QueryTestInstance::with(store, clock, settings).await
}

async fn with_weather() -> QueryTestInstance {
    let one = instance(8 << 20).await;
    one.write(WEATHER).await;
    one
}

/// Returns the hits and misses so far.
fn lookups(one: &QueryTestInstance) -> (u64, u64) {
    let stats = one.engine.answer_cache_stats();
    (stats.hits, stats.misses)
}

/// Asserts that a statement is computed once, then kept, and returns its answer.
async fn computed_then_kept(one: &QueryTestInstance, sql: &str) -> String {
    let (hits, misses) = lookups(one);
    let computed = one.sql(sql).await;
    assert_eq!(lookups(one), (hits, misses + 1), "{sql}");
    assert_eq!(one.sql(sql).await, computed);
    assert_eq!(lookups(one), (hits + 1, misses + 1), "{sql}");
    computed
}

/// Asserts that a statement is computed each time, and returns its last answer.
async fn always_computed(one: &QueryTestInstance, sql: &str) -> String {
    let before = lookups(one);
    one.sql(sql).await;
    let answer = one.sql(sql).await;
    assert_eq!(lookups(one), before, "{sql}");
    answer
}

fn sql_request(body: &Value) -> Request<Body> {
    Request::post("/api/v3/query_sql").body(Body::from(body.to_string())).unwrap()
}

/// Returns the path of a request with these parameters.
fn path(path: &str, pairs: &[(&str, &str)]) -> String {
    format!("{path}?{}", serde_urlencoded::to_string(pairs).unwrap())
}

#[tokio::test]
async fn an_answer_is_kept_until_the_database_changes() {
    let one = with_weather().await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n3\n");
    one.write("weather,city=Bern,country=ch temp=7 1700000000000000000").await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n4\n");
    one.write("weather,city=Bern,country=ch snow=true 1700000000000000000").await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n4\n");
    one.flush().await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n4\n");
    one.pass(Duration::from_secs(60));
    one.write("weather,city=Bern,country=ch temp=8 1700000001000000000").await;
    one.flush().await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n5\n");
    assert_eq!(one.merge().await, 1);
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n5\n");
    one.sql("DELETE FROM weather WHERE city = 'Bern'").await;
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n3\n");
    one.catalog.set_retention(DATABASE, Some(HOUR)).await.unwrap();
    one.catalog.set_retention(DATABASE, None).await.unwrap();
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n3\n");
}

#[tokio::test]
async fn a_kept_answer_has_the_same_bytes_and_stamp_and_says_that_it_is_kept() {
    let one = with_weather().await;
    for format in ["json", "jsonl", "csv", "pretty", "parquet", "arrow"] {
        let body =
            json!({"db": "db", "q": "SELECT * FROM weather ORDER BY city, time", "format": format});
        let answers =
            [one.exchange(sql_request(&body)).await, one.exchange(sql_request(&body)).await];
        let [(computed, first), (kept, second)] = &answers;
        assert_eq!(first, second, "{format}");
        let status = |headers: &HeaderMap| headers.get(header::CACHE_STATUS).cloned();
        assert_eq!(status(&computed.headers), None);
        assert_eq!(status(&kept.headers).unwrap(), "neap; hit");
        for name in ["content-type", "x-neap-as-of"] {
            assert!(computed.headers.contains_key(name), "{name}");
            assert_eq!(computed.headers.get(name), kept.headers.get(name));
        }
    }
}

#[tokio::test]
async fn answers_that_follow_from_more_than_the_snapshot_are_computed() {
    let one = with_weather().await;
    for sql in [
        "SELECT now()",
        "SELECT current_date",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT count(*) FROM weather WHERE time < now()",
        "SELECT count(*) FROM weather WHERE temp > (SELECT min(temp) FROM weather WHERE time < now())",
        "SELECT count(*) FROM system.queries",
        "SELECT count(*) FROM information_schema.columns",
        "EXPLAIN SELECT * FROM weather",
        "EXPLAIN ANALYZE SELECT * FROM weather",
        "SHOW TABLES",
    ] {
        always_computed(&one, sql).await;
    }
    let failing = json!({"db": "db", "q": "SELECT missing FROM weather"});
    for _ in 0..2 {
        assert!(one.post(failing.clone()).await.0 >= 400);
    }
    assert_eq!(lookups(&one), (0, 0));
}

#[tokio::test]
async fn requests_that_ask_for_something_else_have_answers_of_their_own() {
    let one = with_weather().await;
    let of_city = |city: &str, format: &str| {
        json!({
            "db": "db", "format": format, "params": {"city": city},
            "q": "SELECT city, temp FROM weather WHERE city = $city ORDER BY time LIMIT 1",
        })
    };
    for _ in 0..2 {
        for (city, format, expected) in [
            ("Oslo", "csv", "city,temp\nOslo,2.5\n"),
            ("Rome", "csv", "city,temp\nRome,20.5\n"),
            ("Rome", "jsonl", "{\"city\":\"Rome\",\"temp\":20.5}\n"),
        ] {
            let answer = one.post(of_city(city, format)).await;
            assert_eq!(answer, (200, expected.to_owned()));
        }
    }
    assert_eq!(lookups(&one), (3, 3));
    // Requests of earlier states and without caches are not looked up.
    for name in ["x-neap-as-of", "x-neap-cache"] {
        let value = if name == "x-neap-cache" {
            "off"
        } else {
            "2030-01-01T00:00:00Z"
        };
        let mut request = sql_request(&of_city("Rome", "csv"));
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(one.send(request).await.0, 200, "{name}");
    }
    assert_eq!(lookups(&one), (3, 3));
}

#[tokio::test]
async fn influxql_is_kept_in_both_interfaces_unless_it_ends_now() {
    let one = with_weather().await;
    let kept = [
        path("/query", &[("db", "db"), ("q", "SELECT temp FROM weather")]),
        path("/query", &[("db", "db"), ("q", "SELECT temp FROM weather"), ("epoch", "s")]),
        path(
            "/query",
            &[
                ("db", "db"),
                ("q", "SELECT temp FROM weather"),
                ("chunked", "true"),
                ("chunk_size", "1"),
            ],
        ),
        path(
            "/query",
            &[
                ("db", "db"),
                ("q", "SELECT temp FROM weather WHERE city = $c"),
                ("params", r#"{"c":"Oslo"}"#),
            ],
        ),
        path(
            "/query",
            &[
                ("db", "db"),
                ("q", "SELECT temp FROM weather WHERE city = $c"),
                ("params", r#"{"c":"Rome"}"#),
            ],
        ),
        path(
            "/api/v3/query_influxql",
            &[("db", "db"), ("q", "SELECT temp FROM weather"), ("format", "csv")],
        ),
        path(
            "/query",
            &[
                ("db", "db"),
                (
                    "q",
                    "SELECT mean(temp) FROM weather WHERE time >= 1700000000s AND time < 1700000120s GROUP BY time(1m)",
                ),
            ],
        ),
    ];
    let mut answers = Vec::new();
    for request in &kept {
        let (status, computed) = one.get(request).await;
        assert_eq!(status, 200, "{computed}");
        answers.push(computed);
    }
    assert_eq!(lookups(&one), (0, 7));
    for (request, computed) in kept.iter().zip(&answers) {
        assert_eq!(&one.get(request).await.1, computed);
    }
    assert_eq!(lookups(&one), (7, 7));
    answers.dedup();
    assert_eq!(answers.len(), kept.len());

    for q in [
        "SELECT temp FROM weather WHERE time < now()",
        "SELECT mean(temp) FROM weather WHERE time >= 1700000000s GROUP BY time(1m)",
        "SELECT temp FROM weather; SELECT temp FROM weather",
        "SHOW TAG VALUES WITH KEY = city",
        "EXPLAIN SELECT temp FROM weather",
        "SELECT missing(temp) FROM weather",
    ] {
        for _ in 0..2 {
            one.get(&path("/query", &[("db", "db"), ("q", q)])).await;
        }
        assert_eq!(lookups(&one), (7, 7), "{q}");
    }
}

#[tokio::test]
async fn rows_that_expire_are_in_no_kept_answer() {
    let one = with_weather().await;
    one.catalog.set_retention(DATABASE, Some(HOUR)).await.unwrap();
    assert_eq!(always_computed(&one, COUNT).await, "n\n3\n");
    let bounded = format!("{COUNT} WHERE time >= '2023-11-14T22:10:00Z'");
    assert_eq!(computed_then_kept(&one, &bounded).await, "n\n3\n");
    // Until the first time of the statement expires, its answer stays the same.
    one.pass(HOUR - Duration::from_secs(240));
    let (hits, misses) = lookups(&one);
    assert_eq!(one.sql(&bounded).await, "n\n3\n");
    assert_eq!(lookups(&one), (hits + 1, misses));
    one.pass(Duration::from_secs(270));
    assert_eq!(always_computed(&one, &bounded).await, "n\n1\n");
}

#[tokio::test]
async fn answers_that_a_view_may_give_are_computed_while_rows_expire() {
    let one = with_weather().await;
    let hourly = "SELECT date_bin(INTERVAL '1 hour', time) AS time, city, count(*) AS n FROM weather GROUP BY 1, city";
    one.create_view("hourly", hourly).await;
    let bounded = format!("{COUNT} WHERE time >= '2023-11-14T22:10:00Z'");
    assert_eq!(computed_then_kept(&one, &bounded).await, "n\n3\n");
    one.catalog.set_retention(DATABASE, Some(HOUR)).await.unwrap();
    assert_eq!(always_computed(&one, &bounded).await, "n\n3\n");
}

#[tokio::test]
async fn the_size_of_all_answers_and_of_each_is_bounded() {
    const BYTES: u64 = 64 << 10;
    let one = instance(64 << 10).await;
    one.write(WEATHER).await;
    for number in 0..200 {
        one.sql(&format!("SELECT {number} AS number, city FROM weather")).await;
        let bytes = one.engine.answer_cache_stats().bytes;
        assert!((1..=BYTES).contains(&bytes), "{bytes}");
    }
    let (hits, misses) = lookups(&one);
    one.sql("SELECT 199 AS number, city FROM weather").await;
    assert_eq!(lookups(&one), (hits + 1, misses));
    let large = "SELECT repeat('x', 5000) AS x FROM weather";
    let answers = [one.sql(large).await, one.sql(large).await];
    assert_eq!(answers[0], answers[1]);
    assert_eq!(lookups(&one), (hits + 1, misses + 2));
    let long_statement = format!("{COUNT} -- {}", "x".repeat(4_096));
    assert_eq!(always_computed(&one, &long_statement).await, "n\n3\n");
    one.engine.release_memory();
    assert_eq!(one.engine.answer_cache_stats().bytes, 0);
}

#[tokio::test]
async fn an_answer_that_is_not_sent_to_its_end_is_not_kept() {
    let one = with_weather().await;
    let body = json!({"db": "db", "q": COUNT, "format": "csv"});
    drop(one.router.clone().oneshot(sql_request(&body)).await.unwrap());
    assert_eq!(one.engine.answer_cache_stats().bytes, 0);
    assert_eq!(computed_then_kept(&one, COUNT).await, "n\n3\n");
}

#[tokio::test]
async fn kept_answers_are_logged_and_counted_as_queries() {
    let one = with_weather().await;
    let sql = "SELECT city FROM weather";
    one.sql(sql).await;
    let before = one.engine.query_stats();
    one.sql(sql).await;
    let after = one.engine.query_stats();
    assert_eq!(lookups(&one), (1, 1));
    assert_eq!((after.succeeded, after.rows), (before.succeeded + 1, before.rows + 3));
    let logged = format!("SELECT success FROM system.queries WHERE query_text = '{sql}'");
    assert_eq!(one.sql(&logged).await, "success\ntrue\ntrue\n");
}

#[tokio::test]
async fn settings_switch_kept_answers_off() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings {
        answer_cache_bytes: 8 << 20,
        use_caches: false,
        ..QuerySettings::default()
    };
    let one = QueryTestInstance::with(store, clock, settings).await;
    one.write(WEATHER).await;
    always_computed(&one, COUNT).await;
}

/// The time of the newest rows of the property.
const LAST: i64 = 1_700_000_000_000_000_000;

/// Statements of the property.
const STATEMENTS: [&str; 7] = [
    "SELECT * FROM t ORDER BY k, time",
    "SELECT count(*) AS n FROM t",
    "SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY k",
    "SELECT v FROM t WHERE k = 'k1' ORDER BY time",
    "SELECT count(*) AS n FROM t WHERE time >= '2023-11-14T20:00:00Z'",
    "SELECT DISTINCT ON (k) * FROM t WHERE time BETWEEN '2023-11-14T19:00:00Z' AND '2023-11-14T22:00:00Z' ORDER BY k, time DESC",
    "SELECT count(*) AS n FROM t WHERE time > now() - INTERVAL '3 hours'",
];

#[derive(Clone, Debug)]
enum Change {
    /// A row of a host, this number of half hours before the last one.
    Write(u8, i64, i8),
    Delete(u8),
    Flush,
    Merge,
    /// Sets the retention to this number of hours.
    Keep(Option<u64>),
    /// Lets half an hour pass.
    Pass,
    None,
}

fn steps() -> impl Strategy<Value = Vec<(Change, Vec<usize>)>> {
    let change = prop_oneof![
        6 => (0..3u8, 0..12i64, any::<i8>()).prop_map(|(k, time, v)| Change::Write(k, time, v)),
        1 => (0..3u8).prop_map(Change::Delete),
        2 => Just(Change::Flush),
        1 => Just(Change::Merge),
        1 => proptest::option::of(1..6u64).prop_map(Change::Keep),
        2 => Just(Change::Pass),
        2 => Just(Change::None),
    ];
    let statements = proptest::collection::vec(0..STATEMENTS.len(), 1..5);
    proptest::collection::vec((change, statements), 4..20)
}

async fn apply(one: &QueryTestInstance, change: Change) {
    match change {
        Change::Write(k, time, v) => {
            let time = LAST - time * 1_800_000_000_000;
            one.write(&format!("t,k=k{k} v={v}i {time}")).await;
        }
        Change::Delete(k) => {
            one.pass(Duration::from_millis(1));
            one.sql(&format!("DELETE FROM t WHERE k = 'k{k}'")).await;
        }
        Change::Flush => {
            one.flush().await;
        }
        Change::Merge => {
            one.merge().await;
        }
        Change::Keep(hours) => {
            let retention = hours.map(|hours| Duration::from_secs(3_600 * hours));
            one.catalog.set_retention(DATABASE, retention).await.unwrap();
        }
        Change::Pass => one.pass(HOUR / 2),
        Change::None => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    #[test]
    fn answers_are_those_of_a_server_that_keeps_none(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = instance(256 << 10).await;
            one.write(&format!("t,k=k0 v=1i {LAST}")).await;
            for (change, statements) in steps {
                apply(&one, change.clone()).await;
                for statement in statements {
                    let sql = STATEMENTS[statement];
                    let computed = one.sql_without_caches(sql).await;
                    for _ in 0..2 {
                        prop_assert_eq!(&one.sql(sql).await, &computed, "{} after {:?}", sql, change);
                    }
                }
            }
            Ok(())
        })?;
    }
}
