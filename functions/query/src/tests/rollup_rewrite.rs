//! Queries of tables that materialized views answer, compared with the same queries without views.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::{KeyClass, Operation, OperationCounts};
use neap_catalog::HardDelete;

use super::{DATABASE, QueryTestInstance};

/// The start of a window, in seconds: 22:00 before the clock starts.
const HOUR: i64 = 1_699_999_200;

const HOURLY: &str = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, region, count(*) AS n, count(v) AS vs, \
                      sum(v) AS total, avg(v) AS mean, min(i) AS least, max(i) AS most, sum(i) AS i_total, \
                      count(i) AS i_count, median(v) AS middle, max(time) AS newest, max(s) AS word, \
                      last_value(v ORDER BY time) AS last_v, max(ok) AS any_ok FROM cpu \
                      GROUP BY 1, host, region";

/// Queries that the view answers exactly.
const ANSWERED: [&str; 16] = [
    "SELECT date_bin(INTERVAL '1 hour', time) AS t, host, region, count(*) AS n, sum(v) AS a, avg(v) AS b, \
     median(v) AS c, last_value(v ORDER BY time) AS d FROM cpu GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT host, date_bin(INTERVAL '1 hour', c.time) AS t, c.region, max(c.i) AS m FROM cpu AS c \
     GROUP BY c.host, t, c.region ORDER BY t, host, region",
    "SELECT date_bin(INTERVAL '2 hours', time) AS t, host, count(*) AS n, max(i) AS m, sum(i) AS s FROM cpu \
     GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT date_bin(INTERVAL '3 hours', time, TIMESTAMP '2023-11-14T01:00:00') AS t, min(i) AS m FROM cpu \
     GROUP BY 1 ORDER BY 1",
    "SELECT host, count(v) AS n, max(s) AS w, max(ok) AS o FROM cpu GROUP BY host ORDER BY host",
    "SELECT count(*) AS n, max(time) AS t FROM cpu",
    "SELECT count(*) AS n FROM cpu WHERE host = 'none'",
    "SELECT count(*) AS n, sum(i) AS s FROM cpu WHERE time >= '2023-11-14T22:30:00Z' AND time < \
     '2023-11-15T00:30:00Z'",
    "SELECT region, count(*) AS n FROM cpu WHERE time > now() - INTERVAL '150 minutes' AND host IN ('a', 'b') \
     GROUP BY region ORDER BY region",
    "SELECT host, sum(i) AS s FROM cpu WHERE region IS NULL OR region = 'eu' GROUP BY host ORDER BY host",
    "SELECT host, region, date_bin(INTERVAL '1 hour', time) AS t, count(*) AS n FROM cpu WHERE host = 'a' \
     GROUP BY 1, 2, 3 HAVING count(*) > 1 ORDER BY 1, 2, 3",
    "SELECT max(n) AS m FROM (SELECT host, count(*) AS n FROM cpu GROUP BY host) AS counts",
    "SELECT date_bin(INTERVAL '1 day', time) AS t, count(*) * 2 AS n FROM cpu WHERE time BETWEEN \
     '2023-11-14T21:00:00Z' AND '2023-11-15T01:59:59.999999999Z' GROUP BY 1 ORDER BY n DESC LIMIT 1",
    "SELECT host, n FROM (SELECT host, count(*) AS n FROM cpu GROUP BY host) AS counts \
     JOIN (SELECT max(i) AS most FROM cpu) AS other ON n < most ORDER BY host",
    "SELECT count(*) AS n FROM cpu WHERE time >= '2023-11-14T22:00:00Z' AND time < '2023-11-14T23:00:00Z'",
    "SELECT host, sum(i) AS s FROM cpu WHERE time >= '2023-11-14T22:00:00Z' AND 'x' = 'x' GROUP BY host \
     ORDER BY host",
];

