//! The order of writes and deletes through several processes, and drops seen by other processes: a request that is sent
//! after an answer takes effect after it.

use std::{thread, time::Duration};

use serde_json::json;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, pause};

const DB: &str = "ordered";
/// The number of pairs of requests. The second one is sent when the first one is answered.
const PAIRS: usize = 40;
/// The number of drops. Each is followed by writes through the other processes.
const DROPS: usize = 3;

/// Starts three processes with all roles on one store.
fn processes(place: &StoreFixture) -> [NeapProcess; 3] {
    // On a real store, the flush interval saves costs; here it only takes time.
    let flags = ["--wal-flush-interval", "1ms"];
    [(); 3].map(|()| NeapProcess::serve_with(place, &flags))
}

fn write(server: &ServerClient, lines: &str, order: Option<&str>) {
    let path = format!("/api/v3/write_lp?db={DB}&precision=second");
    loop {
        let mut request = server.request("POST", &path).body(lines.to_owned());
        if let Some(order) = order {
            request = request.header("x-neap-order", order);
        }
        let reply = Reply::receive(request).unwrap();
        match reply.status {
            204 => return,
            503 => pause(Duration::from_millis(200)),
            status => panic!("{status}: {}", reply.text()),
        }
    }
}

fn delete(server: &ServerClient, table: &str, pair: usize) {
    let body = json!({ "db": DB, "table": table, "condition": format!("pair='{pair}'") });
    let request = server
        .request("POST", "/api/v3/delete_rows")
        .header("content-type", "application/json");
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// Returns the number in a result with one row and one column.
fn number(server: &ServerClient, sql: &str) -> u64 {
    let rows = server.query(DB, sql);
    rows[0]["n"].as_u64().unwrap()
}

fn order_on(place: &StoreFixture) {
    let [one, other, reader] = processes(place);
    write(&one, "over,pair=x v=0i 1\ngone,pair=x v=0i 1", None);
    for pair in 0..PAIRS {
        write(&one, &format!("over,pair={pair} v=1i 1"), None);
        write(&other, &format!("over,pair={pair} v=2i 1"), Some("strict"));
        write(&one, &format!("gone,pair={pair} v=1i 1"), None);
        delete(&other, "gone", pair);
    }
    let lost = number(&reader, "SELECT count(*) AS n FROM over WHERE v = 1");
    assert_eq!(lost, 0, "overwrites that lost");
    let left = number(&reader, "SELECT count(*) AS n FROM gone WHERE v = 1");
    assert_eq!(left, 0, "rows that a delete missed");
    let all = number(&reader, "SELECT count(*) AS n FROM over WHERE v = 2");
    assert_eq!(all, PAIRS as u64);

    // The default order of the database becomes strict.
    let body = json!({ "db": DB, "order": "strict" }).to_string();
    let update = one
        .request("PUT", "/api/v3/configure/database")
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(Reply::receive(update).unwrap().status, 200);
    for pair in 0..PAIRS {
        write(&one, &format!("over,pair={pair} v=3i 1"), None);
        write(&other, &format!("over,pair={pair} v=4i 1"), None);
    }
    let all = number(&reader, "SELECT count(*) AS n FROM over WHERE v = 4");
    assert_eq!(all, PAIRS as u64);
}

/// Writes each point through one process, and other values of it through another one, in a database that keeps earlier rows.
fn first_values_on(place: &StoreFixture) {
    let [one, other, reader] = processes(place);
    let body = json!({ "db": DB, "on_duplicate": "keep" }).to_string();
    let create = one
        .request("POST", "/api/v3/configure/database")
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(Reply::receive(create).unwrap().status, 200);
    for pair in 0..PAIRS {
        write(&one, &format!("kept,pair={pair} v=1i 1"), None);
        // No sender can choose a weaker order.
        let later = format!("kept,pair={pair} v=2i,w=2i 1");
        write(&other, &later, Some("clock"));
    }
    let all = number(&reader, "SELECT count(*) AS n FROM kept WHERE v = 1 AND w = 2");
    assert_eq!(all, PAIRS as u64);
}

/// Drops a table or database, and writes new rows through the other processes as soon as the drop is answered. Old rows
/// never reappear, and all new ones exist.
fn drops_on(place: &StoreFixture) {
    let servers = processes(place);
    write(&servers[0], "loaded,from=before v=0i 1", None);
    for drop in 0..DROPS {
        // Every process has a recent copy of the catalogs.
        for (number, server) in servers.iter().enumerate() {
            write(server, &format!("loaded,from=before v=0i {number}"), None);
        }
        let path = match drop % 2 {
            0 => format!("/api/v3/configure/table?db={DB}&table=loaded"),
            _ => format!("/api/v3/configure/database?db={DB}"),
        };
        let dropper = &servers[drop % servers.len()];
        let dropped = Reply::receive(dropper.request("DELETE", &path)).unwrap();
        assert_eq!(dropped.status, 200, "{}", dropped.text());
        thread::scope(|scope| {
            for (place, server) in servers.iter().enumerate() {
                scope.spawn(move || {
                    for row in 1..=20 {
                        write(server, &format!("loaded,from=s{place} v=1i {row}"), None);
                        let old = "SELECT count(*) AS n FROM loaded WHERE v = 0";
                        assert_eq!(number(server, old), 0, "old rows after drop {drop}");
                    }
                });
            }
        });
        for server in &servers {
            let all = number(server, "SELECT count(*) AS n FROM loaded");
            assert_eq!(all, 60, "rows after drop {drop}");
        }
    }
}

#[test]
fn strict_writes_and_deletes_follow_writes_that_another_process_acknowledged() {
    order_on(&StoreFixture::neap_s3_server());
}

#[test]
fn strict_writes_and_deletes_follow_writes_that_another_process_acknowledged_in_a_directory() {
    order_on(&StoreFixture::directory());
}

#[test]
fn values_that_a_process_acknowledged_are_kept_whatever_another_one_writes() {
    first_values_on(&StoreFixture::neap_s3_server());
}

#[test]
fn writes_through_other_processes_after_a_drop_go_into_the_new_table() {
    drops_on(&StoreFixture::neap_s3_server());
}
