//! Materialized views and continuous queries, compared with their queries over the source.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use neap_bucket::{KeyClass, Operation};
use neap_rollup::{RefreshOutcome, RefreshReport};

use super::{DATABASE, QueryTestInstance};

/// The query of the view in most tests.
const QUERY: &str = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, count(v) AS n, avg(v) AS mean, \
                     max(w) AS w FROM cpu GROUP BY date_bin(INTERVAL '1 hour', time), host";

/// The start of a window, in seconds: the hour before the clock starts.
const HOUR: i64 = 1_699_999_200;

/// No limit.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// Returns a line at a number of minutes after [`HOUR`].
fn line(host: &str, minutes: i64, fields: &str) -> String {
    let time = (HOUR + minutes * 60) * 1_000_000_000;
    format!("cpu,host={host} {fields} {time}")
}

impl QueryTestInstance {
    pub(super) async fn refresh(&self) -> RefreshReport {
        self.engine.refresh_views(DATABASE, FOREVER).await.unwrap()
    }

    pub(super) async fn create_view(&self, name: &str, query: &str) {
        self.sql(&format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
    }

    /// Executes statements of the v1 interface that must succeed.
    pub(super) async fn influxql(&self, statements: &str) -> String {
        let body = format!("db=db&q={}", urlencode(statements));
        let request = Request::post("/query")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body));
        let (status, body) = self.send(request.unwrap()).await;
        assert_eq!(status, 200, "{statements}: {body}");
        assert!(!body.contains("\"error\""), "{statements}: {body}");
        body
    }
}

fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Checks that the rows of a view in SQL are those of its query.
pub(super) async fn assert_current(one: &QueryTestInstance, view: &str, query: &str) {
    let stored = one
        .sql(&format!("SELECT time, host, n, mean, w FROM {view} ORDER BY time, host"))
        .await;
    let computed = one
        .sql(&format!(
            "SELECT time, host, n, mean, w FROM ({query}) AS computed ORDER BY time, host"
        ))
        .await;
    assert_eq!(stored, computed);
}

async fn with_rows() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    for minutes in [0, 10, 59, 60, 61, 119, 120] {
        one.write(&line("a", minutes, &format!("v={minutes},w=1i"))).await;
        one.write(&line("b", minutes, "v=1")).await;
    }
    one.flush().await;
    one
}

async fn with_view() -> QueryTestInstance {
    let one = with_rows().await;
    one.create_view("hourly", QUERY).await;
    one
}

#[tokio::test]
async fn a_view_has_the_rows_of_its_query() {
    let one = with_view().await;
    let report = one.refresh().await;
    assert_eq!(report.windows, 3);
    assert_eq!(report.rows, 6);
    assert!(report.next_refresh().is_none(), "{report:?}");
    assert_current(&one, "hourly", QUERY).await;
    let tags = one
        .sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'hourly' AND data_type LIKE 'Dict%'")
        .await;
    assert_eq!(tags, "column_name\nhost\n");
}

#[tokio::test]
async fn a_new_view_is_an_empty_table_with_the_columns_of_its_rows() {
    let one = with_rows().await;
    let query = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, count(v) AS n, avg(v) AS mean, max(w) AS w, \
                 sum(CASE WHEN v > 1 THEN 1 ELSE 0.5 END) AS share, max(v) > 1 AS high, min(host) AS least, \
                 max(time) AS newest FROM cpu GROUP BY 1, host";
    one.create_view("hourly", query).await;
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'hourly' \
                   ORDER BY column_name";
    let created = one.sql(columns).await;
    assert!(created.contains("newest,Int64"), "{created}");
    let empty = "SELECT count(*) AS n FROM hourly WHERE host IS NULL OR n > 0";
    assert_eq!(one.sql(empty).await, "n\n0\n");
    // A view of the view needs its columns, and no rows.
    let daily = "SELECT date_bin(INTERVAL '1 day', time) AS time, host, sum(n) AS n FROM hourly GROUP BY 1, host";
    one.create_view("daily", daily).await;
    one.refresh().await;
    assert_eq!(one.sql(columns).await, created);
    let share = "SELECT share FROM hourly WHERE host = 'b' ORDER BY time LIMIT 1";
    assert_eq!(one.sql(share).await, "share\n1.5\n");
}

