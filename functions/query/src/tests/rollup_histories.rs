//! Random histories of writes, deletes, expiries and refreshes that are killed or frozen at any request: at each point,
//! queries that views answer have the rows of the source.

use std::{pin::Pin, time::Duration};

use axum::body::Body;
use http::Request;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{
    DATABASE, QueryTestInstance,
    view_histories::{ViewHistory, ViewHistoryStep, steps},
};

/// A view with all aggregates that are exact.
const WIDE: &str = "SELECT date_bin(INTERVAL '12 hours', time) AS time, k, count(*) AS n, count(a) AS a_count, \
                    sum(a) AS a_sum, min(a) AS a_min, max(a) AS a_max, avg(a) AS a_mean, sum(b) AS b_sum, \
                    count(b) AS b_count, median(b) AS b_median, first_value(a ORDER BY time) AS a_first, \
                    last_value(b ORDER BY time) AS b_last, max(time) AS newest FROM t GROUP BY 1, k";

const QUERIES: [&str; 8] = [
    "SELECT date_bin(INTERVAL '12 hours', time) AS time, k, count(*) AS n, count(a) AS ac, sum(a) AS s, min(a) AS l, \
     max(a) AS m, avg(a) AS v, median(b) AS d, first_value(a ORDER BY time) AS f, last_value(b ORDER BY time) AS e, \
     max(time) AS t FROM t GROUP BY 1, k ORDER BY 1, 2",
    "SELECT date_bin(INTERVAL '1 day', time) AS time, k, count(*) AS n, sum(a) AS a, max(b) AS b FROM t \
     WHERE a IS NULL OR a < 50 GROUP BY 1, k ORDER BY 1, 2",
    "SELECT date_bin(INTERVAL '3 days', time) AS time, count(*) AS n, sum(a) AS a FROM t \
     WHERE (a IS NULL OR a < 50) AND k = 'k1' GROUP BY 1 ORDER BY 1",
    "SELECT date_bin(INTERVAL '1 day', time, TIMESTAMP '2020-01-01T12:00:00') AS time, min(a) AS a, sum(b) AS b, \
     count(b) AS c, avg(b) AS m FROM t GROUP BY 1 ORDER BY 1",
    "SELECT k, count(*) AS n, max(time) AS t FROM t WHERE time > '2023-11-11T03:00:00Z' AND \
     time <= '2023-11-13T10:13:20Z' GROUP BY k ORDER BY k",
    "SELECT k, sum(a) AS s, avg(a) AS m, max(b) AS b FROM t WHERE k IS NULL OR k <> 'k0' GROUP BY k ORDER BY k",
    "SELECT count(*) AS n, count(b) AS c, min(a) AS a FROM t",
    "SELECT count(*) AS n, max(b) AS b FROM t WHERE time >= now() - INTERVAL '60 hours'",
];

#[derive(Clone, Debug)]
enum RollupHistoryStep {
    Change(ViewHistoryStep),
    /// Sets the retention period of the source or a view, in half days.
    Keep(&'static str, Option<u8>),
}

fn rollup_steps() -> impl Strategy<Value = Vec<RollupHistoryStep>> {
    let tables = prop_oneof![3 => Just("t"), 1 => Just("wide"), 1 => Just("daily")];
    let keep = (tables, proptest::option::of(1..12u8))
        .prop_map(|(table, half_days)| RollupHistoryStep::Keep(table, half_days));
    (steps(), proptest::collection::vec((keep, any::<prop::sample::Index>()), 0..4)).prop_map(
        |(steps, keeps)| {
            let mut all: Vec<_> = steps.into_iter().map(RollupHistoryStep::Change).collect();
            for (keep, place) in keeps {
                all.insert(place.index(all.len()), keep);
            }
            all
        },
    )
}

async fn check(one: &QueryTestInstance) {
    for sql in QUERIES {
        let expected = one.sql_with_rollups(sql, "off").await;
        for usage in ["exact", "on"] {
            let answer = one.sql_with_rollups(sql, usage).await;
            assert_eq!(answer, expected, "{usage}: {sql}");
        }
    }
}

fn boxed_check(one: &QueryTestInstance) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(check(one))
}

/// Returns whether a view answers a query.
async fn is_answered(one: &QueryTestInstance, sql: &str) -> bool {
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    plan.contains("TableScan: wide") || plan.contains("TableScan: daily")
}

async fn keep(one: &QueryTestInstance, table: &str, half_days: Option<u8>) {
    let catalog = one.catalog.database(DATABASE, Duration::ZERO).await.unwrap();
    let Some(table) = catalog.value.table(table) else {
        return;
    };
    let retention = half_days.map(|half_days| Duration::from_secs(u64::from(half_days) * 43_200));
    let kept = one.catalog.set_table_retention(DATABASE, table.id(), retention);
    kept.await.unwrap();
}

/// Answers a statement from any snapshot of the last hour.
async fn earlier_answer(one: &QueryTestInstance, sql: &str, usage: &str) -> String {
    let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
    let request = Request::post("/api/v3/query_sql")
        .header("x-neap-rollups", usage)
        .header("x-neap-max-staleness", "1h")
        .body(Body::from(body.to_string()));
    let (status, body) = one.send(request.unwrap()).await;
    assert_eq!(status, 200, "{sql}: {body}");
    body
}

#[tokio::test]
async fn a_snapshot_from_before_the_end_of_a_refresh_is_answered_as_of_that_snapshot() {
    let history = ViewHistory::new(None).await;
    let one = history.one();
    one.create_view("wide", WIDE).await;
    history.settle().await;
    for call in 0..30_u8 {
        let fields = [Some(i8::try_from(call).unwrap()), Some(1)];
        history.write(&[((Some(1), i64::from(call % 8)), fields)]).await;
        one.flush().await;
        let snapshot = async {
            one.sql_with_rollups("SELECT count(*) FROM t", "off").await;
        };
        history.refresh_around(u64::from(call), snapshot).await;
        for sql in [QUERIES[0], QUERIES[1], QUERIES[6]] {
            let expected = earlier_answer(one, sql, "off").await;
            let answer = earlier_answer(one, sql, "exact").await;
            assert_eq!(answer, expected, "{call}: {sql}");
        }
        one.pass(Duration::from_secs(200));
        history.settle().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(8)))]
    #[test]
    fn answers_from_views_are_those_of_the_source_at_any_time(steps in rollup_steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let history = ViewHistory::new(Some(boxed_check)).await;
            history.one().create_view("wide", WIDE).await;
            let mut expires = false;
            for step in steps {
                match step {
                    RollupHistoryStep::Change(step) => history.take(step).await,
                    RollupHistoryStep::Keep(table, half_days) => {
                        expires = true;
                        keep(history.one(), table, half_days).await;
                        check(history.one()).await;
                    }
                }
            }
            history.settle().await;
            check(history.one()).await;
            assert!(expires || is_answered(history.one(), QUERIES[1]).await);
        });
    }
}
