//! `kill -9` of the server and of Python under load: every row is processed, and a plugin that writes one row per batch
//! counts each row once.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    fixture::{DB, PluginServerFixture, TriggerDefinition, eventually},
    processes,
};
use crate::harness::{NeapProcess, ServerClient, StoreFixture, pause, wait_for};

/// The number of kills.
const KILLS: usize = 8;
/// The number of concurrent writing clients.
const CLIENTS: usize = 3;
/// The number of rows in a request.
const ROWS: usize = 5;
/// Maximum wait for a load.
const LOAD: Duration = Duration::from_secs(60);

/// Writes until `is_over` or until the server does not answer, and returns the next row.
fn load(
    server: &ServerClient,
    client: usize,
    mut next: usize,
    is_over: &AtomicBool,
    sent: &AtomicUsize,
) -> usize {
    while !is_over.load(Ordering::Relaxed) {
        let rows =
            (next..next + ROWS).map(|row| format!("samples,client=c{client} id={row}i {row}\n"));
        next += ROWS;
        match server.try_write(DB, &rows.collect::<String>(), None) {
            Ok(reply) if reply.status == 204 => sent.fetch_add(1, Ordering::Relaxed),
            Ok(reply) => panic!("{}: {}", reply.status, reply.text()),
            Err(_) => return next,
        };
    }
    next
}

/// Runs `act` after clients have sent `enough` requests, while they continue to write.
fn under_load(
    server: &ServerClient,
    next: &mut [usize; CLIENTS],
    enough: usize,
    act: impl FnOnce(),
) {
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = next
            .iter()
            .enumerate()
            .map(|(client, next)| {
                let (server, is_over, sent, next) = (server.clone(), &is_over, &sent, *next);
                scope.spawn(move || load(&server, client, next, is_over, sent))
            })
            .collect();
        wait_for("load", LOAD, || (sent.load(Ordering::Relaxed) >= enough).then_some(()));
        act();
        is_over.store(true, Ordering::Relaxed);
        for (next, client) in next.iter_mut().zip(clients) {
            *next = client.join().unwrap();
        }
    });
}

/// Starts a server with a trigger that copies rows and writes one row for each batch, and one that only counts its
/// runs.
fn stage(place: StoreFixture) -> PluginServerFixture {
    let stage = PluginServerFixture::on(place, &[]);
    TriggerDefinition::new("copy", "copy_rows.py", "table:samples")
        .on_error("retry")
        .with(&[("batches", "yes")])
        .create(&stage);
    TriggerDefinition::new("witness", "witness.py", "table:samples")
        .on_error("retry")
        .concurrent()
        .create(&stage);
    stage
}

/// Checks that every row was processed. If the batch identifies the row of a run, each row counts once.
fn check(stage: &PluginServerFixture) {
    let count = |sql: &str| stage.rows(sql).map(|rows| rows[0]["n"].as_u64().unwrap_or(0));
    let all = count("SELECT count(*) AS n FROM samples").unwrap();
    eventually("copies", Some(all), || count("SELECT count(*) AS n FROM samples_copy"));
    let missing = "SELECT count(*) AS n FROM samples s LEFT ANTI JOIN samples_copy c ON s.client = c.client AND s.id = c.id";
    stage.wait_for_rows(missing, json!([{ "n": 0 }]));
    let counted = "SELECT sum(rows) AS n FROM batches";
    eventually("rows of batches", Some(all), || count(counted));
    // The other trigger may have run twice for some batches, but has omitted none.
    let witnessed =
        "SELECT sum(rows) AS n FROM (SELECT batch, max(rows) AS rows FROM calls GROUP BY batch)";
    eventually("rows of calls", Some(all), || count(witnessed));
    let calls = count("SELECT count(*) AS n FROM calls").unwrap();
    let batches = count("SELECT count(DISTINCT batch) AS n FROM calls").unwrap();
    println!("{all} rows in {batches} batches, {calls} calls");
}

/// Returns a pseudo-random number, which is the same in each run.
fn chance(seed: usize) -> usize {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}

fn on(place: StoreFixture) {
    let mut stage = stage(place);
    let mut next = [0; CLIENTS];
    for kill in 0..KILLS {
        let enough = 10 + chance(kill) % 60;
        under_load(&stage.server, &mut next, enough, || processes::kill(stage.server.pid()));
        stage = stage.restarted(NeapProcess::kill);
    }
    check(&stage);
}

#[test]
fn rows_are_processed_if_the_server_is_killed() {
    on(StoreFixture::directory());
}

#[test]
fn rows_are_processed_if_a_server_on_s3_is_killed() {
    on(StoreFixture::neap_s3_server());
}

#[test]
fn rows_are_processed_if_python_is_killed() {
    let stage = stage(StoreFixture::directory());
    let mut next = [0; CLIENTS];
    let mut killed = 0;
    for kill in 0..3 * KILLS {
        under_load(&stage.server, &mut next, 5 + chance(kill) % 20, || {
            let running = processes::of(stage.folder());
            if !running.is_empty() {
                processes::kill(running[chance(kill) % running.len()]);
                killed += 1;
            }
        });
        // Each kill hits another phase of a run.
        pause(Duration::from_millis((chance(kill + 1) % 50) as u64));
    }
    assert!(killed > KILLS, "{killed}");
    check(&stage);
}
