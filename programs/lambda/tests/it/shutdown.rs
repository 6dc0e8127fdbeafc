//! Checks the responses to events in flight when Lambda ends an instance.

use std::time::Duration;

use neap_lambda::{query::QueryProgram, write::WriteProgram};
use neap_s3_server::{Faults, Options, S3Server};
use serde_json::{Value, json};

use crate::{
    instance::{EVENT_TIME, SharedDirectory, open, request},
    large_responses,
    process::{FunctionProcess, sleep_for},
};

const WRITE: &str = env!("CARGO_BIN_EXE_neap-lambda-write");
const QUERY: &str = env!("CARGO_BIN_EXE_neap-lambda-query");

/// Time after which a delivered event has arrived in the function.
const DELIVERY_TIME: Duration = Duration::from_millis(50);

fn write(row: usize) -> Value {
    let line = format!("t v={row}i {row}");
    let query = "db=d&precision=second";
    request("POST", "/api/v3/write_lp", query, &line)
}

fn select(sql: &str) -> Value {
    let query = format!("db=d&format=json&q={}", sql.replace(' ', "%20"));
    request("GET", "/api/v3/query_sql", &query, "")
}

/// Returns the variables of a function whose store is a directory.
fn directory(path: &str) -> Vec<(&str, &str)> {
    vec![("NEAP_OBJECT_STORE", "file"), ("NEAP_DATA_DIR", path)]
}

#[tokio::test(flavor = "multi_thread")]
async fn batched_writes_are_flushed_when_the_instance_ends() {
    let place = SharedDirectory::new();
    let path = place.path("").display().to_string();
    let mut variables = directory(&path);
    variables.extend([
        ("AWS_LAMBDA_MAX_CONCURRENCY", "4"),
        // Longer than events may take during shutdown.
        ("NEAP_WAL_FLUSH_INTERVAL", "400ms"),
    ]);
    let writes = FunctionProcess::start(WRITE, &variables).await;
    assert_eq!(writes.say(&write(1)).await.unwrap()["statusCode"], 204);
    let mut answering = Vec::new();
    for row in 2..=5 {
        answering.push(writes.send(&write(row)).await);
    }
    sleep_for(DELIVERY_TIME).await;
    writes.terminate();
    for answering in answering {
        let said = answering.said().await.expect("it is answered").unwrap();
        assert_eq!(said["statusCode"], 204, "{said}");
    }
    assert!(writes.wait().await.success());
    let queries = place.open::<QueryProgram>(&["--without-auth"]);
    let rows = queries.say(&select("SELECT v FROM t ORDER BY v")).await;
    let rows: Value = serde_json::from_str(rows["body"].as_str().unwrap()).unwrap();
    assert_eq!(rows, json!([{"v": 1}, {"v": 2}, {"v": 3}, {"v": 4}, {"v": 5}]));
}

/// Asserts that a response reports an aborted request.
fn assert_given_up(said: &Value) {
    assert_eq!(said["statusCode"], 503, "{said}");
    assert_eq!(said["headers"]["retry-after"], "1", "{said}");
    let body = said["body"].as_str().unwrap();
    assert!(body.contains("the instance ended"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_waits_for_the_store_is_answered_when_the_instance_ends() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = large_responses::flags(&server);
    let writes = open::<WriteProgram>(&flags, &[]);
    assert_eq!(writes.say(&write(1)).await["statusCode"], 204);
    let endpoint = server.endpoint();
    let variables = [
        ("NEAP_BUCKET", server.bucket()),
        ("AWS_ENDPOINT", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY),
    ];
    let queries = FunctionProcess::start(QUERY, &variables).await;
    let event = select("SELECT v FROM t");
    assert_eq!(queries.say(&event).await.unwrap()["statusCode"], 200);
    server.set_faults(Faults::with_delay(EVENT_TIME));
    let answering = queries.send(&event).await;
    sleep_for(DELIVERY_TIME).await;
    queries.terminate();
    assert_given_up(&answering.said().await.expect("it is answered").unwrap());
    assert!(queries.wait().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_computes_is_answered_when_the_instance_ends() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(&["--without-auth"]);
    let lines: String = (1..=2_000).map(|row| format!("t v={row}i {row}\n")).collect();
    let query = "db=d&precision=second";
    let event = request("POST", "/api/v3/write_lp", query, &lines);
    assert_eq!(writes.say(&event).await["statusCode"], 204);
    let path = place.path("").display().to_string();
    let queries = FunctionProcess::start(QUERY, &directory(&path)).await;
    let sql = "SELECT sum(a.v*b.v-c.v) AS s FROM t a, t b, t c";
    let answering = queries.send(&select(sql)).await;
    // The query takes less than 1 s to start, and much longer to finish.
    sleep_for(Duration::from_secs(1)).await;
    queries.terminate();
    assert_given_up(&answering.said().await.expect("it is answered").unwrap());
    assert!(queries.wait().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_instance_ends() {
    let place = SharedDirectory::new();
    let path = place.path("").display().to_string();
    let writes = FunctionProcess::start(WRITE, &directory(&path)).await;
    assert_eq!(writes.say(&write(1)).await.unwrap()["statusCode"], 204);
    writes.terminate();
    assert!(writes.wait().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_extension_registration_does_not_block_events() {
    let place = SharedDirectory::new();
    let path = place.path("").display().to_string();
    let writes = FunctionProcess::start_without_extensions(WRITE, &directory(&path)).await;
    assert_eq!(writes.say(&write(1)).await.unwrap()["statusCode"], 204);
}
