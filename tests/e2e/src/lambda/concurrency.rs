//! Concurrent writers and queriers, whose instances are frozen and killed between and during events: acknowledged
//! writes are visible at once, and stay.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::harness::{ServerClient, pause};

use super::LambdaStack;

/// The number of concurrent clients, which write and query.
const CLIENTS: usize = 3;
/// The number of rounds of each client.
const ROUNDS: usize = 12;
/// The number of rows in a write.
const ROWS: usize = 4;

/// The sent and the acknowledged writes of a client. Each is identified by its first row.
#[derive(Debug, Default)]
struct SentWrites {
    all: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
}

/// Writes the rows from `first` on. Returns whether they were acknowledged.
fn write(server: &ServerClient, client: usize, first: usize) -> bool {
    // Some writes also need a change of the catalog.
    let table = first / ROWS / 6;
    let lines = (first..first + ROWS).map(|row| {
        format!("samples,client=c{client} id={row}i {row}\ntable_{table},client=c{client} id={row}i {row}\n")
    });
    match server.try_write("several", &lines.collect::<String>(), None) {
        // The gateway returns 502 for a killed instance.
        Ok(reply) if matches!(reply.status, 502 | 503) => false,
        Ok(reply) => {
            assert_eq!(reply.status, 204, "{}", reply.text());
            true
        }
        Err(error) => panic!("the gateway always answers: {error}"),
    }
}

/// Returns the first rows of a client's stored writes; `None` if the querier was killed.
fn stored(server: &ServerClient, client: usize) -> Option<BTreeSet<usize>> {
    let sql = format!("SELECT id FROM samples WHERE client = 'c{client}' ORDER BY id");
    let body = json!({ "db": "several", "q": sql }).to_string();
    let request = server.request("POST", "/api/v3/query_sql").body(body);
    let reply = crate::harness::Reply::receive(request).unwrap();
    if reply.status == 502 {
        return None;
    }
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json_rows: Vec<serde_json::Value> = serde_json::from_slice(&reply.bytes).unwrap();
    let rows: Vec<usize> = json_rows
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .map(|row| usize::try_from(row).unwrap())
        .collect();
    let writes = rows.chunks(ROWS).map(|rows| {
        let first = rows[0];
        let is_whole = rows.iter().copied().eq(first..first + ROWS);
        assert!(is_whole, "a write is stored in part: {rows:?}");
        first
    });
    Some(writes.collect())
}

/// Runs the rounds of a client, and checks that each write is visible to the next query.
fn rounds(server: &ServerClient, client: usize) -> SentWrites {
    let mut sent = SentWrites::default();
    for round in 0..ROUNDS {
        let first = round * ROWS;
        sent.all.insert(first);
        if write(server, client, first) {
            sent.acknowledged.insert(first);
        }
        if let Some(stored) = stored(server, client) {
            let lost: Vec<_> = sent.acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "client {client}, round {round}: {lost:?}");
            assert!(stored.is_subset(&sent.all), "client {client}, round {round}");
        }
    }
    sent
}

/// Runs all clients concurrently, and calls `meanwhile` repeatedly until they end.
fn clients(stack: &LambdaStack, mut meanwhile: impl FnMut(usize)) -> Vec<SentWrites> {
    // The first write creates the cluster.
    stack.write("several", "begin v=1i 1");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let server: &ServerClient = stack;
                scope.spawn(move || rounds(server, client))
            })
            .collect();
        let is_over = &is_over;
        let watch = scope.spawn(move || {
            let sent: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            is_over.store(true, Ordering::Relaxed);
            sent
        });
        let mut times = 0;
        while !is_over.load(Ordering::Relaxed) {
            meanwhile(times);
            times += 1;
        }
        let sent = watch.join().unwrap().into_iter();
        sent.map(|sent| sent.unwrap()).collect()
    })
}

