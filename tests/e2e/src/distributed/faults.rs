//! Workers that die, hang, and come back while queries run, and a store that answers late.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::harness::{NeapProcess, ServerClient, StoreFixture, pause, wait_for};

use super::fixture::{WorkerCluster, distributed, reply, signal, sorted};

/// Statements of the load: with and without exchange between workers, and with a large answer.
const STATEMENTS: [&str; 4] = [
    "SELECT hostname, count(*) AS n, sum(usage_user) AS s FROM cpu GROUP BY hostname",
    "SELECT a.hostname, count(*) AS n FROM cpu a JOIN cpu b ON a.hostname = b.hostname AND a.time = b.time GROUP BY a.hostname",
    "SELECT time, hostname, usage_user FROM cpu ORDER BY usage_user DESC, time, hostname LIMIT 50",
    "SELECT * FROM cpu",
];

/// Results of a load.
#[derive(Debug, Default)]
struct LoadCounts {
    right: AtomicUsize,
    failed: AtomicUsize,
}

/// Sends statements to a server until `stop`. Each answer is right, or an error.
fn load(server: &ServerClient, expected: &[Vec<String>], stop: &AtomicBool, counts: &LoadCounts) {
    while !stop.load(Ordering::Relaxed) {
        for (sql, expected) in STATEMENTS.iter().zip(expected) {
            let outcome = match outcome(server, sql) {
                Some(rows) => {
                    assert_eq!(&rows, expected, "{sql}");
                    &counts.right
                }
                None => &counts.failed,
            };
            outcome.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns the rows of a complete answer, sorted; `None` if the answer is an error, or ends with one.
fn outcome(server: &ServerClient, sql: &str) -> Option<Vec<String>> {
    let reply = match reply(server, "bench", sql) {
        Ok(reply) => reply,
        Err(error) => {
            assert!(!error.is_timeout(), "{error}: {sql}");
            return None;
        }
    };
    match reply.status {
        200 => serde_json::from_slice(&reply.bytes).ok().map(sorted),
        500.. => None,
        status => panic!("{status}: {sql}: {}", reply.text()),
    }
}

fn expected(cluster: &WorkerCluster) -> Vec<Vec<String>> {
    let rows = STATEMENTS.iter().map(|sql| cluster.alone.query("bench", sql));
    rows.map(sorted).collect()
}

/// Runs a load on the first worker while `disturb` does something to the others. Returns the numbers of right and of
/// failed answers.
fn under_load(
    cluster: &mut WorkerCluster,
    disturb: impl FnOnce(&mut Vec<NeapProcess>),
) -> (usize, usize) {
    let expected = expected(cluster);
    let (stop, counts) = (AtomicBool::new(false), LoadCounts::default());
    let coordinator = ServerClient::clone(&cluster.workers[0]);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| load(&coordinator, &expected, &stop, &counts)))
            .collect();
        disturb(&mut cluster.workers);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    let (right, failed) = (counts.right.into_inner(), counts.failed.into_inner());
    println!("{right} right answers, {failed} errors");
    (right, failed)
}

/// Checks that the first worker distributes queries over this number of workers, within the time after which failed
/// workers are tried again and the list is read again.
fn wait_for_workers(cluster: &WorkerCluster, number: u64) {
    wait_for("workers", Duration::from_secs(120), || {
        let (_, used) = distributed(&cluster.workers[0], "bench", STATEMENTS[0]);
        (used == number).then_some(())
    });
}

fn start() -> WorkerCluster {
    let cluster = WorkerCluster::start();
    for round in 0..3 {
        cluster.write(round, round);
    }
    cluster.flush();
    wait_for_workers(&cluster, 4);
    cluster
}

#[test]
fn killed_workers_cost_no_wrong_answer() {
    let mut cluster = start();
    let place = cluster.place.clone();
    let (right, _) = under_load(&mut cluster, |workers| {
        pause(Duration::from_secs(2));
        workers.remove(3).kill();
        pause(Duration::from_secs(5));
        workers.remove(2).kill();
        pause(Duration::from_secs(5));
        workers.push(WorkerCluster::worker(&place));
        pause(Duration::from_secs(20));
    });
    assert!(right > 0);
    wait_for_workers(&cluster, 3);
}

#[test]
fn stopped_workers_cost_no_answer() {
    let mut cluster = start();
    let (right, failed) = under_load(&mut cluster, |workers| {
        pause(Duration::from_secs(2));
        assert!(workers.remove(3).stop().success());
        pause(Duration::from_secs(2));
    });
    assert!(right > 0);
    assert_eq!(failed, 0, "running tasks end before the process");
}

#[test]
fn frozen_workers_cost_no_wrong_answer_and_no_query_hangs() {
    let mut cluster = start();
    let (right, _) = under_load(&mut cluster, |workers| {
        pause(Duration::from_secs(1));
        signal(&workers[2], Signal::STOP);
        pause(Duration::from_secs(40));
        signal(&workers[2], Signal::CONT);
        pause(Duration::from_secs(5));
    });
    assert!(right > 0);
    wait_for_workers(&cluster, 4);
}

#[test]
fn a_frozen_coordinator_leaves_no_tasks_behind() {
    let mut cluster = start();
    let coordinator = cluster.workers.pop().unwrap();
    signal(&coordinator, Signal::STOP);
    // A coordinator that does not answer holds nothing that other queries need.
    let expected = expected(&cluster);
    for (sql, expected) in STATEMENTS.iter().zip(&expected) {
        let (rows, _) = distributed(&cluster.workers[0], "bench", sql);
        assert_eq!(&sorted(rows), expected, "{sql}");
    }
    signal(&coordinator, Signal::CONT);
    let (rows, _) = distributed(&coordinator, "bench", STATEMENTS[0]);
    assert_eq!(sorted(rows), expected[0]);
}

/// Forwards connections to a store, and delays each part of a request and of an answer. The thread runs until the test
/// ends.
fn slow_store(endpoint: &str) -> String {
    let target = endpoint.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let forward = |mut from: TcpStream, mut to: TcpStream| {
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            pause(Duration::from_millis(30));
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    };
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let store = TcpStream::connect(&target).unwrap();
            let (from, to) = (client.try_clone().unwrap(), store.try_clone().unwrap());
            thread::spawn(move || forward(from, to));
            thread::spawn(move || forward(store, client));
        }
    });
    format!("http://{address}")
}

