//! Queries over workers: the answers are those of one process.

use std::{fmt::Write as _, sync::Arc};

use axum::body::Body;
use http::Request;
use neap_distributed::Exchange;

use super::QueryTestInstance;
use crate::QuerySettings;

const START: i64 = 1_700_000_000_000_000_000;

const MINUTE: i64 = 60_000_000_000;

/// Two instances over one bucket: one computes alone, the other one with workers.
pub(crate) struct Pair {
    pub(crate) local: QueryTestInstance,
    pub(crate) distributed: QueryTestInstance,
}

pub(crate) struct DistributedAnswer {
    pub(crate) status: u16,
    /// The number of workers; zero if the query was not distributed.
    pub(crate) workers: usize,
    pub(crate) body: String,
}

impl Pair {
    pub(crate) async fn new(workers: usize, exchange: Exchange) -> Self {
        Self::with(QuerySettings::default(), workers, exchange).await
    }

    pub(crate) async fn with(settings: QuerySettings, workers: usize, exchange: Exchange) -> Self {
        let (store, clock) = QueryTestInstance::memory_store();
        let local = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
        let workers = (workers, exchange);
        let distributed = QueryTestInstance::distributed(store, clock, settings, workers).await;
        Self { local, distributed }
    }

    pub(crate) async fn run(&self, sql: &str) -> DistributedAnswer {
        run(&self.distributed, sql).await
    }

    /// Checks that both instances give the same rows. Returns the number of workers.
    pub(crate) async fn check(&self, sql: &str) -> usize {
        let expected = self.local.sql(sql).await;
        let found = self.run(sql).await;
        assert_eq!(found.status, 200, "{sql}: {}", found.body);
        // The order of rows is that of the last clause of the statement.
        let last = sql.rsplit("FROM").next().unwrap();
        if last.contains("ORDER BY") {
            assert_eq!(found.body, expected, "{sql}")
        } else {
            assert_eq!(sorted(&found.body), sorted(&expected), "{sql}")
        }
        found.workers
    }
}

async fn run(instance: &QueryTestInstance, sql: &str) -> DistributedAnswer {
    let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
    let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
    let (head, body) = instance.exchange(request.unwrap()).await;
    let workers = head
        .headers
        .get("x-neap-workers")
        .map_or(0, |workers| workers.to_str().unwrap().parse().unwrap());
    DistributedAnswer { status: head.status.as_u16(), workers, body }
}

fn sorted(body: &str) -> Vec<&str> {
    let mut rows: Vec<&str> = body.lines().collect();
    rows.sort_unstable();
    rows
}

/// Writes points of several hosts: sections of several days, with rewritten points and deletes, and a tail.
pub(crate) async fn fill(one: &QueryTestInstance) {
    for day in 0..3 {
        let mut lines = Vec::new();
        for minute in 0..40 {
            for host in 0..6 {
                let time = START + day * 86_400_000_000_000 + minute * MINUTE;
                let (usage, load) = (minute * 7 % 50 + host, (minute + host) % 9);
                let region = ["eu", "us", "asia"][usize::try_from(host % 3).unwrap()];
                lines.push(format!(
                    "cpu,host=h{host},region={region} usage={usage}i,load={load}.5 {time}"
                ));
            }
        }
        one.write(&lines.join("\n")).await;
        one.flush().await;
    }
    // Newer versions of some points, in sections that overlap the others.
    let mut lines = Vec::new();
    for minute in (0..40).step_by(3) {
        let time = START + 86_400_000_000_000 + minute * MINUTE;
        lines.push(format!("cpu,host=h1,region=us usage={}i {time}", minute + 1_000));
    }
    one.write(&lines.join("\n")).await;
    one.flush().await;
    let times = format!(
        "time >= to_timestamp({}) AND time < to_timestamp({})",
        START + 10 * MINUTE,
        START + 12 * MINUTE
    );
    one.sql(&format!("DELETE FROM cpu WHERE host = 'h2' AND {times}")).await;
    one.write(&format!(
        "cpu,host=h0,region=eu usage=7i {START}\ncpu,host=h9 load=2.5 {}",
        START + 5 * MINUTE
    ))
    .await;
    one.write(
        "hosts,host=h0,owner=ann rank=1i 1700000000000000000\n\
         hosts,host=h1,owner=ben rank=2i 1700000000000000000\n\
         hosts,host=h7,owner=eve rank=3i 1700000000000000000",
    )
    .await;
}

