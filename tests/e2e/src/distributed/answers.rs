//! Answers over several workers, at every stage of the life of the data.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{NeapProcess, Reply, assert_contains, repository},
    real_input::{check, inputs, store},
};

use super::fixture::{WORKERS, WorkerCluster, distributed, metric};

/// Statements beside the query set.
const STATEMENTS: [&str; 26] = [
    "SELECT count(*) AS n, count(usage_user) AS m FROM cpu WHERE usage_user > 50",
    "SELECT count(*) AS n, min(time) AS first, max(time) AS last FROM cpu",
    "SELECT hostname, count(*) AS n, sum(usage_idle) AS s, min(usage_nice) AS low, max(time) AS t FROM cpu GROUP BY hostname",
    "SELECT region, hostname, date_bin(INTERVAL '1 day', time) AS slot, sum(usage_irq) AS s FROM cpu GROUP BY 1, 2, 3",
    "SELECT DISTINCT region, usage_user FROM cpu",
    "SELECT count(DISTINCT usage_user) AS n, region FROM cpu GROUP BY region",
    "SELECT time, hostname, usage_user FROM cpu ORDER BY usage_user DESC, time, hostname LIMIT 20",
    "SELECT time, hostname FROM cpu WHERE hostname = 'host_3' ORDER BY time DESC LIMIT 7",
    "SELECT time, hostname FROM cpu ORDER BY time, hostname LIMIT 5 OFFSET 30",
    "SELECT DISTINCT ON (region) region, hostname, time FROM cpu ORDER BY region, time DESC, hostname",
    "SELECT a.hostname, count(*) AS n FROM cpu a JOIN cpu b ON a.hostname = b.hostname AND a.time = b.time GROUP BY a.hostname",
    "SELECT a.time, a.usage_user, b.usage_user AS other FROM cpu a JOIN cpu b ON a.time = b.time \
     WHERE a.hostname = 'host_1' AND b.hostname = 'host_2' AND a.usage_user > b.usage_user",
    "SELECT a.hostname FROM cpu a LEFT JOIN (SELECT * FROM cpu WHERE usage_user > 99) b \
     ON a.hostname = b.hostname AND a.time = b.time WHERE b.hostname IS NULL AND a.usage_user > 95",
    "SELECT hostname, time, row_number() OVER (PARTITION BY hostname ORDER BY time) AS n FROM cpu WHERE usage_user > 90",
    "SELECT hostname, time, usage_user - lag(usage_user) OVER (PARTITION BY hostname ORDER BY time) AS d FROM cpu \
     WHERE hostname IN ('host_0', 'host_5')",
    "SELECT hostname, selector_last(usage_user, time)['value'] AS v, selector_last(usage_user, time)['time'] AS t \
     FROM cpu GROUP BY hostname",
    "SELECT hostname, selector_max(usage_user, time)['value'] AS v FROM cpu GROUP BY hostname",
    "SELECT date_bin_gapfill(INTERVAL '6 hours', time) AS slot, hostname, avg(usage_user) AS a FROM cpu \
     WHERE time >= '2024-01-01T00:00:00Z' AND time < '2024-01-07T00:00:00Z' GROUP BY slot, hostname",
    "SELECT hostname FROM cpu WHERE usage_user = (SELECT max(usage_user) FROM cpu)",
    "SELECT count(*) AS n FROM cpu WHERE hostname IN (SELECT hostname FROM cpu WHERE usage_idle > 99)",
    "WITH top AS (SELECT hostname, avg(usage_user) AS a FROM cpu GROUP BY hostname) SELECT * FROM top WHERE a > 40",
    "SELECT hostname, usage_user FROM cpu WHERE usage_user > 98 UNION ALL SELECT hostname, usage_idle FROM cpu WHERE usage_idle > 98",
    "SELECT region, CASE WHEN usage_user > 50 THEN 'high' ELSE 'low' END AS load, count(*) AS n FROM cpu GROUP BY 1, 2",
    "SELECT hostname, median(usage_user) AS m FROM cpu GROUP BY hostname",
    "SELECT region, count(*) AS n FROM cpu GROUP BY region HAVING count(*) > 1",
    "SELECT count(*) AS n FROM cpu WHERE hostname LIKE 'host_1%' AND time > '2024-01-01T01:00:00Z'",
];

