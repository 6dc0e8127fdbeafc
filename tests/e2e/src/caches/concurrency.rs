//! Concurrent writers, deletes and compactors: in every snapshot, caches return what their definitions say.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    definition::{CacheDefinition, TableColumns},
    fixture::{BYPASS_CACHES, CacheFixture, DB, columns, create, csv, csv_with, shift_times},
};
use crate::harness::{NeapProcess, Reply, ServerClient, pause, words};

/// How long all workers run: several times as long as a segment waits before it is flushed.
const RUN: Duration = Duration::from_secs(12);

fn caches() -> [CacheDefinition; 3] {
    [
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::last("m", "three", &["room"]).of(&["host", "v"]).limited_to(3),
        CacheDefinition::distinct("m", "pairs", &["room", "host"]).limited_to(6),
    ]
}

/// Writes a new row, a late one, and a new version of a point that all rounds write to. Every 40th round deletes rows
/// of a room.
fn write_rounds(stage: &CacheFixture, writer: usize, server: &ServerClient, round: &AtomicI64) {
    let now = round.load(Ordering::Relaxed) + 1;
    let lines = format!(
        "m,host=w{writer},room=r{} v={now} {}\n\
         m,host=late{},room=r{} v={now} {}\n\
         m,host=same,room=r0 v={now},of_{writer}={now} -3000",
        now % 3,
        now - 1_000,
        now % 4,
        now % 5,
        -2_000 - now % 7,
    );
    server.write(DB, &shift_times(stage.started_at, &lines));
    round.store(now, Ordering::Relaxed);
    if now % 40 == 7 {
        let body = json!({
            "start": "1970-01-01T00:00:00Z",
            "stop": "2100-01-01T00:00:00Z",
            "predicate": format!("_measurement=\"m\" AND room=\"r{}\" AND host=\"late{}\"", now % 5, now % 4),
        });
        let path = format!("/api/v2/delete?bucket={DB}&org=o");
        let reply = Reply::receive(server.request("POST", &path).body(body.to_string())).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    pause(Duration::from_millis(20));
}

/// Returns a statement that lists the rows that a cache and its definition do not have in common, in one snapshot.
fn differences(cache: &CacheDefinition, columns: &TableColumns) -> String {
    let (shown, defined) = (cache.query(), cache.definition(columns));
    let defined = format!("SELECT * FROM ({defined})");
    format!("(({shown}) EXCEPT ({defined})) UNION ALL (({defined}) EXCEPT ({shown}))")
}

fn compare(server: &ServerClient, columns: &TableColumns, rounds: &[AtomicI64]) {
    for (writer, round) in rounds.iter().enumerate() {
        let acknowledged = round.load(Ordering::Relaxed);
        let sql = format!("SELECT v FROM last_cache('m', 'latest') WHERE host = 'w{writer}'");
        let shown: f64 = csv(server, &sql).lines().nth(1).unwrap_or("0").parse().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let acknowledged = acknowledged as f64;
        assert!(shown >= acknowledged, "{shown} after {acknowledged}");
    }
    for cache in &caches() {
        let sql = differences(cache, columns);
        assert_eq!(csv(server, &sql), "", "{sql}");
    }
}

fn compact(stage: &CacheFixture) {
    let settle = words("compact --settle-after 0s --time-travel 1m --query-timeout 30s");
    let output = stage.on_store(&settle);
    assert_eq!(output.status, Some(0), "{}{}", output.out, output.err);
    pause(Duration::from_secs(1));
}

fn repeat(over: &AtomicBool, work: impl Fn()) {
    while !over.load(Ordering::Relaxed) {
        work();
    }
}

#[test]
fn caches_match_every_snapshot_under_concurrent_writers_and_compactors() {
    let stage = CacheFixture::on_a_directory();
    stage.write("m,host=same,room=r0 v=0,of_0=0,of_1=0 -3000");
    for cache in &caches() {
        create(&stage.writer, cache);
    }
    let columns = columns(&stage.writer, "m");
    let other = NeapProcess::serve_with(&stage.place, &["--mode", "ingest"]);
    let writers: [&ServerClient; 2] = [&stage.writer, &other];
    let queriers: [&ServerClient; 2] = [&stage.writer, &stage.queriers[0]];
    let rounds = [AtomicI64::new(0), AtomicI64::new(0)];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (number, server) in writers.into_iter().enumerate() {
            let (stage, round, over) = (&stage, &rounds[number], &over);
            let write = move || write_rounds(stage, number, server, round);
            workers.push(scope.spawn(move || repeat(over, write)));
        }
        for server in queriers {
            let (columns, rounds, over) = (&columns, &rounds, &over);
            let compare = move || compare(server, columns, rounds);
            workers.push(scope.spawn(move || repeat(over, compare)));
        }
        let (stage, over) = (&stage, &over);
        let compact = || compact(stage);
        workers.push(scope.spawn(move || repeat(over, compact)));
        // A worker that ends early has failed.
        for _ in 0..RUN.as_secs() {
            if workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            pause(Duration::from_secs(1));
        }
        over.store(true, Ordering::Relaxed);
    });
    stage.check(&caches(), "in the end");
    let flushes = "SELECT count(*) AS n FROM system.compactions WHERE kind = 'flush'";
    let flushes = csv_with(&stage.writer, flushes, &[BYPASS_CACHES]);
    assert_ne!(flushes, "n\n0\n");
    stage.on_store(&["fsck", "--full"]).succeeded();
}