#[test]
fn workers_with_a_slow_store_answer_as_others_do() {
    let mut cluster = start();
    let flags = &cluster.place.flags;
    let value = |flag: &str| {
        let at = flags.iter().position(|it| it == flag).unwrap();
        flags[at + 1].clone()
    };
    let slow = slow_store(&value("--aws-endpoint"));
    let slow = StoreFixture::s3(&slow, &value("--bucket"));
    let (right, failed) = under_load(&mut cluster, |workers| {
        for _ in 0..2 {
            workers.pop().unwrap().kill();
            workers.push(WorkerCluster::worker(&slow));
        }
        pause(Duration::from_secs(30));
    });
    assert!(right > 0);
    println!("{failed} queries met a killed worker");
    wait_for_workers(&cluster, 4);
    let expected = expected(&cluster);
    for (sql, expected) in STATEMENTS.iter().zip(&expected) {
        let (rows, workers) = distributed(&cluster.workers[0], "bench", sql);
        assert_eq!((&sorted(rows), workers), (expected, 4), "{sql}");
    }
}

#[test]
fn queries_during_an_outage_of_the_store_end() {
    let cluster = start();
    let expected = expected(&cluster);
    cluster.place.without_store(|| {
        for (sql, expected) in STATEMENTS.iter().zip(&expected) {
            let rows = outcome(&cluster.workers[0], sql);
            assert!(rows.is_none_or(|rows| rows == *expected), "{sql}");
        }
    });
    wait_for("answers after the outage", Duration::from_secs(120), || {
        outcome(&cluster.workers[0], STATEMENTS[0]).map(drop)
    });
    let (rows, _) = distributed(&cluster.workers[0], "bench", STATEMENTS[0]);
    assert_eq!(sorted(rows), expected[0]);
}
