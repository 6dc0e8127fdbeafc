//! Windows and local times, as InfluxDB 1.6 answers them.

use crate::{QuerySettings, tests::instance::QueryTestInstance};

/// The last point of `c` lies on the start of a window of 20 s and of 100 s.
const POINTS: &str = "\
c,host=a v=1,u=2i 1700000000000000000
c,host=a v=2,u=3i 1700000060000000000
c,host=b v=5,u=4i 1700000120000000000
c,host=a v=7,u=9i 1700000300000000000";

/// Points around shifts of the clock in Berlin and New York.
const LOCAL: &str = "\
tz v=1 1698537600000000000
tz v=2 1698541200000000000
tz v=3 1698544800000000000
tz v=4 1679790600000000000
tz v=5 1698535800000000000
tz v=6 1698539400000000000
tz v=7 1698543000000000000
tz v=8 1699162200000000000
tz v=9 1699165800000000000";

async fn points() -> QueryTestInstance {
    QueryTestInstance::with_rows(POINTS).await
}

async fn local() -> QueryTestInstance {
    QueryTestInstance::with_rows(LOCAL).await
}

#[tokio::test]
async fn windows_of_a_statement_do_not_end_with_those_of_its_subquery() {
    let one = points().await;
    let q = "SELECT mean(m) FROM (SELECT v AS m FROM c WHERE time < 1700000060s) WHERE time >= 1700000000s AND time < 1700000240s GROUP BY time(1m) fill(0)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","mean"],"values":[["2023-11-14T22:13:00Z",1],["2023-11-14T22:14:00Z",0],["2023-11-14T22:15:00Z",0],["2023-11-14T22:16:00Z",0],["2023-11-14T22:17:00Z",0]]}]"#);
    let q = "SELECT mean(m) FROM (SELECT mean(v) AS m FROM c WHERE time >= 1700000060s AND time < 1700000180s GROUP BY time(1m)) WHERE time >= 1700000000s AND time < 1700000240s GROUP BY time(1m) fill(previous)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","mean"],"values":[["2023-11-14T22:13:00Z",null],["2023-11-14T22:14:00Z",2],["2023-11-14T22:15:00Z",5],["2023-11-14T22:16:00Z",5],["2023-11-14T22:17:00Z",5]]}]"#);
    let q = "SELECT sum(m) FROM (SELECT v AS m FROM c WHERE time > 1700000060s), (SELECT u AS m FROM c WHERE time < 1700000060s) WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(2m)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","sum"],"values":[["2023-11-14T22:12:00Z",2],["2023-11-14T22:14:00Z",5],["2023-11-14T22:16:00Z",null],["2023-11-14T22:18:00Z",7]]}]"#);
}

#[tokio::test]
async fn windows_with_an_aggregate_remain_without_the_value_of_a_transformation() {
    let one = points().await;
    let q = "SELECT mean(v) + difference(mean(v)) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(1m)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","mean_difference"],"values":[["2023-11-14T22:13:00Z",null],["2023-11-14T22:14:00Z",3],["2023-11-14T22:15:00Z",8],["2023-11-14T22:16:00Z",null],["2023-11-14T22:17:00Z",null],["2023-11-14T22:18:00Z",9],["2023-11-14T22:19:00Z",null]]}]"#);
    let q = "SELECT mean(v) * cumulative_sum(mean(v)) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(1m) fill(none)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","mean_cumulative_sum"],"values":[["2023-11-14T22:13:00Z",1],["2023-11-14T22:14:00Z",6],["2023-11-14T22:15:00Z",40],["2023-11-14T22:18:00Z",105]]}]"#);
    let q = "SELECT difference(mean(v)) + difference(mean(u)) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(1m)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","difference_difference"],"values":[["2023-11-14T22:14:00Z",2],["2023-11-14T22:15:00Z",4],["2023-11-14T22:18:00Z",7]]}]"#);
    let q = "SELECT max(u), difference(mean(v)) + difference(mean(u)) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(2m)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","max","difference_difference"],"values":[["2023-11-14T22:12:00Z",2,null],["2023-11-14T22:14:00Z",4,4],["2023-11-14T22:16:00Z",null,null],["2023-11-14T22:18:00Z",9,9]]}]"#);
}