/// Statements that are distributed, over the data of [`fill`].
pub(crate) const DISTRIBUTED: &[&str] = &[
    "SELECT * FROM cpu",
    "SELECT count(*) AS n, sum(usage) AS s, min(load) AS a, max(load) AS b, avg(usage) AS m FROM cpu",
    "SELECT host, count(*) AS n, sum(usage) AS s FROM cpu GROUP BY host",
    "SELECT date_bin(INTERVAL '10 minutes', time) AS t, region, avg(load) AS l FROM cpu GROUP BY 1, 2",
    "SELECT DISTINCT host, region FROM cpu",
    "SELECT count(DISTINCT host) AS n FROM cpu",
    "SELECT time, host, usage FROM cpu ORDER BY usage DESC, time, host LIMIT 7",
    "SELECT time, host, usage FROM cpu ORDER BY usage DESC, time, host LIMIT 7 OFFSET 3",
    "SELECT time, host, usage FROM cpu WHERE usage > 40 AND region IN ('eu', 'asia')",
    "SELECT host, usage FROM cpu WHERE time >= '2023-11-15T00:00:00Z' AND host = 'h1' ORDER BY time",
    "SELECT host, selector_first(usage, time)['value'] AS f, selector_last(load, time)['time'] AS l, \
     selector_max(usage, time)['value'] AS m FROM cpu GROUP BY host",
    "SELECT host, array_length(lttb(time, usage, 5)) AS n, lttb(time, usage, 5)[3]['value'] AS l, \
     m4(time, load, 8)[3]['time'] AS m FROM cpu GROUP BY host",
    "SELECT host, time, usage - lag(usage) OVER (PARTITION BY host ORDER BY time) AS d FROM cpu",
    "SELECT host, time, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r FROM cpu \
     WHERE usage < 20",
    "SELECT host, time, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r, \
     lag(usage) OVER (PARTITION BY host ORDER BY time) AS a, lead(usage, 2, 0) OVER (PARTITION BY host ORDER BY time) AS b \
     FROM cpu",
    "SELECT host, time, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r, nth_value(usage, 2) OVER \
     (PARTITION BY host ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS n FROM cpu",
    "SELECT host, time, sum(usage) FILTER (WHERE load > 4) OVER (PARTITION BY host ORDER BY time) AS s FROM cpu",
    "SELECT host, time, lead(usage) IGNORE NULLS OVER (PARTITION BY host ORDER BY time) AS n FROM cpu",
    "SELECT host, time FROM cpu WHERE usage <> 7 AND 100 / (usage - 7) > 20",
    "SELECT time, host, sum(usage) OVER (ORDER BY time, host) AS s FROM cpu WHERE region = 'eu'",
    "SELECT host, count(*) AS n, max(s) AS m FROM (SELECT host, sum(usage) OVER (ORDER BY time, host) AS s FROM cpu) \
     GROUP BY host",
    "SELECT a.host, b.owner, count(*) AS n FROM cpu a JOIN hosts b ON a.host = b.host GROUP BY 1, 2",
    "SELECT a.host, b.owner, a.usage FROM cpu a LEFT JOIN hosts b ON a.host = b.host WHERE a.usage > 45",
    "SELECT b.host, count(a.usage) AS n FROM hosts b LEFT JOIN cpu a ON a.host = b.host GROUP BY 1",
    "SELECT a.host, b.host AS other FROM cpu a FULL JOIN hosts b ON a.host = b.host AND a.usage > 48",
    "SELECT x.host, x.usage, y.load FROM cpu x JOIN cpu y ON x.host = y.host AND x.time = y.time \
     WHERE x.usage % 5 = 0",
    "SELECT count(*) AS n FROM cpu a JOIN hosts b ON a.usage > b.rank * 20",
    "SELECT host FROM cpu WHERE usage = (SELECT max(usage) FROM cpu)",
    "SELECT count(*) AS n FROM cpu WHERE host IN (SELECT host FROM hosts WHERE rank > 1)",
    "SELECT count(*) AS n FROM cpu WHERE host NOT IN (SELECT host FROM hosts WHERE rank > 1)",
    "SELECT count(*) AS n FROM cpu a WHERE EXISTS (SELECT 1 FROM hosts b WHERE b.host = a.host)",
    "SELECT host, usage FROM cpu WHERE usage > 48 UNION ALL SELECT host, rank FROM hosts",
    "SELECT host FROM cpu UNION SELECT host FROM hosts",
    "SELECT region || '-' || host AS name, count(*) AS n FROM cpu GROUP BY 1",
    "SELECT upper(host) AS h, round(load * 2) AS l FROM cpu WHERE host LIKE 'h%' AND host ~ '[12]$'",
    "SELECT region, host, sum(usage) AS s FROM cpu GROUP BY GROUPING SETS ((region), (host), ())",
    "SELECT m.host, m.most FROM (SELECT host, max(usage) AS most FROM cpu GROUP BY host) m \
     JOIN hosts h ON h.host = m.host",
    "SELECT date_bin_gapfill(INTERVAL '7 minutes', time) AS t, host, interpolate(avg(usage)) AS u FROM cpu \
     WHERE time >= to_timestamp(1700000000000000000) AND time < to_timestamp(1700003000000000000) GROUP BY 1, 2",
    "SELECT median(usage) AS m, approx_distinct(usage) AS d, array_agg(DISTINCT region ORDER BY region) AS r FROM cpu",
    "SELECT max(time) AS t FROM cpu HAVING count(*) > 3",
    "SELECT host, first_value(usage ORDER BY time) AS f, last_value(usage ORDER BY time) AS l FROM cpu GROUP BY host",
    "SELECT host, last_value(usage ORDER BY time) AS l, max(time) AS t FROM cpu GROUP BY host",
    "SELECT n, count(*) AS c FROM (SELECT count(*) AS n FROM cpu GROUP BY host) GROUP BY n",
    "WITH top AS (SELECT host, usage FROM cpu ORDER BY usage DESC, host, time LIMIT 20) \
     SELECT host, count(*) AS n FROM top GROUP BY host",
];

