//! The costs of operations in requests to the store, measured by the counters at `/metrics`. The numbers are exact: a
//! change of them changes the costs of Neap.
//!
//! Processes revalidate their copies of registers when these are too old. On a slow machine, this may happen during an
//! operation; therefore the tests allow each of these GETs once, and no other additional request.

use std::{thread, time::Duration};

use crate::harness::{
    NeapProcess, ServerClient, StoreFixture, StoreRequests, now, pause, wait_for,
};

/// The age at which every copy of a register must be revalidated by a GET, with standard margins.
pub(crate) const REVALIDATION_AGE: Duration = Duration::from_secs(6);
/// Maximum wait for a flush that is due.
pub(crate) const FLUSH: Duration = Duration::from_secs(60);

/// The conditional GETs that revalidate registers.
pub(crate) const REVALIDATIONS: [&str; 3] =
    ["get database_catalog", "get manifest", "get root_catalog"];

/// Time after the start of a process during which it revalidates no register: none is too old, and maintenance begins later.
const WITHOUT_REVALIDATION: Duration = Duration::from_secs(5);

/// Returns the requests without one of each revalidation that occurs once more than expected.
fn without_another_revalidation(mut requests: StoreRequests, expected: &str) -> StoreRequests {
    let is_expected = |request: &str| expected.split(", ").any(|part| part == request);
    for revalidation in REVALIDATIONS {
        if let Some(count) = requests.0.get_mut(revalidation)
            && is_expected(&format!("{} {revalidation}", *count - 1))
        {
            *count -= 1;
        }
    }
    requests
}

/// Starts a process that compacts, and checks its requests until its first flush is committed.
pub(crate) fn costs_until_first_flush(place: &StoreFixture, expected: &str) -> NeapProcess {
    let started_at = now();
    // Soon after its start, it checks all databases.
    let flusher = NeapProcess::serve_with(place, &["--mode", "compact"]);
    // The catalog records the first manifest of a database.
    let last = if expected.contains("put database_catalog") {
        "put database_catalog"
    } else {
        "put manifest"
    };
    let mut requests = wait_for("flush", FLUSH, || {
        Some(flusher.store_requests()).filter(|requests| requests.of(last) > 0)
    });
    if started_at.elapsed() > WITHOUT_REVALIDATION {
        requests = without_another_revalidation(requests, expected);
    }
    assert_eq!(requests.to_string(), expected, "a start and a flush");
    flusher
}

/// Returns the requests of an operation.
pub(crate) fn cost(server: &ServerClient, operation: impl FnOnce()) -> StoreRequests {
    let before = server.store_requests();
    operation();
    server.store_requests().since(&before)
}

/// Checks the cost of an operation, without revalidations. At least one attempt must have no revalidations.
pub(crate) fn costs(server: &ServerClient, expected: &str, operation: impl FnMut()) {
    costs_by(|| server.store_requests(), expected, operation);
}

/// Checks the cost of an operation by another counter of all requests so far.
pub(crate) fn costs_by(
    count: impl Fn() -> StoreRequests,
    expected: &str,
    mut operation: impl FnMut(),
) {
    let mut seen = Vec::new();
    for _ in 0..8 {
        let before = count();
        operation();
        let cost = count().since(&before);
        if cost.to_string() == expected {
            return;
        }
        let mut rest = cost.clone();
        for renewal in REVALIDATIONS {
            if cost.of(renewal) == 1 && !expected.contains(renewal) {
                rest.0.remove(renewal);
            }
        }
        assert_eq!(rest.to_string(), expected, "of {cost}");
        seen.push(cost.to_string());
    }
    panic!("never without renewals: {seen:?}");
}

fn query(server: &ServerClient) -> Vec<serde_json::Value> {
    server.query("budget", "SELECT sum(v) AS v FROM m")
}

