//! Queries that several invocations of the query function execute together: the same rows as from one process, and the
//! exact number of invocations, also if some of them fail.

use neap_test_inputs::XorShift;
use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, assert_contains, neap};

use super::LambdaStack;

/// The number of workers of a query.
const WORKERS: u64 = 4;
/// The database.
const DB: &str = "fleet";
/// The header with the number of workers.
const WORKERS_HEADER: &str = "x-neap-workers";

/// Statements that invocations execute together. Each scans one table once.
const DISTRIBUTED: &[&str] = &[
    "SELECT count(*) AS n, sum(v) AS s, min(v) AS low, max(w) AS high FROM m WHERE v >= 0",
    "SELECT host, count(*) AS n, avg(v) AS mean FROM m WHERE v >= 0 GROUP BY host ORDER BY host",
    "SELECT date_bin(INTERVAL '1 minute', time) AS bin, host, max(v) AS high FROM m WHERE v >= 0 \
     GROUP BY bin, host ORDER BY bin, host",
    "SELECT DISTINCT host, room FROM m WHERE v >= 0 ORDER BY host, room",
    "SELECT time, host, v FROM m WHERE v >= 0 ORDER BY v DESC, time, host LIMIT 7",
    "SELECT time, host, room, v, w, note FROM m WHERE v % 97 = 0 ORDER BY time, host, room",
    "SELECT room, count(DISTINCT host) AS hosts FROM m WHERE v > 3 GROUP BY room HAVING count(*) > 1 ORDER BY room",
    "SELECT host, selector_last(v, time)['value'] AS last FROM m WHERE v >= 0 GROUP BY host ORDER BY host",
    "SELECT sum(high) AS s FROM (SELECT host, max(v) AS high FROM m WHERE v >= 0 GROUP BY host)",
    "SELECT count(*) AS n FROM m WHERE note LIKE '%7%' AND v >= 0",
];

/// Statements that run in one invocation: workers would exchange rows, or send most of what they read.
const LOCAL: &[&str] = &[
    "SELECT a.time, a.host, a.v, b.w FROM m AS a JOIN m AS b ON a.time = b.time AND a.host = b.host AND a.room = b.room \
     ORDER BY a.time, a.host, a.v, b.w",
    "SELECT time, host, v - lag(v) OVER (PARTITION BY host ORDER BY time) AS change FROM m ORDER BY time, host, change",
    "SELECT host, v FROM m ORDER BY host, v, time",
];

/// Starts a stack whose query function distributes every query over four invocations.
fn start(change: impl FnOnce(&mut Value)) -> LambdaStack {
    LambdaStack::start_with(|configuration| {
        let query = &mut configuration["functions"]["query"];
        query["limits"]["max_instances"] = json!(WORKERS + 2);
        let environment = &mut query["environment"];
        environment["NEAP_DISTRIBUTED_MAX_WORKERS"] = json!(WORKERS.to_string());
        environment["NEAP_DISTRIBUTED_BYTES_PER_WORKER"] = json!("1");
        environment["NEAP_LAMBDA_ENDPOINT"] = json!("${LAMBDA_ENDPOINT}");
        change(configuration);
    })
}