#[tokio::test]
async fn late_rows_change_only_their_windows() {
    let one = with_view().await;
    one.refresh().await;
    one.write(&line("a", 5, "v=100")).await;
    one.write(&line("c", 6, "v=3")).await;
    one.flush().await;
    let report = one.refresh().await;
    assert_eq!((report.windows, report.rows), (1, 2));
    assert_current(&one, "hourly", QUERY).await;
}

#[tokio::test]
async fn rows_that_are_not_flushed_are_not_in_the_view() {
    let one = with_view().await;
    one.refresh().await;
    one.write(&line("a", 5, "v=100")).await;
    assert_eq!(one.refresh().await.windows, 0);
    one.flush().await;
    assert_eq!(one.refresh().await.windows, 1);
    assert_current(&one, "hourly", QUERY).await;
}

#[tokio::test]
async fn deleted_rows_leave_the_view() {
    let one = with_view().await;
    one.refresh().await;
    one.sql("DELETE FROM cpu WHERE host = 'b'").await;
    one.flush().await;
    assert!(one.refresh().await.windows >= 3);
    assert_current(&one, "hourly", QUERY).await;
    let count = one.sql("SELECT count(*) AS n FROM hourly WHERE host = 'b'").await;
    assert_eq!(count, "n\n0\n");
    let end = (HOUR + 3_600) * 1_000_000_000;
    one.sql(&format!("DELETE FROM cpu WHERE time < to_timestamp_nanos({end})"))
        .await;
    one.flush().await;
    one.refresh().await;
    assert_current(&one, "hourly", QUERY).await;
}

#[tokio::test]
async fn changes_are_found_after_merges() {
    let one = with_view().await;
    one.refresh().await;
    for minutes in [5, 200] {
        one.write(&line("a", minutes, "v=100")).await;
        one.flush().await;
    }
    assert!(one.merge().await > 0);
    let report = one.refresh().await;
    assert_eq!(report.windows, 2, "only windows with new rows");
    assert_current(&one, "hourly", QUERY).await;
}

#[tokio::test]
async fn all_windows_are_computed_if_changes_are_no_longer_recorded() {
    let one = with_view().await;
    one.refresh().await;
    one.sql("DELETE FROM cpu WHERE host = 'b'").await;
    one.flush().await;
    while one.merge().await > 0 {}
    for _ in 0..3 {
        one.pass(Duration::from_secs(2 * 3_600));
        one.write("other v=1 1").await;
        one.flush().await;
        let event = neap_compact::CompactorEvent::Collect;
        one.compactor.handle(&event, None).await.unwrap();
    }
    one.refresh().await;
    assert_current(&one, "hourly", QUERY).await;
}

#[tokio::test]
async fn views_of_views_follow_their_sources() {
    let one = with_view().await;
    let daily = "SELECT date_bin(INTERVAL '1 day', time) AS time, host, sum(n) AS n, avg(mean) AS mean, max(w) AS w \
                 FROM hourly GROUP BY 1, host";
    one.refresh().await;
    one.flush().await;
    one.create_view("daily", daily).await;
    one.refresh().await;
    assert_current(&one, "daily", daily).await;
    one.write(&line("a", 30, "v=7")).await;
    for _ in 0..2 {
        one.flush().await;
        one.refresh().await;
    }
    assert_current(&one, "hourly", QUERY).await;
    assert_current(&one, "daily", daily).await;
}

