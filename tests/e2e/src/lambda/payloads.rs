//! Requests and results that exceed the size limits of events and answers.

use std::{collections::BTreeSet, io::Read};

use serde_json::{Value, json};

use crate::harness::{Reply, assert_contains};

use super::LambdaStack;

/// The number of rows in a result of 20 MB.
const ROWS: usize = 20_000;
/// The bytes of text in each row.
const TEXT: usize = 1_000;

fn text(row: usize) -> String {
    let word = format!("{row:07}-");
    word.repeat(TEXT / word.len())
}

#[test]
fn a_result_of_20_megabytes_is_returned_completely() {
    let stack = LambdaStack::start();
    for first in (0..ROWS).step_by(ROWS / 5) {
        let lines =
            (first..first + ROWS / 5).map(|row| format!("m text=\"{}\" {row}\n", text(row)));
        stack.write("large", &lines.collect::<String>());
    }
    let sql = "SELECT time, text FROM m";
    for format in ["json", "csv"] {
        let body = json!({ "db": "large", "q": sql, "format": format }).to_string();
        // The client follows the redirect to the result.
        let request = stack.request("POST", "/api/v3/query_sql").body(body);
        let reply = Reply::receive(request).unwrap();
        assert_eq!(reply.status, 200, "{format}");
        assert!(reply.bytes.len() > 20_000_000, "{format}: {}", reply.bytes.len());
        let rows: BTreeSet<usize> = match format {
            "json" => {
                let rows: Vec<Value> = serde_json::from_slice(&reply.bytes).unwrap();
                let number = |row: &Value| {
                    let said = row["text"].as_str().unwrap();
                    let row = said[..7].parse().unwrap();
                    assert_eq!(said, text(row));
                    row
                };
                rows.iter().map(number).collect()
            }
            _ => {
                let answer = reply.text();
                let lines = answer.lines().skip(1);
                let number = |line: &str| {
                    let (_, said) = line.split_once(',').unwrap();
                    let row = said[..7].parse().unwrap();
                    assert_eq!(said, text(row));
                    row
                };
                lines.map(number).collect()
            }
        };
        assert_eq!(rows.len(), ROWS, "{format}");
    }
    let put = stack.requests("query");
    assert!(put.of("put result") >= 2, "{put}");
    // A result within the limit is returned in the answer.
    let before = stack.requests("query");
    assert_eq!(stack.query("large", "SELECT count(*) AS n FROM m"), [json!({ "n": ROWS })]);
    assert_eq!(stack.requests("query").since(&before).of("put result"), 0);
    stack.finish();
}

#[test]
fn a_request_that_is_too_large_is_refused_before_it_reaches_a_function() {
    let stack = LambdaStack::start();
    stack.write("large", "m v=1i 1");
    let before = stack.requests("write");
    let lines = |megabytes: usize| {
        let lines =
            (0..megabytes).map(|row| format!("m text=\"{}\" 2{row}\n", "x".repeat(1_000_000)));
        lines.collect::<String>()
    };
    // In base64, which the gateway uses for bodies that are not text, it exceeds 6 MiB.
    let reply = stack.try_write("large", &lines(5), None).unwrap();
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(stack.requests("write").since(&before).to_string(), "");
    // The maximum size of an event.
    stack.write("large", &lines(4));
    let rows = stack.query("large", "SELECT count(*) AS n, count(text) AS long FROM m");
    assert_eq!(rows, [json!({ "n": 5, "long": 4 })]);
    stack.finish();
}

/// Returns a stack with functions behind URLs with `RESPONSE_STREAM`.
fn streaming(change: impl FnOnce(&mut Value)) -> LambdaStack {
    LambdaStack::start_with(|configuration| {
        configuration["gateway"] = json!({ "event": "function_url", "streaming": true });
        for function in ["write", "query"] {
            let environment = &mut configuration["functions"][function]["environment"];
            environment["NEAP_RESPONSE_STREAMING"] = json!("true");
        }
        change(configuration);
    })
}

