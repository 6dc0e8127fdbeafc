//! Access to worker ports.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::harness::{NeapProcess, StoreFixture, assert_contains, neap, wait_for};

use super::fixture::{WorkerCluster, distributed, metric};

/// Bytes before the compressed JSON of a register.
const HEADER_BYTES: usize = 28;

/// A statement that is distributed.
const STATEMENT: &str = "SELECT hostname, count(*) AS n FROM cpu GROUP BY hostname";

/// Returns the address of a process's worker port, from its record in the store.
fn worker_port(process: &NeapProcess) -> String {
    let log = process.log();
    let line = log
        .lines()
        .find_map(|line| line.trim().strip_prefix("Worker of the cluster: http://"));
    let address = line.expect("the address of the worker port");
    address.trim_end_matches('/').to_owned()
}

/// A request of HTTP/2 to a path of the worker, without a ticket.
fn request(path: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    };
    // `:method: POST`, `:scheme: http`, and literals of `:path`, `:authority` and `content-type`.
    let mut block = vec![0x83, 0x86, 0x44];
    block.extend(text(path));
    block.push(0x41);
    block.extend(text("worker"));
    block.push(0x5f);
    block.extend(text("application/grpc"));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS of stream 1, whose body follows.
    let length = u8::try_from(block.len()).unwrap();
    bytes.extend([0, 0, length, 1, 4, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes
}

#[test]
fn strangers_are_refused_before_they_send_a_body() {
    let cluster = WorkerCluster::start();
    let worker = &cluster.workers[0];
    let address = worker_port(worker);
    let refused = || metric(worker, "neap_distributed_requests_refused_total");
    for (number, method) in ["GetWorkerInfo", "CoordinatorChannel", "ExecuteTask", "Other"]
        .into_iter()
        .enumerate()
    {
        let mut stranger = TcpStream::connect(&address).unwrap();
        let request = request(&format!("/worker.WorkerService/{method}"));
        stranger.write_all(&request).unwrap();
        wait_for("refusal", Duration::from_secs(10), || {
            (refused() == number as u64 + 1).then_some(())
        });
        // The connection is closed, because it showed no ticket in time.
        stranger.read_to_end(&mut Vec::new()).ok();
    }
    assert_eq!(metric(worker, "neap_distributed_tasks_total"), 0);
    let log = worker.log();
    assert_contains!(log, "refused a request to the worker port");
}

#[test]
fn administrator_tokens_replace_the_secret_while_queries_run() {
    let cluster = WorkerCluster::start();
    cluster.write(0, 0);
    cluster.flush();
    let expected = distributed(&cluster.alone, "bench", STATEMENT).0.len();
    let ask = || {
        let (rows, workers) = distributed(&cluster.workers[0], "bench", STATEMENT);
        assert_eq!((rows.len(), workers), (expected, 4));
    };
    ask();
    let secrets = || {
        let folder = cluster.place.folder();
        let catalog = std::fs::read(folder.join("neap/catalog")).unwrap();
        let json = zstd::decode_all(&catalog[HEADER_BYTES..]).unwrap();
        let register: Value = serde_json::from_slice(&json).unwrap();
        register["value"]["cluster_secrets"].clone()
    };
    let first = secrets()["current"].clone();
    // The processes of the cluster have no authentication, so another one creates the token.
    let administered = NeapProcess::serve_with_tokens(&cluster.place, &["--mode", "ingest"]);
    administered.first_token();
    let rotated = secrets();
    assert_ne!(rotated["current"], first);
    assert_eq!(rotated["replaced"][0]["secret"], first);
    for _ in 0..10 {
        ask();
    }
    let shown = format!("{:?}", cluster.workers.iter().map(NeapProcess::log).collect::<Vec<_>>());
    assert!(!shown.contains(first.as_str().unwrap()));
}

#[test]
fn a_worker_port_that_others_reach_needs_tls_or_permission() {
    let place = StoreFixture::directory();
    let serve = ["serve", "--mode", "query", "--cluster-address", "0.0.0.0:0"];
    let refused = neap(&place.after(&serve)).failed(1);
    assert_contains!(refused, "--cluster-without-tls");
}
