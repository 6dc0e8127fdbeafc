//! Many clients that write at once: several requests in one instance, and a function that only writes rows.

use std::sync::Arc;

use futures::future::join_all;
use neap_bucket::{PausedClock, World};
use neap_lambda::write::WriteProgram;
use serde_json::Value;

use crate::instance::{FunctionUnderTest, SharedDirectory, request};

/// Number of clients that send a request at the same time.
const CLIENTS: usize = 64;

/// 14 November 2023, 22:13:20, in microseconds since the Unix epoch.
const START_MICROS: i64 = 1_700_000_000_000_000;

fn write(host: usize) -> Value {
    let line = format!("cpu,host=h{host} usage=1 1700000000");
    let query = "db=d&precision=second";
    request("POST", "/api/v3/write_lp", query, &line)
}

/// Opens a write function over a store in memory, whose clock is Tokio's.
fn open(flags: &[&str]) -> FunctionUnderTest {
    let world = World::seeded(Arc::new(PausedClock::new(START_MICROS)), 1);
    let store = ["--object-store", "memory", "--without-auth"];
    let all: Vec<&str> = store.iter().chain(flags).copied().collect();
    FunctionUnderTest::open_in::<WriteProgram>(&world, &all)
}

/// Returns the number of segments that an instance has put.
async fn puts(writes: &FunctionUnderTest) -> usize {
    let metrics = writes.say(&request("GET", "/metrics", "", "")).await;
    let text = metrics["body"].as_str().unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("neap_tail_puts_total "));
    count.unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_that_an_instance_handles_at_once_share_a_segment() {
    let writes = open(&["--function-concurrency", "64", "--wal-flush-interval", "1s"]);
    // It creates the database, and begins an interval.
    assert_eq!(writes.say(&write(0)).await["statusCode"], 204);
    assert_eq!(puts(&writes).await, 1);
    // Time passes only when all of them wait.
    let events: Vec<Value> = (1..=CLIENTS).map(write).collect();
    for answer in join_all(events.iter().map(|event| writes.say(event))).await {
        assert_eq!(answer["statusCode"], 204, "{answer}");
    }
    assert_eq!(puts(&writes).await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_handles_one_request_at_a_time_puts_a_segment_for_each() {
    let writes = open(&[]);
    for host in 0..CLIENTS {
        assert_eq!(writes.say(&write(host)).await["statusCode"], 204);
    }
    assert_eq!(puts(&writes).await, CLIENTS);
}

#[tokio::test]
async fn a_function_for_writes_alone_refuses_all_other_paths() {
    let place = SharedDirectory::new();
    let all = place.open::<WriteProgram>(&["--without-auth"]);
    let ingest = place.open::<WriteProgram>(&["--without-auth", "--writes-only"]);
    let statuses = async |method: &str, path: &str, body: &str| {
        let event = request(method, path, "db=d", body);
        [
            all.say(&event).await["statusCode"].clone(),
            ingest.say(&event).await["statusCode"].clone(),
        ]
    };
    for (path, query) in
        [("/api/v3/write_lp", "db=d"), ("/api/v2/write", "bucket=d"), ("/write", "db=d")]
    {
        let answer = ingest.say(&request("POST", path, query, "cpu usage=1 1")).await;
        assert_eq!(answer["statusCode"], 204, "{path}: {answer}");
    }
    for (method, path, body) in [
        ("POST", "/api/v3/configure/database", r#"{"db": "e"}"#),
        ("POST", "/api/v3/configure/table", r#"{"db": "e", "table": "t", "tags": ["a"]}"#),
    ] {
        let [usual, restricted] = statuses(method, path, body).await;
        assert_ne!(usual, 404, "{path}");
        assert_eq!(restricted, 404, "{path}");
    }
    // Monitoring tells nothing that needs a limit.
    assert_eq!(statuses("GET", "/health", "").await, [200, 200]);
}