#[test]
fn a_large_result_is_streamed_if_the_service_supports_it() {
    let stack = streaming(|_| {});
    let rows = 4_000;
    for first in [0, rows] {
        let lines = (first..first + rows).map(|row| format!("m text=\"{}\" {row}\n", text(row)));
        stack.write("large", &lines.collect::<String>());
    }
    let all = stack.query("large", "SELECT text FROM m");
    let texts: BTreeSet<_> = all.iter().map(|row| row["text"].as_str().unwrap()).collect();
    assert_eq!((all.len(), texts.len()), (2 * rows, 2 * rows));
    assert_eq!(stack.requests("query").of("put result"), 0);
    // Errors keep their status.
    let reply = stack.try_write("large", "m text=", None).unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    stack.finish();
}

#[test]
fn the_first_rows_of_a_stream_arrive_while_the_query_runs() {
    let stack = streaming(|configuration| {
        configuration["functions"]["query"]["limits"]["max_instances"] = json!(1);
    });
    let lines = (0..3_000).map(|row| format!("m text=\"{}\" {row}\n", text(row)));
    stack.write("large", &lines.collect::<String>());
    // Nine gigabytes: more than all buffers can hold.
    let sql = "SELECT a.text FROM m a CROSS JOIN m b";
    let body = json!({ "db": "large", "q": sql, "format": "jsonl" }).to_string();
    let request = stack.request("POST", "/api/v3/query_sql").body(body);
    let mut response = request.send().unwrap();
    assert_eq!(response.status(), 200);
    let mut head = [0; 100];
    response.read_exact(&mut head).unwrap();
    assert!(head.starts_with(br#"{"text":""#));
    assert_eq!(stack.phases("query"), ["running"]);
    // The server stops sending to a client that closes the connection, and serves others.
    drop(response);
    let rows = stack.query("large", "SELECT count(*) AS n FROM m");
    assert_eq!(rows, [json!({ "n": 3_000 })]);
    assert_eq!(stack.instances("query"), [1]);
    stack.finish();
}

#[test]
fn an_aborted_stream_reports_an_error_and_is_not_a_valid_document() {
    let stack = streaming(|configuration| {
        let environment = &mut configuration["functions"]["query"]["environment"];
        environment["NEAP_MAX_RESULT_ROWS"] = json!("20000");
    });
    let lines = (0..50_000).map(|row| format!("m v={row}i {row}\n"));
    stack.write("large", &lines.collect::<String>());
    let ask = |format: &str| {
        let body = json!({ "db": "large", "q": "SELECT v FROM m", "format": format }).to_string();
        let reply = Reply::receive(stack.request("POST", "/api/v3/query_sql").body(body)).unwrap();
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
        reply.text()
    };
    let csv = ask("csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert!((3..=20_002).contains(&lines.len()), "{}", lines.len());
    let last = lines.last().unwrap();
    assert!(last.starts_with("query error: "), "{last}");
    assert!(serde_json::from_str::<Value>(&ask("json")).is_err());
    let is_valid = |line: &str| serde_json::from_str::<Value>(line).is_ok();
    assert!(!ask("jsonl").lines().all(is_valid));
    assert!(stack.log("query").contains("a response broke off"));
    stack.finish();
}

#[test]
fn queries_end_before_the_function_timeout() {
    let stack = LambdaStack::start_with(|configuration| {
        let limits = &mut configuration["functions"]["query"]["limits"];
        limits["timeout_seconds"] = json!(4);
        limits["max_instances"] = json!(1);
    });
    let lines = (0..3_000).map(|row| format!("m v={row}i {row}\n"));
    stack.write("large", &lines.collect::<String>());
    stack.query("large", "SELECT count(*) AS n FROM m");
    let instances = stack.instances("query");
    // This query computes for a long time without waiting for I/O.
    let cross = "SELECT sum(a.v * b.v + c.v) FROM m a, m b, m c";
    for sql in [
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 AS n FROM t) SELECT max(n) FROM t",
        cross,
        cross,
        cross,
    ] {
        let body = json!({ "db": "large", "q": sql }).to_string();
        let request = stack.request("POST", "/api/v3/query_sql").body(body);
        let reply = Reply::receive(request).unwrap();
        assert_eq!(reply.header("x-lambda-local-failure"), None, "{}", reply.text());
        assert!(matches!(reply.status, 400..=504), "{}", reply.status);
        assert_contains!(reply.text(), "timed out after");
    }
    // No query remains on the instance.
    let rows = stack.query("large", "SELECT 1 AS n");
    assert_eq!(rows, [json!({ "n": 1 })]);
    let left = stack.instances("query");
    assert!(instances.iter().all(|instance| left.contains(instance)), "none was killed");
    stack.finish();
}