/// Checks on every querier that no acknowledged write is missing.
fn check(stack: &LambdaStack, sent: &[SentWrites]) {
    for querier in 0..2 {
        for (client, sent) in sent.iter().enumerate() {
            let stored = stored(stack, client).expect("an answer");
            assert!(sent.acknowledged.is_subset(&stored), "{querier} {client}");
            assert!(stored.is_subset(&sent.all), "{querier} {client}");
        }
    }
}

/// Returns the elements in turn.
fn choose(from: &[u64], turn: usize) -> Option<u64> {
    from.get(turn.checked_rem(from.len())?).copied()
}

#[test]
fn writers_and_queriers_see_each_other_at_once() {
    let stack = LambdaStack::start();
    let sent = clients(&stack, |_| pause(Duration::from_millis(20)));
    for sent in &sent {
        assert_eq!(sent.acknowledged, sent.all);
    }
    check(&stack, &sent);
    assert_eq!(stack.instances("write").len(), 3);
    assert_eq!(stack.instances("query").len(), 2);
    stack.finish();
}

#[test]
fn nothing_is_lost_when_instances_are_killed_at_any_moment() {
    let stack = LambdaStack::start();
    let mut kills = 0;
    let sent = clients(&stack, |turn| {
        pause(Duration::from_millis(150));
        let function = if turn % 3 == 2 { "query" } else { "write" };
        if let Some(instance) = choose(&stack.instances(function), turn) {
            stack.change_instance(function, instance, if turn % 4 == 3 { "stop" } else { "kill" });
            kills += 1;
        }
    });
    check(&stack, &sent);
    let all: usize = sent.iter().map(|sent| sent.all.len()).sum();
    let acknowledged: usize = sent.iter().map(|sent| sent.acknowledged.len()).sum();
    println!("{kills} kills, {all} writes, {acknowledged} of them acknowledged");
    assert!(kills >= 3 && acknowledged > 0);
    stack.finish();
}

#[test]
fn nothing_is_lost_when_instances_are_frozen_during_events() {
    let stack = LambdaStack::start();
    let sent = clients(&stack, |turn| {
        let function = if turn % 3 == 2 { "query" } else { "write" };
        if let Some(instance) = choose(&stack.instances(function), turn) {
            stack.change_instance(function, instance, "freeze");
            pause(Duration::from_millis(300));
            stack.change_instance(function, instance, "thaw");
        }
        pause(Duration::from_millis(30));
    });
    check(&stack, &sent);
    let acknowledged: usize = sent.iter().map(|sent| sent.acknowledged.len()).sum();
    assert_eq!(acknowledged, CLIENTS * ROUNDS, "pauses this short void nothing");
    stack.finish();
}

#[test]
fn a_writer_frozen_for_too_long_does_not_acknowledge_a_void_segment() {
    let stack = LambdaStack::start_alone();
    stack.write("several", "begin v=1i 1");
    let instance = stack.instances("write")[0];
    thread::scope(|scope| {
        let frozen = scope.spawn(|| {
            let lines = (0..2_000).map(|row| format!("late v={row}i {row}\n"));
            stack.try_write("several", &lines.collect::<String>(), None)
        });
        stack.change_instance("write", instance, "freeze");
        // Longer than the acknowledgement limit of a network store.
        pause(Duration::from_secs(12));
        stack.change_instance("write", instance, "thaw");
        let reply = frozen.join().unwrap().unwrap();
        let said = (reply.status, reply.text());
        // The writer detects the freeze, whether it was before or after its stamp.
        assert!(matches!(said.0, 204 | 503), "{said:?}");
        let rows = stack.query("several", "SELECT count(*) AS n FROM begin");
        assert_eq!(rows, [json!({ "n": 1 })]);
        if said.0 == 204 {
            let rows = stack.query("several", "SELECT count(*) AS n FROM late");
            assert_eq!(rows, [json!({ "n": 2_000 })]);
        }
    });
    stack.write("several", "begin v=1i 2");
    stack.finish();
}
