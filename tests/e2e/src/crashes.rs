//! Crashes and stops: `kill -9` of the process under load, repeatedly; a graceful stop; and an outage of the store.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, wait_for};

/// The number of kills.
const KILLS: usize = 20;
/// The number of concurrent writing clients.
const CLIENTS: usize = 3;
/// The number of rows in a request.
const ROWS: usize = 5;
/// Maximum wait for the writes after which the process is killed.
const LOAD: Duration = Duration::from_secs(60);

/// The first rows of the requests of one client: all sent requests, and the acknowledged ones among them.
#[derive(Debug, Default)]
struct SentWrites {
    all: BTreeSet<usize>,
    acknowledged: BTreeSet<usize>,
}

/// Writes until the server does not answer.
fn load(
    server: &ServerClient,
    client: usize,
    mut next: usize,
    acknowledged: &AtomicUsize,
) -> SentWrites {
    let mut sent = SentWrites::default();
    loop {
        // Some requests also need a change of the catalog.
        let table = next / ROWS / 40;
        let rows = (next..next + ROWS).map(|row| {
            format!("samples,client=c{client} id={row}i {row}\ntable_{table},client=c{client} id={row}i {row}\n")
        });
        sent.all.insert(next);
        match server.try_write("load", &rows.collect::<String>(), None) {
            Ok(reply) if reply.status == 204 => {
                sent.acknowledged.insert(next);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
            Err(_) => return sent,
        }
        next += ROWS;
    }
}

/// Returns the first rows of a client's stored requests. Checks that each request is stored completely or not at all.
fn stored(server: &ServerClient, table: &str, client: usize) -> BTreeSet<usize> {
    let sql = format!("SELECT id FROM {table} WHERE client = 'c{client}' ORDER BY id");
    let rows = server.query("load", &sql);
    let ids = rows.iter().map(|row| usize::try_from(row["id"].as_u64().unwrap()).unwrap());
    let rows: Vec<usize> = ids.collect();
    assert_eq!(rows.len() % ROWS, 0, "a request is stored in part");
    let requests = rows.chunks(ROWS).map(|rows| {
        let first = rows[0];
        assert!(first % ROWS == 0 && rows.iter().copied().eq(first..first + ROWS), "{rows:?}");
        first
    });
    requests.collect()
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let place = StoreFixture::directory();
    let mut sent: [SentWrites; CLIENTS] = Default::default();
    let mut server = NeapProcess::serve(&place);
    server.write("load", "begin value=1i 1");
    for kill in 0..KILLS {
        let acknowledged = AtomicUsize::new(0);
        let new = thread::scope(|scope| {
            let clients: Vec<_> = sent
                .iter()
                .enumerate()
                .map(|(client, sent)| {
                    let next = sent.all.last().map_or(0, |last| last + ROWS);
                    let (server, acknowledged) = (ServerClient::clone(&server), &acknowledged);
                    scope.spawn(move || load(&server, client, next, acknowledged))
                })
                .collect();
            // Each kill hits another moment of the load.
            let enough = 3 + 7 * kill;
            wait_for("load", LOAD, || {
                let is_over = clients.iter().any(|client| client.is_finished());
                (is_over || acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
            });
            server.kill();
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        for (sent, new) in sent.iter_mut().zip(new) {
            sent.all.extend(new.all);
            sent.acknowledged.extend(new.acknowledged);
        }
        server = NeapProcess::serve(&place);
        for (client, sent) in sent.iter().enumerate() {
            let stored = stored(&server, "samples", client);
            let lost: Vec<_> = sent.acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "kill {kill}, client {client}: lost {lost:?}");
            assert!(stored.is_subset(&sent.all), "kill {kill}, client {client}");
        }
    }
    let acknowledged: usize = sent.iter().map(|sent| sent.acknowledged.len()).sum();
    let all: usize = sent.iter().map(|sent| sent.all.len()).sum();
    println!("{KILLS} kills, {all} requests, {acknowledged} of them acknowledged");
}

#[test]
fn a_graceful_stop_answers_running_requests() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve(&place);
    server.write("load", "begin value=1i 1");
    let acknowledged = AtomicUsize::new(0);
    let sent = thread::scope(|scope| {
        let client = ServerClient::clone(&server);
        let acknowledged = &acknowledged;
        let client = scope.spawn(move || load(&client, 0, 0, acknowledged));
        wait_for("load", LOAD, || (acknowledged.load(Ordering::Relaxed) >= 20).then_some(()));
        assert!(server.stop().success());
        client.join().unwrap()
    });
    let server = NeapProcess::serve(&place);
    let stored = stored(&server, "samples", 0);
    assert!(sent.acknowledged.is_subset(&stored) && stored.is_subset(&sent.all));
    assert!(sent.all.len() - stored.len() <= 1, "at most the last request had no answer");
}

/// Whether a request is refused with a status that allows a repetition.
fn is_retryable(reply: &Reply) -> bool {
    reply.status == 503 && reply.header("retry-after").is_some()
}

#[test]
fn an_outage_of_the_store_is_reported_and_writes_resume_after_it() {
    let place = StoreFixture::neap_s3_server();
    let server = NeapProcess::serve_with(&place, &["--wal-flush-interval", "20ms"]);
    for round in 0..3 {
        server.write("load", &format!("samples value={round}i {round}"));
        place.without_store(|| {
            let line = format!("samples value={round}i 1{round}");
            let write = server.try_write("load", &line, None).unwrap();
            assert!(is_retryable(&write), "{}: {}", write.status, write.text());
            let body = json!({ "db": "load", "q": "SELECT * FROM samples" }).to_string();
            let query =
                Reply::receive(server.request("POST", "/api/v3/query_sql").body(body)).unwrap();
            assert!(is_retryable(&query), "{}: {}", query.status, query.text());
            assert_eq!(server.get("/health").status, 200);
        });
        let line = format!("samples value={round}i 2{round}");
        wait_for("acknowledgement", LOAD, || {
            let reply = server.try_write("load", &line, None).unwrap();
            assert!(reply.status == 204 || is_retryable(&reply), "{}", reply.text());
            (reply.status == 204).then_some(())
        });
    }
    let sql = "SELECT value FROM samples WHERE time < '1970-01-01T00:00:10Z' \
        OR time >= '1970-01-01T00:00:20Z' ORDER BY time";
    let values: Vec<_> = server
        .query("load", sql)
        .iter()
        .map(|row| row["value"].as_u64().unwrap())
        .collect();
    assert_eq!(values, [0, 1, 2, 0, 1, 2]);
}