/// Queries that need rows of the source.
const NOT_ANSWERED: [&str; 17] = [
    "SELECT count(*) AS n FROM cpu WHERE v > 3",
    "SELECT count(DISTINCT host) AS n FROM cpu",
    "SELECT count(i) FILTER (WHERE host = 'a') AS n FROM cpu",
    "SELECT v, count(*) AS n FROM cpu GROUP BY v ORDER BY v",
    "SELECT date_bin(INTERVAL '30 minutes', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1",
    "SELECT date_bin(INTERVAL '90 minutes', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1",
    "SELECT date_bin(INTERVAL '1 hour', time, TIMESTAMP '2023-11-14T00:30:00') AS t, count(*) AS n FROM cpu \
     GROUP BY 1 ORDER BY 1",
    "SELECT date_bin(INTERVAL '1 month', time) AS t, count(*) AS n FROM cpu GROUP BY 1 ORDER BY 1",
    "SELECT host, region, round(stddev(v), 6) AS s FROM cpu GROUP BY host, region ORDER BY host, region",
    "SELECT host, median(v) AS m FROM cpu GROUP BY host ORDER BY host",
    "SELECT host, last_value(v ORDER BY time) AS m FROM cpu GROUP BY host ORDER BY host",
    "SELECT count(*) AS n FROM cpu WHERE time > '2023-11-14T22:00:00Z' OR host = 'a'",
    "SELECT count(*) AS n FROM cpu WHERE extract(minute FROM time) = 10",
    "SELECT host FROM cpu GROUP BY host, v ORDER BY host",
    "SELECT time, host FROM cpu ORDER BY time, host, v",
    "SELECT count(*) AS n FROM cpu WHERE time > '2023-11-14T22:10:00Z' AND time < '2023-11-14T22:50:00Z'",
    "SELECT count(*) AS n FROM cpu WHERE host = 'a' AND host IN (SELECT host FROM cpu WHERE v > 3)",
];

/// Queries whose floats may differ in the last digits from those of the source.
const INEXACT: [&str; 3] = [
    "SELECT host, avg(v) AS m, sum(v) AS s FROM cpu GROUP BY host ORDER BY host",
    "SELECT date_bin(INTERVAL '2 hours', time) AS t, avg(v) AS m FROM cpu GROUP BY 1 ORDER BY 1",
    "SELECT host, avg(i) AS m FROM cpu WHERE time >= '2023-11-14T22:30:00Z' GROUP BY host ORDER BY host",
];

/// Returns a line at a number of minutes after [`HOUR`].
pub(super) fn line(tags: &str, minutes: i64, fields: &str) -> String {
    let time = (HOUR + minutes * 60) * 1_000_000_000;
    format!("cpu,{tags} {fields} {time}")
}

fn lines() -> String {
    let mut lines = Vec::new();
    for minutes in [-400, -61, -60, -1, 0, 10, 59, 60, 61, 119, 120, 179, 400] {
        lines.push(line(
            "host=a,region=eu",
            minutes,
            &format!("v={minutes}.5,i={minutes}i,s=\"w{minutes}\""),
        ));
        lines.push(line("host=b,region=us", minutes, &format!("v=0.25,ok={}", minutes % 3 == 0)));
        lines.push(line("host=b", minutes, "i=7i"));
    }
    lines.join("\n")
}

impl QueryTestInstance {
    /// Answers a statement that must succeed, with this value of `x-neap-rollups`.
    pub(super) async fn sql_with_rollups(&self, sql: &str, usage: &str) -> String {
        let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
        let request = Request::post("/api/v3/query_sql")
            .header("x-neap-rollups", usage)
            .body(Body::from(body.to_string()))
            .unwrap();
        let (status, body) = self.send(request).await;
        assert_eq!(status, 200, "{sql}: {body}");
        body
    }

    async fn drop_table(&self, name: &str) {
        let dropped = self.catalog.delete_table(DATABASE, name, HardDelete::Never);
        dropped.await.unwrap();
    }

    pub(super) async fn reads_view(&self, sql: &str, usage: &str) -> bool {
        let plan = self.sql_with_rollups(&format!("EXPLAIN {sql}"), usage).await;
        plan.contains("TableScan: hourly")
    }