/// Counts the requests of all operations on a store that several processes share.
fn on(store: StoreFixture) {
    let place = &store.with_standard_margins();
    let first = NeapProcess::serve_with(place, &["--mode", "ingest"]);
    first.write("budget", "m,t=a v=1i 1");
    let writer = NeapProcess::serve_with(place, &["--mode", "ingest"]);
    let querier = NeapProcess::serve_with(place, &["--mode", "query"]);
    assert_eq!(
        writer.store_requests().to_string(),
        "2 get root_catalog, 1 put node",
        "a start, of which others can know"
    );
    pause(REVALIDATION_AGE);
    let all_registers = "1 get database_catalog, 1 get manifest, 1 get root_catalog";

    let mut segments = 1;
    let mut write = |lines: &str| {
        writer.write("budget", lines);
        segments += 1;
    };
    let cold = cost(&writer, || write("m,t=a v=1i 2"));
    assert_eq!(cold.to_string(), format!("{all_registers}, 1 put tail"), "cold write");
    let mut time = 10;
    costs(&writer, "1 put tail", || {
        time += 1;
        write(&format!("m,t=a v=1i {time}\nm,t=b v=1i {time}\n"));
    });
    let path = "/api/v3/write_lp?db=budget&precision=second";
    let mut strict = 0;
    costs(&writer, "1 list tail, 1 put tail", || {
        time += 1;
        let request = writer
            .request("POST", path)
            .header("x-neap-order", "strict")
            .body(format!("m,t=a v=1i {time}"));
        assert_eq!(request.send().unwrap().status(), 204);
        strict += 1;
    });
    let mut name = 0;
    costs(&writer, "1 put database_catalog, 1 put tail", || {
        name += 1;
        write(&format!("m,t=a v=1i,column_{name}=1i 5\n"));
    });
    costs(&writer, "1 put database_catalog, 1 put tail", || {
        name += 1;
        write(&format!(
            "table_{name} v=1i 1\nother_{name},tag=x v=1i 1\nm column_{name}=1i 5\n"
        ));
    });

    segments += strict;
    let cold = cost(&querier, || drop(query(&querier)));
    let expected = format!("{all_registers}, {segments} get tail, 1 list tail");
    assert_eq!(cold.to_string(), expected, "cold query of a tail");
    let nothing_new = "1 get database_catalog, 1 get manifest, 1 list tail";
    costs(&querier, nothing_new, || drop(query(&querier)));
    costs(
        &querier,
        "1 get database_catalog, 1 get manifest, 3 get tail, 1 list tail",
        || {
            for _ in 0..3 {
                time += 1;
                writer.write("budget", &format!("m,t=a v=1i {time}"));
                segments += 1;
            }
            query(&querier);
        },
    );
    costs(&querier, "", || {
        let path = "/api/v3/query_sql?db=budget&q=SELECT%20sum(v)%20AS%20v%20FROM%20m";
        let request = querier.request("GET", path).header("x-neap-max-staleness", "1h");
        assert_eq!(request.send().unwrap().status(), 200);
    });

    let sum = query(&querier);
    pause(place.flush_lag() + REVALIDATION_AGE);
    let expected = format!(
        "1 get database_catalog, 1 get manifest, 2 get root_catalog, {segments} get tail, \
         1 list tail, 1 put data, 1 put database_catalog, 1 put manifest, 1 put node"
    );
    let _flusher = costs_until_first_flush(place, &expected);

    let fresh = NeapProcess::serve_with(place, &["--mode", "query"]);
    pause(REVALIDATION_AGE);
    let cold = cost(&fresh, || assert_eq!(query(&fresh), sum));
    // One footer, and the columns.
    let expected =
        "1 get data, 1 get database_catalog, 1 get manifest, 1 get root_catalog, 1 list tail";
    assert_eq!(cold.to_string(), expected.replace("1 get data,", "2 get data,"), "cold query");
    costs(&fresh, nothing_new, || assert_eq!(query(&fresh), sum));
    println!("{}: {segments} segments flushed", place.name);
}

#[test]
fn operations_on_a_directory_have_the_expected_costs() {
    on(StoreFixture::directory());
}

#[test]
fn operations_on_an_s3_server_have_the_expected_costs() {
    on(StoreFixture::neap_s3_server());
}

#[test]
fn operations_on_the_other_s3_server_have_the_expected_costs() {
    if let Some(place) = StoreFixture::third_party_s3() {
        on(place);
    }
}

/// Starts a writer and lets clients send one request after the other. Returns the PUTs of segments, the number of them
/// that used the burst, and the whole seconds from the start to the last answer, rounded up.
fn write_at_once(place: &StoreFixture, burst: &str, clients: u64, requests: u64) -> [u64; 3] {
    const BURST: &str = "neap_tail_burst_batches_total ";
    let started_at = now();
    let interval = ["--mode", "ingest", "--wal-flush-interval", "1s"];
    let flags = [&interval[..], &["--wal-flush-burst", burst]].concat();
    let server = NeapProcess::serve_with(place, &flags);
    thread::scope(|scope| {
        for client in 0..clients {
            let server: &ServerClient = &server;
            scope.spawn(move || {
                for request in 0..requests {
                    server.write("bursts", &format!("m,t={burst}-{client} v=1i {request}"));
                }
            });
        }
    });
    let seconds = started_at.elapsed().as_secs() + 1;
    let text = server.get("/metrics").text();
    let early = text.lines().find_map(|line| line.strip_prefix(BURST));
    let puts = server.store_requests().of("put tail");
    [puts, early.unwrap().parse().unwrap(), seconds]
}

#[test]
fn writers_on_an_s3_server_put_at_once_until_the_burst_is_used() {
    let place = StoreFixture::neap_s3_server();
    let [puts, early, seconds] = write_at_once(&place, "8", 4, 10);
    assert!(puts <= seconds + 1 + 8, "{puts} in {seconds} s");
    assert!((1..=seconds + 8).contains(&early), "{early}");
    let [puts, early, _] = write_at_once(&place, "0", 1, 3);
    assert_eq!((puts, early), (3, 0));
    let reader = NeapProcess::serve_with(&place, &["--mode", "query"]);
    let rows = reader.query("bursts", "SELECT count(*) AS n FROM m");
    assert_eq!(rows, [serde_json::json!({ "n": 43 })]);
}

#[test]
fn a_process_on_a_memory_store_reads_its_own_writes_without_a_list() {
    let server = NeapProcess::serve(&StoreFixture::memory().with_standard_margins());
    server.write("budget", "m,t=a v=1i 1");
    let mut time = 1;
    costs(&server, "1 put tail", || {
        time += 1;
        server.write("budget", &format!("m,t=a v=1i {time}"));
    });
    // Rows from before the first query are listed once.
    query(&server);
    costs(&server, "1 get database_catalog, 1 get manifest, 1 put tail", || {
        time += 1;
        server.write("budget", &format!("m,t=a v=1i {time}"));
        query(&server);
    });
    assert_eq!(query(&server), [serde_json::json!({ "v": time })]);
}
