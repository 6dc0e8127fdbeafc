//! The order of writes and deletes through several processes, and what a drop leaves to the others: whatever is sent
//! after an answer comes after it.

use std::{thread, time::Duration};

use serde_json::json;

use crate::harness::{Neap, Place, Reply, Server, pause};

const DB: &str = "ordered";
/// The pairs of requests, the second of which is sent when the first is answered.
const PAIRS: usize = 40;
/// The drops, each followed by rows through the other processes.
const DROPS: usize = 3;

/// Three processes of everything, on one store.
fn processes(place: &Place) -> [Neap; 3] {
    // The flush interval is what one pays for on a real store; here it only takes time.
    let flags = ["--wal-flush-interval", "1ms"];
    [(); 3].map(|()| Neap::serve_with(place, &flags))
}

fn write(server: &Server, lines: &str, order: Option<&str>) {
    let path = format!("/api/v3/write_lp?db={DB}&precision=second");
    loop {
        let mut request = server.request("POST", &path).body(lines.to_owned());
        if let Some(order) = order {
            request = request.header("x-neap-order", order);
        }
        let reply = Reply::of(request).unwrap();
        match reply.status {
            204 => return,
            503 => pause(Duration::from_millis(200)),
            status => panic!("{status}: {}", reply.text()),
        }
    }
}

fn delete(server: &Server, table: &str, pair: usize) {
    let body = json!({ "db": DB, "table": table, "condition": format!("pair='{pair}'") });
    let request = server.request("POST", "/api/v3/delete_rows");
    let request = request.header("content-type", "application/json");
    let reply = Reply::of(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// The number that a query of one row and one column gives.
fn number(server: &Server, sql: &str) -> u64 {
    let rows = server.query(DB, sql);
    rows[0]["n"].as_u64().unwrap()
}

fn order_on(place: &Place) {
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

    // The database has it in any case, once it is set.
    let body = json!({ "db": DB, "order": "strict" }).to_string();
    let update = one.request("PUT", "/api/v3/configure/database");
    let update = update.header("content-type", "application/json").body(body);
    assert_eq!(Reply::of(update).unwrap().status, 200);
    for pair in 0..PAIRS {
        write(&one, &format!("over,pair={pair} v=3i 1"), None);
        write(&other, &format!("over,pair={pair} v=4i 1"), None);
    }
    let all = number(&reader, "SELECT count(*) AS n FROM over WHERE v = 4");
    assert_eq!(all, PAIRS as u64);
}

/// Drops, and loads anew through the others as soon as it is answered. The rows of before never show again, and the new
/// ones are there.
fn drops_on(place: &Place) {
    let servers = processes(place);
    write(&servers[0], "loaded,from=before v=0i 1", None);
    for drop in 0..DROPS {
        // Everybody has a copy of the catalogs that is as young as can be.
        for (number, server) in servers.iter().enumerate() {
            write(server, &format!("loaded,from=before v=0i {number}"), None);
        }
        let path = match drop % 2 {
            0 => format!("/api/v3/configure/table?db={DB}&table=loaded"),
            _ => format!("/api/v3/configure/database?db={DB}"),
        };
        let dropper = &servers[drop % servers.len()];
        let dropped = Reply::of(dropper.request("DELETE", &path)).unwrap();
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
fn strict_writes_and_deletes_come_after_what_another_process_acknowledged() {
    order_on(&Place::own_s3());
}

#[test]
fn strict_writes_and_deletes_come_after_what_another_process_acknowledged_in_a_directory() {
    order_on(&Place::directory());
}

#[test]
fn what_is_loaded_through_other_processes_after_a_drop_is_all_there_and_nothing_else() {
    drops_on(&Place::own_s3());
}