#[tokio::test]
async fn rows_that_expire_at_the_source_stay_in_the_view() {
    let one = with_view().await;
    one.refresh().await;
    let before = one.sql("SELECT * FROM hourly ORDER BY time, host").await;
    one.flush().await;
    let catalog = one.catalog.database(DATABASE, Duration::ZERO).await.unwrap();
    let cpu = catalog.value.table("cpu").unwrap().id();
    let hour = Duration::from_secs(3_600);
    one.catalog.set_table_retention(DATABASE, cpu, Some(hour)).await.unwrap();
    one.pass(4 * hour);
    while one.merge().await > 0 {}
    one.write(&line("a", 1, "v=5")).await;
    one.write(&line("a", 300, "v=5")).await;
    one.flush().await;
    one.refresh().await;
    let after = one
        .sql(&format!(
            "SELECT * FROM hourly WHERE time < to_timestamp_nanos({}) ORDER BY time, host",
            (HOUR + 4 * 3_600) * 1_000_000_000
        ))
        .await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn without_changes_a_refresh_costs_three_reads() {
    let one = with_view().await;
    one.refresh().await;
    let before = one.counting.counts();
    one.refresh().await;
    let counts = one.counting.counts() - before;
    let expected = "1 get database_catalog, 1 get manifest, 1 get view_progress";
    assert_eq!(counts.to_string(), expected);
    // Without views, there are none.
    one.sql("DROP MATERIALIZED VIEW hourly").await;
    let before = one.counting.counts();
    one.refresh().await;
    let counts = one.counting.counts() - before;
    assert_eq!(counts.iter().count(), 0, "{counts}");
}

#[tokio::test]
async fn a_refresh_puts_one_segment_and_two_versions_of_the_progress() {
    let one = with_view().await;
    one.refresh().await;
    one.write(&line("a", 5, "v=100")).await;
    one.flush().await;
    let before = one.counting.counts();
    one.refresh().await;
    let counts = one.counting.counts() - before;
    let puts = |class| counts.of(Operation::Put, class).requests;
    assert_eq!((puts(KeyClass::Tail), puts(KeyClass::ViewProgress)), (1, 2));
    assert_eq!(counts.of(Operation::Get, KeyClass::ViewProgress).requests, 1);
    // One listing for the rows of the source, one for those of the view.
    assert_eq!(counts.of(Operation::List, KeyClass::Tail).requests, 2);
}

#[tokio::test]
async fn two_processes_do_not_write_the_same_windows_at_once() {
    let (store, clock) = QueryTestInstance::memory_store();
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    let other = QueryTestInstance::new(store, clock).await;
    one.write(&line("a", 5, "v=1,w=1i")).await;
    one.flush().await;
    one.create_view("hourly", QUERY).await;
    other.pass(Duration::from_secs(10));
    let (first, second) = tokio::join!(one.refresh(), other.refresh());
    assert_eq!(first.windows + second.windows, 1, "{first:?} {second:?}");
    assert_current(&other, "hourly", QUERY).await;
}

#[tokio::test]
async fn continuous_queries_of_the_documentation_are_kept() {
    let one = QueryTestInstance::alone().await;
    let bus = |minutes: i64, complaints: i64, passengers: i64| {
        let time = (HOUR + minutes * 60) * 1_000_000_000;
        format!("bus_data,complaints={complaints} passengers={passengers} {time}")
    };
    one.write(
        &[
            bus(0, 9, 5),
            bus(15, 9, 8),
            bus(30, 9, 8),
            bus(45, 9, 7),
            bus(60, 9, 8),
            bus(75, 7, 15),
        ]
        .join("\n"),
    )
    .await;
    one.flush().await;
    one.influxql(
        "CREATE CONTINUOUS QUERY cq_basic ON db BEGIN SELECT mean(passengers) INTO average_passengers FROM bus_data \
         GROUP BY time(1h) END",
    )
    .await;
    one.influxql(
        "CREATE CONTINUOUS QUERY cq_offset ON db RESAMPLE EVERY 30m FOR 2h BEGIN SELECT mean(passengers) INTO \
         offset_passengers FROM bus_data GROUP BY time(1h, 15m), complaints END",
    )
    .await;
    let report = one.refresh().await;
    assert!(
        report
            .views
            .iter()
            .all(|(_, outcome)| matches!(outcome, RefreshOutcome::Current)),
        "{report:?}"
    );
    assert_eq!(
        one.sql("SELECT time, mean FROM average_passengers ORDER BY time").await,
        "time,mean\n2023-11-14T22:00:00,7.0\n2023-11-14T23:00:00,11.5\n"
    );
    assert_eq!(
        one.sql("SELECT time, complaints, mean FROM offset_passengers ORDER BY time, complaints")
            .await,
        "time,complaints,mean\n2023-11-14T21:15:00,9,5.0\n2023-11-14T22:15:00,9,7.75\n2023-11-14T23:15:00,7,15.0\n"
    );
    let shown = one.influxql("SHOW CONTINUOUS QUERIES").await;
    assert!(
        shown.contains("cq_basic") && shown.contains("RESAMPLE EVERY 30m FOR 2h BEGIN SELECT"),
        "{shown}"
    );
    // A late row changes the window. The other view waits for its interval.
    one.write(&bus(20, 9, 12)).await;
    one.flush().await;
    one.refresh().await;
    assert_eq!(
        one.sql("SELECT mean FROM average_passengers ORDER BY time LIMIT 1").await,
        "mean\n8.0\n"
    );
    one.influxql("DROP CONTINUOUS QUERY cq_basic ON db").await;
    let shown = one.influxql("SHOW CONTINUOUS QUERIES").await;
    assert!(!shown.contains("cq_basic"), "{shown}");
}

#[tokio::test]
async fn queries_that_a_view_cannot_keep_are_refused() {
    let one = with_rows().await;
    for query in [
        "SELECT * FROM cpu",
        "SELECT host, avg(v) AS v FROM cpu GROUP BY host",
        "SELECT date_bin(INTERVAL '1 hour', time) AS hour, avg(v) AS v FROM cpu GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 month', time) AS time, avg(v) AS v FROM cpu GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, host FROM cpu GROUP BY 1, 2",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, avg(v) AS v FROM cpu GROUP BY 1, host",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, w, avg(v) AS v FROM cpu GROUP BY 1, w",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, avg(v) AS v FROM cpu GROUP BY 1 LIMIT 3",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, avg(v) AS v FROM cpu WHERE time > now() GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, sum(v * random()) AS v FROM cpu GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, array_agg(v) AS v FROM cpu GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, avg(v) AS v FROM cpu WHERE host = $1 GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', a.time) AS time, avg(a.v) AS v FROM cpu a, cpu b GROUP BY 1",
        "SELECT date_bin(INTERVAL '1 hour', issue_time) AS time, count(1) AS v FROM system.queries GROUP BY 1",
    ] {
        let sql = format!("CREATE MATERIALIZED VIEW refused AS {query}");
        let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
        let (status, answer) = one.post(body).await;
        assert_eq!(status, 400, "{query}: {answer}");
    }
    let existing = format!("CREATE MATERIALIZED VIEW cpu AS {QUERY}");
    let body = serde_json::json!({"db": "db", "q": existing, "format": "csv"});
    assert_eq!(one.post(body).await.0, 400);
}

#[tokio::test]
async fn views_are_shown_with_their_progress() {
    let one = with_view().await;
    let sql = "SELECT view_name, language, source_table, target_table, window_ns, state, pending_windows, staleness_s \
               FROM system.materialized_views";
    let head = "view_name,language,source_table,target_table,window_ns,state,pending_windows,staleness_s\n";
    assert_eq!(one.sql(sql).await, format!("{head}hourly,sql,cpu,hourly,3600000000000,new,,\n"));
    one.refresh().await;
    assert_eq!(
        one.sql(sql).await,
        format!("{head}hourly,sql,cpu,hourly,3600000000000,current,0,0\n")
    );
}

#[tokio::test]
async fn a_view_does_not_get_stale_by_flushes_of_other_tables() {
    let one = with_view().await;
    one.refresh().await;
    let sql = "SELECT staleness_s > 0 AS is_stale FROM system.materialized_views";
    one.pass(Duration::from_secs(60));
    one.write("other v=1 1700000000000000000").await;
    one.flush().await;
    assert_eq!(one.sql(sql).await, "is_stale\nfalse\n");
    one.write(&line("a", 61, "v=1")).await;
    one.flush().await;
    assert_eq!(one.sql(sql).await, "is_stale\ntrue\n");
}

#[tokio::test]
async fn a_view_with_conditions_and_expressions_is_kept() {
    let one = with_rows().await;
    let query = "SELECT date_bin(INTERVAL '30 minutes', time, TIMESTAMP '2023-01-01T00:10:00') AS time, host, \
                 count(v) + 1 AS n, avg(v) * 2 AS mean, max(w) AS w FROM cpu WHERE v < 100 \
                 GROUP BY date_bin(INTERVAL '30 minutes', time, TIMESTAMP '2023-01-01T00:10:00'), host \
                 HAVING count(v) > 1";
    one.create_view("halves", query).await;
    one.refresh().await;
    assert_current(&one, "halves", query).await;
    // The overwritten point no longer meets the conditions.
    one.write(&line("a", 59, "v=1000")).await;
    one.write(&line("b", 60, "v=1000")).await;
    one.flush().await;
    one.refresh().await;
    assert_current(&one, "halves", query).await;
}