/// Writes rows into sections that overlap and into the tail: some points have several versions, and some are deleted.
fn write(stack: &LambdaStack) {
    let lines = |version: i64, times: std::ops::Range<i64>| {
        let lines = times.flat_map(move |time| {
            (0..3).map(move |host| {
                let value = (time * 31 + host * 7 + version * 1000) % 1009;
                let note = format!("note {value} of {time}");
                format!(
                    "m,host=h{host},room=r{} v={value}i,w={}.5,note=\"{note}\" {}\n",
                    time % 4,
                    value * 2,
                    1_700_000_000 + time,
                )
            })
        });
        lines.collect::<String>()
    };
    for (version, times) in [(0, 0..300), (1, 100..260), (2, 250..420)] {
        stack.write(DB, &lines(version, times));
        flush(stack);
    }
    stack.write(DB, &lines(3, 400..440));
    let delete = json!({ "db": DB, "q": "DELETE FROM m WHERE host = 'h2' AND time < '2023-11-14T22:14:00Z'" });
    let delete = stack.request("POST", "/api/v3/query_sql").body(delete.to_string());
    let reply = Reply::receive(delete).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Flushes the tail. Only queries that read sections are distributed.
fn flush(stack: &LambdaStack) {
    neap(&stack.place.after(&["compact"])).succeeded();
}

/// Returns the rows of a query, and the number of workers that the answer names.
fn query(server: &ServerClient, sql: &str) -> (Vec<Value>, Option<u64>) {
    let body = json!({ "db": DB, "q": sql }).to_string();
    let reply = Reply::receive(server.request("POST", "/api/v3/query_sql").body(body)).unwrap();
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    let workers = reply.header(WORKERS_HEADER).map(|workers| workers.parse().unwrap());
    (serde_json::from_slice(&reply.bytes).unwrap(), workers)
}

/// The counts of invocations of the query function by itself.
fn invocations(stack: &LambdaStack) -> Value {
    let report = stack.look("/invocations");
    let zero = json!({ "run": 0, "throttled": 0, "failed": 0, "hung": 0, "denied": 0 });
    match report.get("query") {
        Some(counts) => counts.clone(),
        None => zero,
    }
}

/// Returns the invocations of a kind during an operation.
fn during<T>(stack: &LambdaStack, kind: &str, operation: impl FnOnce() -> T) -> (T, u64) {
    let before = invocations(stack)[kind].as_u64().unwrap();
    let done = operation();
    (done, invocations(stack)[kind].as_u64().unwrap() - before)
}

fn set_faults(stack: &LambdaStack, faults: &Value) {
    stack.command("PUT", "/invocations/query/faults", faults);
}

#[test]
fn answers_of_four_invocations_are_those_of_one_process() {
    let stack = start(|_| {});
    write(&stack);
    let local = NeapProcess::serve_with(&stack.place, &["--mode", "query"]);
    for sql in DISTRIBUTED {
        let (expected, _) = query(&local, sql);
        assert!(!expected.is_empty(), "{sql}");
        let ((rows, workers), run) = during(&stack, "run", || query(&stack, sql));
        assert_eq!(rows, expected, "{sql}");
        assert_eq!((workers, run), (Some(WORKERS), WORKERS), "{sql}");
    }
    for sql in LOCAL {
        let (expected, _) = query(&local, sql);
        assert!(!expected.is_empty(), "{sql}");
        let ((rows, workers), run) = during(&stack, "run", || query(&stack, sql));
        assert_eq!(rows, expected, "{sql}");
        assert_eq!((workers, run), (None, 0), "{sql}");
        let explained = query(&stack, &format!("EXPLAIN {sql}")).0;
        let text = Value::Array(explained).to_string();
        assert!(text.contains("distributed_plan"), "{sql}: {text}");
    }
    stack.finish();
}

/// Returns letters that do not compress well.
fn noise(seed: u64) -> String {
    let mut random = XorShift::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let letters = (0..100).map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap()));
    letters.collect()
}

#[test]
fn answers_larger_than_a_reply_go_through_the_bucket() {
    let stack = start(|_| {});
    for part in 0..6 {
        let lines = (0..4_000_u64).map(|row| {
            let row = part * 4_000 + row;
            let (host, time) = (row % 5, 1_700_000_000 + row);
            format!("big,host=h{host} text=\"{}\" {time}\n", noise(row))
        });
        stack.write(DB, &lines.collect::<String>());
    }
    flush(&stack);
    let sql = "SELECT time, text FROM big WHERE length(text) > 10 ORDER BY time";
    let local = NeapProcess::serve_with(&stack.place, &["--mode", "query"]);
    let (expected, _) = query(&local, sql);
    assert_eq!(expected.len(), 24_000);
    let before = stack.requests("query");
    let ((rows, workers), run) = during(&stack, "run", || query(&stack, sql));
    assert_eq!(rows, expected);
    assert_eq!((workers, run), (Some(WORKERS), WORKERS));
    let cost = stack.requests("query").since(&before);
    assert!(cost.of("put result") >= 1, "{cost}");
    assert!(cost.of("get result") >= 1, "{cost}");
    stack.finish();
}