    /// Checks that a view answers a query, and that the answer is that of the source.
    pub(super) async fn assert_answered(&self, sql: &str, usage: &str) {
        assert!(self.reads_view(sql, usage).await, "{sql}");
        assert!(!self.reads_view(sql, "off").await, "{sql}");
        let expected = self.sql_with_rollups(sql, "off").await;
        assert_eq!(self.sql_with_rollups(sql, usage).await, expected, "{sql}");
    }
}

pub(super) async fn with_view() -> QueryTestInstance {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    one.create_view("hourly", HOURLY).await;
    one.refresh().await;
    one
}

#[tokio::test]
async fn a_view_answers_queries_of_its_source() {
    let one = with_view().await;
    for sql in ANSWERED {
        one.assert_answered(sql, "exact").await;
        one.assert_answered(sql, "on").await;
    }
    for sql in NOT_ANSWERED {
        for usage in ["exact", "on"] {
            assert!(!one.reads_view(sql, usage).await, "{sql}");
        }
    }
    for sql in INEXACT {
        assert!(!one.reads_view(sql, "exact").await, "{sql}");
        one.assert_answered(sql, "on").await;
    }
}

#[tokio::test]
async fn the_plan_shows_the_view_and_the_source() {
    let one = with_view().await;
    one.write(&line("host=a,region=eu", 70, "i=100i")).await;
    let sql = "SELECT date_bin(INTERVAL '2 hours', time) AS t, host, max(i) AS m FROM cpu \
               WHERE time >= '2023-11-14T21:00:00Z' AND time < '2023-11-15T02:00:00Z' GROUP BY 1, 2";
    let plan = one.sql_as(&format!("EXPLAIN {sql}"), "json").await;
    let rows: serde_json::Value = serde_json::from_str(&plan).unwrap();
    insta::assert_snapshot!(rows[0]["plan"].as_str().unwrap(), @r#"
    Projection: key:0 AS t, key:1 AS host, value:0 AS m
      Aggregate: groupBy=[[key:0, key:1]], aggr=[[max(value:0) AS value:0]]
        Union
          Projection: date_bin(IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 7200000000000 }"), hourly.time) AS key:0, hourly.host AS key:1, hourly.most AS value:0
            Filter: hourly.time >= TimestampNanosecond(1699995600000000000, None) AND hourly.time <= TimestampNanosecond(1700013599999999999, None) AND (hourly.time <= TimestampNanosecond(1700002799999999999, None) OR hourly.time >= TimestampNanosecond(1700006400000000000, None))
              TableScan: hourly projection=[host, most, time], partial_filters=[hourly.time >= TimestampNanosecond(1699995600000000000, None), hourly.time <= TimestampNanosecond(1700013599999999999, None), hourly.time <= TimestampNanosecond(1700002799999999999, None) OR hourly.time >= TimestampNanosecond(1700006400000000000, None)]
          Projection: date_bin(IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 7200000000000 }"),cpu.time) AS key:0, cpu.host AS key:1, value:0 AS value:0
            Aggregate: groupBy=[[date_bin(IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 7200000000000 }"), cpu.time), cpu.host]], aggr=[[max(cpu.i) AS value:0]]
              Filter: cpu.time >= TimestampNanosecond(1700002800000000000, None) AND cpu.time <= TimestampNanosecond(1700006399999999999, None)
                TableScan: cpu projection=[host, i, time], partial_filters=[cpu.time >= TimestampNanosecond(1700002800000000000, None), cpu.time <= TimestampNanosecond(1700006399999999999, None)]
    "#);
}

#[tokio::test]
async fn rows_that_the_view_lacks_come_from_the_source() {
    let one = with_view().await;
    let changes = [
        line("host=a,region=eu", 5, "v=1000,i=1000i"),
        line("host=c,region=eu", 5, "v=3,i=5i"),
        line("host=a,region=eu", 300, "i=5i"),
        line("host=a,region=eu", -400, "i=-70i"),
    ];
    for change in changes {
        one.write(&change).await;
        for _ in 0..2 {
            for sql in ANSWERED.iter().take(13) {
                one.assert_answered(sql, "exact").await;
            }
            one.flush().await;
        }
    }
    one.refresh().await;
    for sql in ANSWERED {
        one.assert_answered(sql, "exact").await;
    }
}

#[tokio::test]
async fn deleted_rows_are_not_read_from_the_view() {
    let one = with_view().await;
    let end = (HOUR + 600) * 1_000_000_000;
    one.sql(&format!(
        "DELETE FROM cpu WHERE time BETWEEN to_timestamp_nanos({HOUR}000000000) AND to_timestamp_nanos({end})"
    ))
    .await;
    for _ in 0..2 {
        one.assert_answered(ANSWERED[0], "exact").await;
        one.assert_answered(ANSWERED[4], "exact").await;
        one.flush().await;
    }
    one.refresh().await;
    // A delete without bounds changes all windows.
    one.sql("DELETE FROM cpu WHERE host = 'b'").await;
    for _ in 0..2 {
        assert!(!one.reads_view(ANSWERED[0], "exact").await);
        one.flush().await;
    }
    one.refresh().await;
    one.assert_answered(ANSWERED[0], "exact").await;
}

#[tokio::test]
async fn expired_rows_of_the_source_are_not_read_from_the_view() {
    let one = with_view().await;
    one.flush().await;
    let table = |name: &'static str| {
        let catalog = one.catalog.database(DATABASE, Duration::ZERO);
        async move { catalog.await.unwrap().value.table(name).unwrap().id() }
    };
    let (cpu, hourly) = (table("cpu").await, table("hourly").await);
    let keep = |table, hours: Option<u64>| {
        let retention = hours.map(|hours| Duration::from_secs(hours * 3_600));
        one.catalog.set_table_retention(DATABASE, table, retention)
    };
    keep(cpu, Some(2)).await.unwrap();
    for _ in 0..2 {
        for sql in ANSWERED {
            let expected = one.sql_with_rollups(sql, "off").await;
            assert_eq!(one.sql(sql).await, expected, "{sql}");
        }
        one.assert_answered(ANSWERED[5], "exact").await;
        while one.merge().await > 0 {}
    }
    // The rows stay hidden when the retention period is extended.
    keep(cpu, None).await.unwrap();
    for _ in 0..2 {
        one.assert_answered(ANSWERED[5], "exact").await;
        one.write(&line("host=a,region=eu", -390, "i=5i")).await;
        one.flush().await;
        one.refresh().await;
    }
    // Rows of the view expire.
    keep(hourly, Some(1)).await.unwrap();
    one.assert_answered(ANSWERED[5], "exact").await;
    while one.merge().await > 0 {}
    keep(hourly, None).await.unwrap();
    for _ in 0..2 {
        one.assert_answered(ANSWERED[5], "exact").await;
        one.write(&line("host=a,region=eu", -380, "i=5i")).await;
        one.flush().await;
        one.refresh().await;
    }
}

#[tokio::test]
async fn a_view_whose_table_or_source_was_replaced_is_not_read() {
    let one = with_view().await;
    one.drop_table("hourly").await;
    one.write(&line("host=a,region=eu", 5, "i=5i")).await;
    for _ in 0..2 {
        one.flush().await;
        one.refresh().await;
        assert!(!one.reads_view(ANSWERED[5], "exact").await);
    }
    let one = with_view().await;
    one.drop_table("cpu").await;
    one.write(&line("host=z,region=eu", 5, "i=5i,v=2,s=\"a\",ok=true")).await;
    assert!(!one.reads_view(ANSWERED[5], "exact").await);
    one.flush().await;
    one.refresh().await;
    one.assert_answered(ANSWERED[5], "exact").await;
}

#[tokio::test]
async fn views_that_may_lack_groups_are_not_read() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    let sql = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, max(i) AS m FROM cpu GROUP BY 1, host";
    one.create_view("hourly", sql).await;
    one.refresh().await;
    assert!(!one.reads_view(sql, "on").await);
    one.sql("DROP MATERIALIZED VIEW hourly").await;
    let sql = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, count(i) AS m FROM cpu GROUP BY 1, host";
    one.create_view("hourly_counts", &format!("{sql} HAVING count(i) > 1")).await;
    one.refresh().await;
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    assert!(!plan.contains("hourly_counts"), "{plan}");
}

#[tokio::test]
async fn the_conditions_of_a_view_must_be_those_of_the_query() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    let sql = "SELECT date_bin(INTERVAL '1 hour', time) AS time, region AS r, count(*) AS n FROM cpu \
               WHERE v > 0 AND host = 'b' GROUP BY 1, region";
    one.create_view("hourly", sql).await;
    one.refresh().await;
    let query = |condition: &str| {
        format!("SELECT region, count(*) AS n FROM cpu {condition} GROUP BY region ORDER BY region")
    };
    for condition in [
        "WHERE v > 0 AND host = 'b'",
        "WHERE host = 'b' AND region = 'us' AND v > 0 AND time > '2023-11-14T21:30:00Z'",
    ] {
        one.assert_answered(&query(condition), "exact").await;
    }
    for condition in [
        "",
        "WHERE v > 0",
        "WHERE v > 1 AND host = 'b'",
        "WHERE v > 0 AND host = 'b' AND i > 0",
    ] {
        assert!(!one.reads_view(&query(condition), "exact").await, "{condition}");
    }
}