/// The statements of the query set, with values for their placeholders.
fn query_set() -> Vec<String> {
    let folder = repository().join("bench/queries/influxdb3");
    let files = fs::read_dir(folder).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let values = [
        ("{{hosts_sql}}", "'host_1', 'host_4', 'host_7'"),
        ("{{start}}", "2024-01-01T12:30:00Z"),
        ("{{end}}", "2024-01-06T05:45:00Z"),
    ];
    let filled = texts.map(|text| {
        let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
        values.iter().fold(text, fill)
    });
    filled.collect()
}

/// Checks all statements, and returns how many ran on workers.
fn check_all(cluster: &WorkerCluster) -> usize {
    let statements = STATEMENTS.iter().map(|sql| (*sql).to_owned()).chain(query_set());
    let used = statements.map(|sql| cluster.check("bench", &sql));
    used.filter(|workers| *workers > 0).count()
}

#[test]
fn answers_over_workers_are_those_of_one_process_at_every_stage() {
    let cluster = WorkerCluster::start();
    cluster.write(0, 0);
    cluster.flush();
    let flushed = check_all(&cluster);
    // Sections that overlap and a tail, with newer versions of points, and rows that are deleted.
    cluster.write(1, 1);
    cluster.flush();
    cluster.write(0, 50);
    cluster.write(2, 2);
    delete(&cluster);
    cluster.flush();
    cluster.write(1, 70);
    let overlapping = check_all(&cluster);
    println!("on workers: {flushed} flushed, {overlapping} overlapping");
    let statements = STATEMENTS.len() + query_set().len();
    assert!(flushed * 4 > statements * 3, "{flushed} of {statements}");
    assert!(overlapping * 4 > statements * 3, "{overlapping} of {statements}");
    let tasks = cluster.tasks();
    assert_eq!(tasks.len(), WORKERS);
    assert!(tasks.iter().all(|tasks| *tasks > 0), "{tasks:?}");
    let failures: u64 = cluster.workers.iter().map(failures).sum();
    assert_eq!(failures, 0);
}

/// Deletes the rows of one host between two times.
fn delete(cluster: &WorkerCluster) {
    let body = json!({
        "start": "2024-01-02T06:00:00Z",
        "stop": "2024-01-03T06:00:00Z",
        "predicate": "_measurement=\"cpu\" AND hostname=\"host_2\"",
    });
    let request = cluster.writer.request("POST", "/api/v2/delete?bucket=bench&org=o");
    let answer = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn failures(worker: &NeapProcess) -> u64 {
    metric(worker, "neap_distributed_worker_failures_total")
}

#[test]
fn recorded_data_are_answered_over_workers() {
    let cluster = WorkerCluster::start();
    let inputs = inputs();
    let stored: Vec<_> =
        inputs.iter().map(|(name, text)| store(&cluster.writer, name, text)).collect();
    check(&cluster.workers[0], "written", &stored);
    cluster.flush();
    check(&cluster.workers[1], "flushed", &stored);
    assert!(metric(&cluster.workers[1], "neap_distributed_queries_total") > 0);
}

#[test]
fn a_small_query_stays_in_its_process_and_explain_says_why() {
    let cluster = WorkerCluster::start();
    cluster.write(0, 0);
    cluster.flush();
    let usual = ["--mode", "query", "--cluster-address", "127.0.0.1:0"];
    let usual = NeapProcess::serve_with(&cluster.place, &usual);
    let sql = "SELECT hostname, avg(usage_user) AS a FROM cpu GROUP BY hostname";
    let (_, workers) = distributed(&usual, "bench", sql);
    assert_eq!(workers, 0);
    let explained = |server, sql: &str| {
        let rows = distributed(server, "bench", sql).0;
        rows.iter().map(Value::to_string).collect::<String>()
    };
    let reason = explained(&usual, &format!("EXPLAIN {sql}"));
    assert_contains!(reason, "less than 536870912");
    let plan = explained(&cluster.workers[0], &format!("EXPLAIN {sql}"));
    assert_contains!(plan, "Stage 1");
    let analyzed = explained(&cluster.workers[0], &format!("EXPLAIN ANALYZE {sql}"));
    assert_contains!(analyzed, "output_rows");
    let lists = usual.store_requests().of("list node");
    assert_eq!(lists, 0, "only queries above the threshold look for workers");
}