#[tokio::test]
async fn the_last_window_has_no_integral_if_its_points_lie_at_its_start() {
    let one = points().await;
    let q = "SELECT integral(v) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(20s)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","integral"],"values":[["2023-11-14T22:13:20Z",23.333333333333332],["2023-11-14T22:14:20Z",116.66666666666666],["2023-11-14T22:15:20Z",262.22222222222223]]}]"#);
    let q = "SELECT integral(v) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(1m)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","integral"],"values":[["2023-11-14T22:13:00Z",53.33333333333333],["2023-11-14T22:14:00Z",156.66666666666666],["2023-11-14T22:15:00Z",298.8888888888889],["2023-11-14T22:18:00Z",871.1111111111111]]}]"#);
    let q = "SELECT integral(v), mean(v) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(100s)";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","columns":["time","integral","mean"],"values":[["2023-11-14T22:13:20Z",210,1.5],["2023-11-14T22:15:00Z",525.5555555555555,5],["2023-11-14T22:16:40Z",null,null],["2023-11-14T22:18:20Z",null,7]]}]"#);
    let q = "SELECT integral(v) FROM c WHERE time >= 1700000000s AND time < 1700000360s GROUP BY time(20s), host";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"c","tags":{"host":"a"},"columns":["time","integral"],"values":[["2023-11-14T22:13:20Z",23.333333333333332],["2023-11-14T22:14:20Z",110.83333333333333]]}]"#);
}

#[tokio::test]
async fn local_times_around_a_shift_of_the_clock_are_those_of_influxdb_1() {
    let one = local().await;
    let q = "SELECT v FROM tz WHERE time >= '2023-10-29 02:30:00' AND time < '2023-10-30' TZ('Europe/Berlin')";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"tz","columns":["time","v"],"values":[["2023-10-29T02:30:00+01:00",7],["2023-10-29T03:00:00+01:00",3]]}]"#);
    let q = "SELECT v FROM tz WHERE time >= '2023-10-29 01:59:00' AND time < '2023-10-29 02:30:00' TZ('Europe/Berlin')";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"tz","columns":["time","v"],"values":[["2023-10-29T02:00:00+02:00",1],["2023-10-29T02:30:00+02:00",6],["2023-10-29T02:00:00+01:00",2]]}]"#);
    let q = "SELECT v FROM tz WHERE time >= '2023-03-26 02:30:00' AND time < '2023-03-27' TZ('Europe/Berlin')";
    insta::assert_snapshot!(one.ask(q).await, @r#""#);
    let q = "SELECT v FROM tz WHERE time >= '2023-03-26 01:30:00' AND time < '2023-03-26 02:30:00' TZ('Europe/Berlin')";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"tz","columns":["time","v"],"values":[["2023-03-26T01:30:00+01:00",4]]}]"#);
    let q = "SELECT v FROM tz WHERE time >= '2023-11-05 01:30:00' AND time < '2023-11-06' TZ('America/New_York')";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"tz","columns":["time","v"],"values":[["2023-11-05T01:30:00-04:00",8],["2023-11-05T01:30:00-05:00",9]]}]"#);
}

#[tokio::test]
async fn the_number_of_windows_of_a_series_is_limited() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { max_windows: 6, ..QuerySettings::default() };
    let one = QueryTestInstance::with(store, clock, settings).await;
    one.write(POINTS).await;
    let since_first = "SELECT mean(v) FROM c WHERE time < 1700000360s GROUP BY time(1m)";
    insta::assert_snapshot!(one.ask(since_first).await, @r#""error":"query error: error while executing plan: Execution error: the query has 7 windows of time for each series, more than 6, the limit of this server; use longer windows, a shorter range of time, or windows without filling""#);
    let in_range =
        "SELECT count(v) FROM c WHERE time >= 0 AND time < 1700000360s GROUP BY time(1s)";
    insta::assert_snapshot!(one.ask(in_range).await, @r#""error":"the query has 1700000360 windows of time for each series, more than 6, the limit of this server; use longer windows, a shorter range of time, or windows without filling""#);
    let nested = format!("SELECT max(mean) FROM ({since_first} fill(0))");
    insta::assert_snapshot!(one.ask(&nested).await, @r#""error":"query error: error while executing plan: Execution error: the query has 7 windows of time for each series, more than 6, the limit of this server; use longer windows, a shorter range of time, or windows without filling""#);
    // Windows that are not filled are those of rows.
    let unfilled = "SELECT max(v) FROM c WHERE time >= 0 GROUP BY time(1s) fill(none) LIMIT 1";
    insta::assert_snapshot!(one.ask(unfilled).await, @r#""series":[{"name":"c","columns":["time","max"],"values":[["2023-11-14T22:13:20Z",1]]}]"#);
    let q = "SELECT date_bin_gapfill(INTERVAL '1 second', time) AS t, max(v) FROM c \
             WHERE time >= '2023-11-14T22:13:20Z' AND time < '2023-11-14T22:13:27Z' GROUP BY t";
    let (status, body) = one.post(serde_json::json!({"db": "db", "q": q})).await;
    assert_eq!(status, 400);
    assert!(body.contains("the query has 7 windows of time"), "{body}");
}
