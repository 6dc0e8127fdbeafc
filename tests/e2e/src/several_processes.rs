//! Two processes that write and two that answer queries, all on one store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{NeapProcess, ServerClient, StoreFixture, neap, pause, wait_for};

/// The number of rounds of each writer.
const ROUNDS: u64 = 12;
/// Maximum number of attempts of a write that the server asks to repeat.
const MAX_ATTEMPTS: usize = 10;
/// Maximum wait for a flush, including the flush lag of a network store.
const FLUSH: Duration = Duration::from_secs(120);

/// The processes of a test.
struct ProcessCluster {
    writers: [NeapProcess; 2],
    queriers: [NeapProcess; 2],
}

impl ProcessCluster {
    fn start(place: &StoreFixture) -> Self {
        // On a real store, the flush interval saves costs; here it only takes time.
        let write = ["--mode", "ingest", "--wal-flush-interval", "20ms"];
        let query = ["--mode", "query"];
        Self {
            writers: [
                NeapProcess::serve_with(place, &write),
                NeapProcess::serve_with(place, &write),
            ],
            queriers: [
                NeapProcess::serve_with(place, &query),
                NeapProcess::serve_with(place, &query),
            ],
        }
    }

    /// Returns the answer of a query, which must be the same on both queriers.
    fn query(&self, sql: &str) -> Vec<Value> {
        let [one, other] = self.queriers.each_ref().map(|querier| querier.query("shared", sql));
        assert_eq!(one, other, "{sql}");
        one
    }
}

/// Writes until the write is acknowledged, and returns the stamp. A repeated write may take effect twice, which is
/// harmless because it writes the same points.
fn write(server: &ServerClient, lines: &str, after: Option<u64>) -> u64 {
    for _ in 0..MAX_ATTEMPTS {
        let reply = server.try_write("shared", lines, after).unwrap();
        match reply.status {
            204 => return reply.stamp().expect("a stamp"),
            503 => {
                let wait = reply.header("retry-after").expect("a time to wait").parse().unwrap();
                pause(Duration::from_secs(wait));
            }
            status => panic!("{status}: {}", reply.text()),
        }
    }
    panic!("not acknowledged in {MAX_ATTEMPTS} attempts: {lines}");
}

/// The acknowledged writes to points that both writers write: values by point and stamp.
type SharedPointWrites = Mutex<BTreeMap<(u64, u64), u64>>;

/// Runs the rounds of one writer. Each round adds a row with a new column to a shared table, adds a row to a new table,
/// and writes to a point that the other writer also writes.
fn rounds(cluster: &ProcessCluster, writer: usize, contested: &SharedPointWrites) {
    let server = &cluster.writers[writer];
    for round in 0..ROUNDS {
        let (time, value) = (1_000 + round, 2 * round + writer as u64);
        let point = round % 3;
        let lines = format!(
            "samples,writer=w{writer} round={round}i,new_{writer}_{round}=1i,both_{round}=1i {time}\n\
             own_{writer}_{round} round={round}i {time}\n\
             contested,point=p{point} value={value}i,of_{writer}={value}i 1\n"
        );
        let stamp = write(server, &lines, None);
        contested.lock().unwrap().insert((point, stamp), value);
        for querier in &cluster.queriers {
            let sql = format!(
                "SELECT count(*) AS n, sum(new_{writer}_{round}) AS new FROM samples \
                 WHERE writer = 'w{writer}' AND round <= {round}"
            );
            let expected = vec![json!({ "n": round + 1, "new": 1 })];
            assert_eq!(querier.query("shared", &sql), expected, "writer {writer}");
            let sql = format!("SELECT round FROM own_{writer}_{round}");
            assert_eq!(querier.query("shared", &sql), [json!({ "round": round })]);
        }
    }
}

/// Checks the stored rows after all rounds, regardless of the number of flushes.
fn check(cluster: &ProcessCluster, contested: &BTreeMap<(u64, u64), u64>) {
    let all = cluster.query("SELECT writer, round FROM samples ORDER BY writer, round");
    let expected = ["w0", "w1"].into_iter().flat_map(|writer| {
        (0..ROUNDS).map(move |round| json!({ "writer": writer, "round": round }))
    });
    assert_eq!(all, expected.collect::<Vec<_>>());
    let both = (0..ROUNDS).map(|round| format!("sum(both_{round})")).collect::<Vec<_>>();
    let sum = cluster.query(&format!("SELECT {} AS n FROM samples", both.join(" + ")));
    assert_eq!(sum, [json!({ "n": 2 * ROUNDS })]);

    let points: BTreeSet<u64> = contested.keys().map(|(point, _)| *point).collect();
    let expected = points.into_iter().map(|point| {
        let writes: Vec<u64> = contested
            .range((point, 0)..=(point, u64::MAX))
            .map(|(_, value)| *value)
            .collect();
        let last = |writer: u64| writes.iter().rev().find(|value| **value % 2 == writer);
        json!({
            "point": format!("p{point}"),
            "value": writes.last(),
            "of_0": last(0),
            "of_1": last(1),
        })
    });
    let rows = cluster.query("SELECT point, value, of_0, of_1 FROM contested ORDER BY point, time");
    assert_eq!(rows, expected.collect::<Vec<_>>(), "last write wins by stamp, field by field");
}

/// Writes as a client that passes the stamps back, to both writers in turn.
fn write_with_passed_stamps(cluster: &ProcessCluster) {
    let mut last = None;
    for (round, server) in (0..ROUNDS).zip(cluster.writers.iter().cycle()) {
        let stamp = write(server, &format!("ordered value={round}i 1"), last);
        assert!(last.is_none_or(|last| last < stamp));
        last = Some(stamp);
        for querier in &cluster.queriers {
            let rows = querier.query_after("shared", "SELECT value FROM ordered", last);
            assert_eq!(rows, [json!({ "value": round })]);
        }
    }
}

/// Flushes until the queriers do not read segments any more.
fn flush(place: &StoreFixture, cluster: &ProcessCluster) {
    wait_for("flush of all segments", FLUSH, || {
        neap(&place.after(&["compact"])).succeeded();
        // A new process reads all segments of the tail.
        let fresh = NeapProcess::serve_with(place, &["--mode", "query"]);
        fresh.query("shared", "SELECT count(*) FROM samples");
        (fresh.store_requests().of("get tail") == 0).then_some(())
    });
    assert!(cluster.queriers.iter().all(|querier| querier.get("/health").status == 200));
}

fn on(place: &StoreFixture) {
    let cluster = ProcessCluster::start(place);
    let contested = SharedPointWrites::default();
    thread::scope(|scope| {
        for writer in 0..2 {
            let (cluster, contested) = (&cluster, &contested);
            scope.spawn(move || rounds(cluster, writer, contested));
        }
    });
    let contested = contested.into_inner().unwrap();
    check(&cluster, &contested);
    write_with_passed_stamps(&cluster);
    flush(place, &cluster);
    check(&cluster, &contested);
    let rows = cluster.query("SELECT value FROM ordered");
    assert_eq!(rows, [json!({ "value": ROUNDS - 1 })]);
}

#[test]
fn writers_and_queriers_share_a_directory() {
    on(&StoreFixture::directory());
}

#[test]
fn writers_and_queriers_share_a_bucket_of_the_own_s3_server() {
    on(&StoreFixture::neap_s3_server());
}

#[test]
fn writers_and_queriers_share_a_bucket_of_the_other_s3_server() {
    if let Some(place) = StoreFixture::third_party_s3() {
        on(&place);
    }
}