/// Statements that one process answers, for some reason.
const LOCAL: &[&str] = &[
    "SELECT 1",
    "SELECT count(*) AS n FROM information_schema.tables",
    "SELECT lag(usage) IGNORE NULLS OVER (ORDER BY time, host) AS u FROM cpu",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) \
     SELECT r.n, count(*) AS c FROM r JOIN cpu ON cpu.usage = r.n GROUP BY 1",
];

#[tokio::test]
async fn answers_over_workers_are_those_of_one_process() {
    let pair = Pair::new(4, Exchange::Workers).await;
    fill(&pair.local).await;
    let mut whole = Vec::new();
    for sql in DISTRIBUTED {
        if pair.check(sql).await == 0 {
            whole.push(*sql);
        }
    }
    assert!(whole.is_empty(), "not distributed: {whole:#?}");
    for sql in LOCAL {
        pair.check(sql).await;
    }
    let workers = pair.distributed.workers.as_ref().unwrap();
    assert!(workers.tasks().iter().all(|tasks| *tasks > 0));
    assert_eq!(workers.failures(), Vec::<String>::new());
}

#[tokio::test]
async fn answers_are_the_same_if_workers_exchange_no_rows() {
    let pair = Pair::new(3, Exchange::Coordinator).await;
    fill(&pair.local).await;
    let mut distributed = 0;
    for sql in DISTRIBUTED.iter().chain(LOCAL) {
        distributed += usize::from(pair.check(sql).await > 0);
    }
    assert!(distributed > DISTRIBUTED.len() / 2, "{distributed}");
    assert_eq!(pair.check(DISTRIBUTED[2]).await, 3);
}