#[test]
fn invocations_that_fail_or_are_throttled_are_repeated() {
    let stack = start(|_| {});
    stack.write(DB, &rows(200));
    flush(&stack);
    let sql = "SELECT host, sum(v) AS s FROM m WHERE v >= 0 GROUP BY host ORDER BY host";
    let (expected, workers) = query(&stack, sql);
    assert_eq!(workers, Some(WORKERS));

    set_faults(&stack, &json!({ "throttle": 3 }));
    let ((answer, throttled), run) =
        during(&stack, "run", || during(&stack, "throttled", || query(&stack, sql)));
    assert_eq!(answer, (expected.clone(), Some(WORKERS)));
    assert_eq!((throttled, run), (3, WORKERS));

    set_faults(&stack, &json!({ "fail": 1 }));
    let ((answer, failed), run) =
        during(&stack, "run", || during(&stack, "failed", || query(&stack, sql)));
    assert_eq!(answer, (expected.clone(), Some(WORKERS)));
    assert_eq!((failed, run), (1, WORKERS));

    // Every task fails twice: the coordinator answers alone.
    set_faults(&stack, &json!({ "fail": 2 * WORKERS }));
    let ((rows, workers), run) = during(&stack, "run", || query(&stack, sql));
    assert_eq!(rows, expected);
    assert_eq!(run, 0, "{workers:?}");
    stack.finish();
}

#[test]
fn a_query_whose_invocation_hangs_ends_with_an_error_within_its_time() {
    let stack = start(|configuration| {
        let environment = &mut configuration["functions"]["query"]["environment"];
        environment["NEAP_QUERY_TIMEOUT"] = json!("6s");
    });
    stack.write(DB, &rows(200));
    flush(&stack);
    let sql = "SELECT host, sum(v) AS s FROM m WHERE v >= 0 GROUP BY host ORDER BY host";
    let (expected, _) = query(&stack, sql);
    set_faults(&stack, &json!({ "hang": 1 }));
    let body = json!({ "db": DB, "q": sql }).to_string();
    let request = stack.request("POST", "/api/v3/query_sql").body(body);
    let reply = Reply::receive(request).unwrap();
    assert!(matches!(reply.status, 500 | 503), "{} {}", reply.status, reply.text());
    assert_contains!(reply.text(), "timed out");
    assert_eq!(query(&stack, sql).0, expected);
    stack.finish();
}

#[test]
fn without_permission_to_invoke_a_query_runs_in_its_own_invocation() {
    let stack = start(|configuration| {
        let bucket = "arn:aws:s3:::neap";
        let all = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"];
        configuration["functions"]["query"]["policy"] = json!({ "document": {
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": all, "Resource": format!("{bucket}/*") },
                { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket },
            ],
        }});
    });
    stack.write(DB, &rows(200));
    flush(&stack);
    let sql = "SELECT count(*) AS n FROM m WHERE v >= 0";
    assert_eq!(query(&stack, sql).0, [json!({ "n": 200 })]);
    let counts = invocations(&stack);
    assert_eq!(counts["run"], 0, "{counts}");
    assert!(counts["denied"].as_u64().unwrap() > 0, "{counts}");
    stack.finish();
}

#[test]
fn a_task_without_a_ticket_is_refused() {
    let stack = start(|_| {});
    stack.write(DB, &rows(10));
    flush(&stack);
    let sql = "SELECT count(*) AS n FROM m WHERE v >= 0";
    assert_eq!(query(&stack, sql).0, [json!({ "n": 10 })]);
    let revision = option_env!("NEAP_REVISION").unwrap_or("0000000");
    let mut task = json!({
        "version": format!("{}-{revision}", env!("CARGO_PKG_VERSION")),
        "query": "00000000-0000-0000-0000-000000000001",
        "stage": 1, "task": 0, "tasks": 1,
        "partitions": { "start": 0, "end": 1 },
        "limit_ms": 10_000,
        "started_ns": 1,
        "head": "none",
        "headers": {},
        // An empty plan.
        "plan": "KLUv/SAAAQAA",
    });
    let refused = |task: &Value| {
        let reply = stack.invoke("query", &json!({ "neap_task": task }));
        let failure = &reply["failure"];
        assert_eq!(failure["kind"], "refused", "{reply}");
        failure["message"].as_str().unwrap().to_owned()
    };
    let said = refused(&task);
    assert_contains!(said, "the request has no ticket");
    task["headers"] = json!({ "x-neap-ticket": "e30.e30" });
    let said = refused(&task);
    assert_contains!(said, "ticket");
    task["version"] = json!("0/0");
    let said = refused(&task);
    assert_contains!(said, "the worker has version");
    stack.finish();
}

/// Returns this many lines.
fn rows(number: i64) -> String {
    let lines = (0..number).map(|row| {
        let (host, time) = (row % 3, 1_700_000_000 + row);
        format!("m,host=h{host} v={row}i {time}\n")
    });
    lines.collect()
}
