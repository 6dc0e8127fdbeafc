//! Views of views: each level is computed from the level before, and has the values of the source.

use super::{
    QueryTestInstance,
    rollup_rewrite::{line, with_view},
};

const MINUTES: &str = "SELECT date_bin(INTERVAL '1 minute', time) AS time, host, count(v) AS n, sum(v) AS total, \
    min(v) AS least, max(v) AS most, avg(v) AS mean, var_pop(v) AS variance, first_value(v ORDER BY time) AS first, \
    last_value(v ORDER BY time) AS last, approx_percentile_accumulate(v) AS percentiles, hll_accumulate(w) AS words \
    FROM levels GROUP BY 1, host";

/// Returns the query of a level over the level before.
fn level(interval: &str, source: &str) -> String {
    format!(
        "SELECT date_bin(INTERVAL '{interval}', time) AS time, host, sum(n) AS n, sum(total) AS total, \
         min(least) AS least, max(most) AS most, sum(total) / sum(n) AS mean, \
         sum(n * (variance + mean * mean)) / sum(n) - power(sum(n * mean) / sum(n), 2) AS variance, \
         first_value(first ORDER BY time) AS first, last_value(last ORDER BY time) AS last, \
         approx_percentile_combine(percentiles) AS percentiles, hll_combine(words) AS words \
         FROM {source} GROUP BY 1, host"
    )
}

const ESTIMATES: &str = "n, least, most, first, last, round(total, 6) AS total, round(mean, 6) AS mean, \
    round(sqrt(variance), 6) AS deviation, approx_percentile_estimate(percentiles, 0.9) AS p90, percentiles, \
    hll_estimate(words) AS words, words AS word_state";

async fn settle(one: &QueryTestInstance) {
    for _ in 0..3 {
        one.flush().await;
        one.refresh().await;
    }
}

fn rows() -> String {
    let row = |n: i64| {
        let tags = format!("host={}", n % 3);
        // From -400 to 1,999 minutes, with two rows in some of them.
        let minutes = n * 7 % 2_400 - 400;
        let fields = format!("v={}.25,w=\"w{}\"", n * n % 1_000, n % 70);
        line(&tags, minutes, &fields).replacen("cpu,", "levels,", 1)
    };
    (0..600).map(row).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn levels_have_the_values_of_the_source() {
    let one = QueryTestInstance::with_rows(&rows()).await;
    one.flush().await;
    let levels = [
        ("levels_1m", MINUTES.to_owned()),
        ("levels_1h", level("1 hour", "levels_1m")),
        ("levels_1d", level("1 day", "levels_1h")),
    ];
    for (name, query) in &levels {
        one.create_view(name, query).await;
        settle(&one).await;
    }
    for change in [None, Some("levels,host=1 v=777,w=\"late\" 1700000000000000000")] {
        if let Some(change) = change {
            one.write(change).await;
            settle(&one).await;
        }
        for (name, interval) in [("levels_1h", "1 hour"), ("levels_1d", "1 day")] {
            let direct = MINUTES.replace("1 minute", interval);
            let expected = format!(
                "SELECT time, host, {ESTIMATES} FROM ({direct}) AS direct ORDER BY time, host"
            );
            let stored = format!("SELECT time, host, {ESTIMATES} FROM {name} ORDER BY time, host");
            assert_eq!(
                one.sql(&stored).await,
                one.sql_with_rollups(&expected, "off").await,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn sketches_of_a_view_answer_queries_of_its_source() {
    let one = with_view().await;
    one.create_view(
        "hourly_sketches",
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, count(*) AS n, \
         approx_percentile_accumulate(v) AS p, hll_accumulate(i) AS d FROM cpu GROUP BY 1, host",
    )
    .await;
    one.refresh().await;
    for change in [None, Some(line("host=a,region=eu", 70, "i=100i,v=2000"))] {
        if let Some(change) = change {
            one.write(&change).await;
        }
        for groups in [
            "date_bin(INTERVAL '1 day', time), host",
            "host",
            "date_bin(INTERVAL '1 hour', time), host",
        ] {
            let sql = format!(
                "SELECT {groups}, approx_percentile_estimate(approx_percentile_accumulate(v), 0.95) AS p95, \
                 approx_percentile_accumulate(v) AS state, hll_estimate(hll_accumulate(i)) AS numbers FROM cpu \
                 GROUP BY {groups} ORDER BY {groups}"
            );
            let plan = one.sql(&format!("EXPLAIN {sql}")).await;
            assert!(plan.contains("TableScan: hourly_sketches"), "{plan}");
            let expected = one.sql_with_rollups(&sql, "off").await;
            assert_eq!(one.sql(&sql).await, expected, "{sql}");
        }
    }
}