#[tokio::test]
async fn a_single_partition_setting_does_not_change_the_answers() {
    let settings = QuerySettings { partitions: 1, ..QuerySettings::default() };
    let pair = Pair::with(settings, 4, Exchange::Workers).await;
    fill(&pair.local).await;
    for sql in DISTRIBUTED {
        pair.check(sql).await;
    }
}

#[tokio::test]
async fn a_point_with_versions_in_four_overlapping_sections_is_one_row() {
    let pair = Pair::new(4, Exchange::Workers).await;
    let one = &pair.local;
    for version in 0..4 {
        let mut lines = vec![format!("t,k=shared v={version}i,f{version}={version}i {START}")];
        for other in 0..50 {
            let time = START + (other - 25) * MINUTE;
            lines.push(format!("t,k=k{other} v={version}i {time}"));
        }
        one.write(&lines.join("\n")).await;
        one.flush().await;
    }
    let sql = "SELECT v, f0, f1, f2, f3 FROM t WHERE k = 'shared'";
    let answer = pair.run(sql).await;
    assert_eq!(answer.body, "v,f0,f1,f2,f3\n3,0,1,2,3\n");
    assert_eq!(pair.check("SELECT count(*) AS n, sum(v) AS s FROM t").await, 4);
    // Four workers divide the rows; each version of a point is on one of them.
    assert_eq!(pair.check("SELECT k, count(*) AS n FROM t GROUP BY k").await, 4);
}

#[tokio::test]
async fn a_large_section_is_divided_by_series_and_each_point_stays_one_row() {
    let pair = Pair::new(4, Exchange::Workers).await;
    let one = &pair.local;
    // Three row groups of one section, whose first series are the cuts.
    for part in 0..4 {
        let mut lines = String::new();
        for host in part * 10..part * 10 + 10 {
            for at in 0..8_000 {
                let time = START + at * 1_000_000_000;
                writeln!(lines, "t,host=h{host:02} v={at}i {time}").unwrap();
            }
        }
        one.write(&lines).await;
    }
    one.flush().await;
    // Newer versions of some points in a section that overlaps the large one, and in the tail.
    for (version, step) in [(1_000_000, 5), (2_000_000, 7)] {
        let hosts = (0..40).step_by(step);
        let lines = hosts.map(|host| format!("t,host=h{host:02} v={version}i {START}\n"));
        one.write(&lines.collect::<String>()).await;
        if step == 5 {
            one.flush().await;
        }
    }
    let explained = pair.run("EXPLAIN SELECT host, sum(v) FROM t GROUP BY host").await.body;
    let parts = explained.matches("SnapshotScanExec: table=t").count();
    let without_rows = explained.matches("regions=0").count();
    assert!(parts - without_rows >= 3, "{explained}");
    for sql in [
        "SELECT count(*) AS n, sum(v) AS s, max(v) AS m FROM t",
        "SELECT host, count(*) AS n, sum(v) AS s FROM t GROUP BY host",
        "SELECT host, v FROM t WHERE v >= 1000000 ORDER BY host",
        "SELECT count(*) AS n, sum(v) AS s FROM t WHERE host > 'h11' AND host < 'h33'",
    ] {
        assert_eq!(pair.check(sql).await, 4, "{sql}");
    }
}

/// Returns the bytes that the tasks of a query have read from sections.
async fn scanned_bytes(pair: &Pair, sql: &str) -> f64 {
    let text = pair.run(&format!("EXPLAIN ANALYZE {sql}")).await.body;
    let values = text.split("bytes_scanned=").skip(1).map(|rest| {
        let end = rest.find([',', ']']).unwrap();
        let (value, unit) = rest[..end].split_once(' ').unwrap_or((&rest[..end], ""));
        let unit = [("", 1.0), ("K", 1e3), ("M", 1e6)].iter().find(|it| it.0 == unit);
        value.parse::<f64>().unwrap() * unit.unwrap().1
    });
    values.sum()
}