#[tokio::test]
async fn the_longest_windows_are_read() {
    let one = with_view().await;
    let daily =
        "SELECT date_bin(INTERVAL '2 hours', time) AS time, count(*) AS n FROM cpu GROUP BY 1";
    one.create_view("two_hourly", daily).await;
    one.refresh().await;
    let plan = one.sql("EXPLAIN SELECT count(*) FROM cpu").await;
    assert!(
        plan.contains("TableScan: two_hourly") && !plan.contains("TableScan: hourly"),
        "{plan}"
    );
    one.assert_answered("SELECT host, count(*) AS n FROM cpu GROUP BY host ORDER BY host", "exact")
        .await;
}

#[tokio::test]
async fn only_queries_that_a_view_can_answer_read_the_progress() {
    let one = with_view().await;
    one.write("other v=1 1").await;
    one.flush().await;
    for sql in ANSWERED {
        one.sql(sql).await;
        let counts = one.requests(sql).await;
        let reads = counts.of(Operation::Get, KeyClass::ViewProgress).requests;
        assert_eq!(reads, 1, "{sql}");
        let before = one.counting.counts();
        one.sql_with_rollups(sql, "off").await;
        let without = one.counting.counts() - before;
        let total = |counts: &OperationCounts| {
            counts.iter().map(|(_, _, count)| count.requests).sum::<u64>()
        };
        assert!(total(&counts) <= total(&without) + 1, "{sql}: {counts} and {without}");
    }
    for sql in NOT_ANSWERED.into_iter().take(9).chain(["SELECT count(*) FROM other"]) {
        let counts = one.requests(sql).await;
        let reads = counts.of(Operation::Get, KeyClass::ViewProgress).requests;
        assert_eq!(reads, 0, "{sql}");
    }
}

#[tokio::test]
async fn earlier_states_and_other_headers_do_not_read_views() {
    let one = with_view().await;
    let sql = format!("EXPLAIN {}", ANSWERED[0]);
    let stamp = one.write(&line("host=a,region=eu", 5, "i=5i")).await;
    let (status, _, plan) = one.sql_at(&sql, &stamp.to_string()).await;
    assert_eq!(status, 200, "{plan}");
    assert!(!plan.contains("TableScan: hourly"), "{plan}");
    let request = Request::get("/api/v3/query_sql?db=db&q=SELECT%201")
        .header("x-neap-rollups", "maybe")
        .body(Body::empty());
    let (status, body) = one.send(request.unwrap()).await;
    let expected = "header x-neap-rollups is neither on, exact nor off";
    assert_eq!((status, body.as_str()), (400, expected));
}
