//! Compactors concurrent with writers and queriers on one store: writes and queries are not disturbed, and few objects
//! remain in the end.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    harness::{NeapProcess, ServerClient, StoreFixture, neap, pause, words},
    parquet_objects::check_readable,
};

/// How long all workers run: several times the age at which a segment may be flushed, after which a compaction waits for
/// the newest rows.
const RUN: Duration = Duration::from_secs(20);

/// The time between two rounds of queries or compactions, so that they leave processor time to other tests.
const BREAK: Duration = Duration::from_millis(200);

/// Maximum number of attempts of a write that the server asks to repeat.
const MAX_ATTEMPTS: usize = 10;

const DAY: u64 = 86_400;

/// The first timestamp of the data, in seconds.
const START: u64 = 1_700_000_000;

/// The writes that were acknowledged to the writers.
#[derive(Default)]
struct AcknowledgedWrites {
    rounds: [AtomicU64; 3],
}

/// Writes until the write is acknowledged. Repeating it has no further effect, because it writes the same points.
fn write(server: &ServerClient, lines: &str) {
    for _ in 0..MAX_ATTEMPTS {
        let reply = server.try_write("busy", lines, None).unwrap();
        match reply.status {
            204 => return,
            503 => {
                let wait = reply.header("retry-after").expect("a time to wait");
                pause(Duration::from_secs(wait.parse().unwrap()));
            }
            status => panic!("{status}: {}", reply.text()),
        }
    }
    panic!("not acknowledged in {MAX_ATTEMPTS} attempts");
}

/// Writes in rounds: a row of today, a late one, and a new version of a point that all rounds write to.
fn write_rounds(
    server: &ServerClient,
    writer: usize,
    written: &AcknowledgedWrites,
    over: &AtomicBool,
) {
    while !over.load(Ordering::Relaxed) {
        let round = written.rounds[writer].load(Ordering::Relaxed);
        let late = START + round - DAY * (1 + round % 3);
        let lines = format!(
            "samples,writer=w{writer} round={round}i {}\n\
             samples,writer=w{writer} late={round}i {late}\n\
             newest,writer=w{writer} round={round}i,only_{}={round}i 1\n\
             t{writer}_{} round={round}i {round}\n",
            START + round,
            round % 4,
            round % 5,
        );
        write(server, &lines);
        written.rounds[writer].store(round + 1, Ordering::Relaxed);
        pause(Duration::from_millis(50));
    }
}

/// Queries in rounds, and checks that every answer includes previously acknowledged writes and the newest versions.
fn query_rounds(server: &ServerClient, written: &AcknowledgedWrites, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        for writer in 0..3 {
            let rounds = written.rounds[writer].load(Ordering::Relaxed);
            if rounds == 0 {
                continue;
            }
            let sql = format!(
                "SELECT count(round) AS n, count(late) AS late FROM samples \
                 WHERE writer = 'w{writer}' AND (round < {rounds} OR late < {rounds})"
            );
            let expected = [json!({ "n": rounds, "late": rounds })];
            assert_eq!(server.query("busy", &sql), expected, "{sql}");
            let sql = format!("SELECT round FROM newest WHERE writer = 'w{writer}'");
            let newest = server.query("busy", &sql);
            let found = newest[0]["round"].as_u64().unwrap();
            assert!(found + 1 >= rounds, "{found} after {rounds} rounds");
        }
        pause(BREAK);
    }
}

/// Flushes, merges and collects in rounds.
fn compact_rounds(place: &StoreFixture, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        compact(place);
        pause(BREAK);
    }
}

fn compact(place: &StoreFixture) {
    let settle = words("--settle-after 0s --time-travel 1m --query-timeout 30s");
    let arguments = [place.after(&["compact"]), settle].concat();
    let output = neap(&arguments);
    assert_eq!(output.status, Some(0), "{}{}", output.out, output.err);
}

fn run(place: &StoreFixture) {
    let ingest = ["--mode", "ingest", "--wal-flush-interval", "20ms"];
    let writers: Vec<NeapProcess> =
        (0..3).map(|_| NeapProcess::serve_with(place, &ingest)).collect();
    let queriers: Vec<NeapProcess> =
        (0..2).map(|_| NeapProcess::serve_with(place, &["--mode", "query"])).collect();
    let (written, over) = (AcknowledgedWrites::default(), AtomicBool::new(false));
    write(
        &writers[0],
        "samples,writer=w round=-1i,late=-1i 1\nnewest,writer=w round=-1i 1",
    );
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (number, writer) in writers.iter().enumerate() {
            let (written, over) = (&written, &over);
            workers.push(scope.spawn(move || write_rounds(writer, number, written, over)));
        }
        for querier in &queriers {
            let (written, over) = (&written, &over);
            workers.push(scope.spawn(move || query_rounds(querier, written, over)));
        }
        for _ in 0..2 {
            let over = &over;
            workers.push(scope.spawn(move || compact_rounds(place, over)));
        }
        // A worker that ends early has failed.
        let failed = |_: &u64| workers.iter().any(|worker| worker.is_finished());
        (0..RUN.as_secs()).take_while(|second| !failed(second)).for_each(|_| {
            pause(Duration::from_secs(1));
        });
        over.store(true, Ordering::Relaxed);
    });
    check(place, &queriers, &written);
}

/// After everything is flushed and settled, checks that all rows exist and that days have few sections.
fn check(place: &StoreFixture, queriers: &[NeapProcess], written: &AcknowledgedWrites) {
    let rounds = written.rounds.each_ref().map(|rounds| rounds.load(Ordering::Relaxed));
    let all = "SELECT writer, count(round) AS n, count(late) AS late FROM samples \
               WHERE writer <> 'w' GROUP BY writer ORDER BY writer";
    let expected: Vec<Value> = rounds
        .iter()
        .enumerate()
        .map(|(writer, n)| json!({ "writer": format!("w{writer}"), "n": n, "late": n }))
        .collect();
    compact(place);
    compact(place);
    for querier in queriers {
        assert_eq!(querier.query("busy", all), expected);
    }
    let merges = "SELECT count(*) AS n FROM system.compactions WHERE kind = 'merge'";
    assert_ne!(queriers[0].query("busy", merges), [json!({ "n": 0 })]);
    let sections = queriers[0].query(
        "busy",
        "SELECT min_time, max_time FROM system.parquet_files WHERE table_name = 'samples'",
    );
    assert!(sections.len() <= 10, "{sections:?}");
    if place.is_in_folder() {
        check_readable(place, &queriers[0], "busy", "samples");
    }
    // This verifies every table: no two sections share a stamp of a day.
    let report = neap(&place.after(&["fsck", "--full"]));
    assert_eq!(report.status, Some(0), "{}", report.out);
}

#[test]
fn two_concurrent_compactors_lose_no_acknowledged_write_on_an_s3_server() {
    run(&StoreFixture::neap_s3_server());
}

#[test]
fn two_concurrent_compactors_lose_no_acknowledged_write_on_the_other_s3_server() {
    if let Some(place) = StoreFixture::third_party_s3() {
        run(&place);
    }
}