#[tokio::test]
async fn tasks_skip_sections_that_have_no_rows_of_the_first_ones() {
    let pair = Pair::new(2, Exchange::Workers).await;
    let one = &pair.local;
    for day in 0..24 {
        let start = START + day * 86_400_000_000_000;
        let lines = (0..2_000).map(|at| {
            let (value, time) = ((at * 7_919) % 2_001, start + at * MINUTE / 10);
            format!("t,host=h{} v={value}i,w={}i {time}", at % 3, at * 31 % 977)
        });
        one.write(&lines.collect::<Vec<_>>().join("\n")).await;
        one.flush().await;
    }
    let top = "SELECT v FROM t ORDER BY v DESC LIMIT 1";
    assert_eq!(pair.check(top).await, 2);
    let all = scanned_bytes(&pair, "SELECT sum(v) FROM t").await;
    let some = scanned_bytes(&pair, top).await;
    assert!(some > 0.0 && some < all / 2.0, "{some} of {all}");
}

#[tokio::test]
async fn the_log_of_queries_names_the_workers_of_each_query() {
    let pair = Pair::new(3, Exchange::Workers).await;
    fill(&pair.local).await;
    pair.run("SELECT host, sum(usage) FROM cpu GROUP BY host").await;
    pair.run("SELECT 1").await;
    let log =
        "SELECT query_text, workers FROM system.queries WHERE NOT running ORDER BY issue_time";
    insta::assert_snapshot!(pair.distributed.sql(log).await, @r#"
    query_text,workers
    "SELECT host, sum(usage) FROM cpu GROUP BY host","w2,w1,w0"
    SELECT 1,
    "#);
}

#[tokio::test]
async fn explain_shows_stages_and_workers_or_the_reason_why_there_are_none() {
    let pair = Pair::new(2, Exchange::Workers).await;
    fill(&pair.local).await;
    let explained = pair.run("EXPLAIN SELECT host, sum(usage) AS s FROM cpu GROUP BY host").await;
    assert_eq!(explained.workers, 0);
    let text = &explained.body;
    assert!(text.contains("physical_plan") && text.contains("distributed_plan"), "{text}");
    assert!(text.contains("Stage 1") && text.contains("tasks=2"), "{text}");
    assert!(text.contains("workers: w"), "{text}");
    let local = pair.run("EXPLAIN SELECT 1").await.body;
    assert!(local.contains("not distributed: "), "{local}");
    let alone = pair.local.sql("EXPLAIN SELECT host FROM cpu").await;
    assert!(!alone.contains("distributed_plan"), "{alone}");

    let analyzed = pair
        .run("EXPLAIN ANALYZE SELECT host, sum(usage) AS s FROM cpu GROUP BY host")
        .await;
    assert_eq!(analyzed.workers, 2, "{}", analyzed.body);
    let text = &analyzed.body;
    assert!(text.contains("Stage 1") && text.contains("bytes_scanned"), "{text}");
    assert!(text.contains("elapsed_compute"), "{text}");
}

#[tokio::test]
async fn an_error_of_the_statement_is_answered_as_such_and_not_retried() {
    let pair = Pair::new(3, Exchange::Workers).await;
    fill(&pair.local).await;
    let sql = "SELECT host, sum(100 / (usage - 7)) AS s FROM cpu GROUP BY host";
    let body = serde_json::json!({"db": "db", "q": sql});
    let (status, expected) = pair.local.post(body).await;
    let answer = pair.run(sql).await;
    assert_eq!((answer.status, answer.body), (status, expected));
    let stats = pair.distributed.engine.distribution_stats();
    assert_eq!((stats.queries, stats.worker_failures, stats.retries), (1, 0, 0));
}

#[tokio::test]
async fn a_query_of_an_earlier_state_is_distributed_too() {
    let pair = Pair::new(3, Exchange::Workers).await;
    fill(&pair.local).await;
    let sql = "SELECT sum(usage) AS s FROM cpu";
    let line = |usage: i64| format!("cpu,host=h1,region=us usage={usage}i {START}");
    let stamp = pair.local.write(&line(5)).await.to_string();
    let (status, _, before) = pair.local.sql_at(sql, &stamp).await;
    assert_eq!(status, 200, "{before}");
    pair.local.write(&line(5_000)).await;
    let (status, _, past) = pair.distributed.sql_at(sql, &stamp).await;
    assert_eq!((status, &past), (200, &before));
    assert_ne!(pair.local.sql(sql).await, before);
}
