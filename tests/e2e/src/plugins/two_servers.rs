//! Two servers on one bucket.

use std::thread;

use serde_json::json;

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually};
use crate::harness::{NeapProcess, ServerClient, StoreFixture};

/// The number of requests to each server.
const REQUESTS: usize = 60;

/// Writes through one of the servers.
fn write(server: &ServerClient, client: usize) {
    for row in 0..REQUESTS {
        server.write(DB, &format!("samples,client=c{client} id={row}i {row}"));
    }
}

#[test]
fn each_tick_and_each_batch_runs_on_one_of_two_servers() {
    let stage = PluginServerFixture::on(StoreFixture::neap_s3_server(), &[]);
    let other = stage.another();
    TriggerDefinition::new("every", "ticks.py", "every:1s")
        .with(&[("who", "every")])
        .create(&stage);
    TriggerDefinition::new("cron", "ticks.py", "cron:*/2 * * * * *")
        .with(&[("who", "cron")])
        .create(&stage);
    TriggerDefinition::new("copy", "copy_rows.py", "table:samples")
        .with(&[("batches", "yes")])
        .create(&stage);
    TriggerDefinition::new("witness", "witness.py", "table:samples").create(&stage);
    thread::scope(|scope| {
        scope.spawn(|| write(&stage.server, 0));
        scope.spawn(|| write(&other, 1));
    });
    let count = |sql: &str| stage.rows(sql).map(|rows| rows[0]["n"].as_u64().unwrap_or(0));
    let all = Some(2 * REQUESTS as u64);
    eventually("copies", all, || count("SELECT count(*) AS n FROM samples_copy"));
    eventually("rows of batches", all, || count("SELECT sum(rows) AS n FROM batches"));
    eventually("rows of calls", all, || count("SELECT sum(rows) AS n FROM calls"));
    stage.wait_for_rows("SELECT batch FROM calls GROUP BY batch HAVING count(*) > 1", json!([]));

    eventually("ticks", true, || {
        count("SELECT count(DISTINCT time) AS n FROM ticks WHERE who = 'every'") >= Some(8)
    });
    let twice = "SELECT who, time FROM ticks GROUP BY who, time HAVING count(*) > 1";
    stage.wait_for_rows(twice, json!([]));

    // If one server stops, the other one continues.
    other.stop();
    let before = count("SELECT count(*) AS n FROM ticks");
    eventually("more ticks", true, || count("SELECT count(*) AS n FROM ticks") > before);
    write(&stage.server, 2);
    let all = Some(3 * REQUESTS as u64);
    eventually("copies", all, || count("SELECT count(*) AS n FROM samples_copy"));
    stage.wait_for_rows(twice, json!([]));
}

#[test]
fn when_one_of_two_servers_is_killed_the_other_takes_over() {
    let stage = PluginServerFixture::on(StoreFixture::neap_s3_server(), &[]);
    TriggerDefinition::new("copy", "copy_rows.py", "table:samples")
        .on_error("retry")
        .with(&[("batches", "yes")])
        .create(&stage);
    let other = stage.another();
    write(&other, 0);
    write(&stage.server, 1);
    other.kill();
    write(&stage.server, 2);
    let count = |sql: &str| stage.rows(sql).map(|rows| rows[0]["n"].as_u64().unwrap_or(0));
    let all = Some(3 * REQUESTS as u64);
    eventually("copies", all, || count("SELECT count(*) AS n FROM samples_copy"));
    eventually("rows of batches", all, || count("SELECT sum(rows) AS n FROM batches"));
}

#[test]
fn rows_written_through_a_server_without_plugins_are_processed() {
    let stage = PluginServerFixture::on(StoreFixture::neap_s3_server(), &[]);
    TriggerDefinition::new("copy", "copy_rows.py", "table:samples")
        .with(&[("batches", "yes")])
        .create(&stage);
    let flags = ["--mode", "ingest", "--wal-flush-interval", "20ms"];
    let writer = NeapProcess::serve_with(&stage.place, &flags);
    let copied = |stage: &PluginServerFixture, all: usize| {
        let count = |sql: &str| stage.rows(sql).map(|rows| rows[0]["n"].as_u64().unwrap_or(0));
        let all = Some(all as u64);
        eventually("copies", all, || count("SELECT count(*) AS n FROM samples_copy"));
        eventually("rows of batches", all, || count("SELECT sum(rows) AS n FROM batches"));
    };
    write(&writer, 0);
    copied(&stage, REQUESTS);
    // The new server also finds the rows that were written while no server with plugins ran.
    let stage = stage.restarted(|server| {
        assert!(server.stop().success());
        write(&writer, 1);
    });
    copied(&stage, 2 * REQUESTS);
}

#[test]
fn changes_at_one_server_reach_the_other() {
    let stage = PluginServerFixture::on(StoreFixture::neap_s3_server(), &[]);
    let other = stage.another();
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);
    let asked = |server: &NeapProcess| server.get("/api/v3/engine/echo").status;
    eventually("created", [200; 2], || [&stage.server, &other].map(asked));
    stage.switch("echo", "disable");
    eventually("disabled", [404; 2], || [&stage.server, &other].map(asked));
    stage.switch("echo", "enable");
    eventually("enabled", [200; 2], || [&stage.server, &other].map(asked));
    assert_eq!(stage.delete("echo", true).status, 200);
    eventually("deleted", [404; 2], || [&stage.server, &other].map(asked));
}
