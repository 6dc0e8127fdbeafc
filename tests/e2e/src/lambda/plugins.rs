//! Plugins on the engine function, triggered by bucket notifications (duplicated, late, out of order or lost), by a
//! scheduler, and by requests.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Reply, wait_for};

use super::LambdaStack;

/// Maximum wait for a plugin: a sweep processes segments that are older than the flush lag.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// A plugin that copies rows, which is idempotent, and counts its runs.
pub(super) const COPY: &str = r#"
import time

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("copies").tag("id", str(row["id"])).int64_field("v", row["id"]).time_ns(row["time"])
            influxdb3_local.write(line)
    run = LineBuilder("runs").tag("batch", influxdb3_local.batch_id).int64_field("n", 1).time_ns(time.time_ns())
    influxdb3_local.write(run)
"#;

/// A plugin that answers a request with its content.
const ANSWER: &str = r#"
def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    rows = influxdb3_local.query("SELECT count(*) AS n FROM samples")
    return {"asked": query_parameters, "body": request_body.decode(), "rows": rows[0]["n"]}
"#;

/// A plugin that writes the time of each call.
const TICK: &str = r#"
def process_scheduled_call(influxdb3_local, call_time, args=None):
    line = LineBuilder("ticks").string_field("called", str(call_time)).time_ns(int(call_time.timestamp()) * 1_000_000_000)
    influxdb3_local.write(line)
"#;

fn send(stack: &LambdaStack, path: &str, body: &Value) {
    let request = stack.request("POST", path).header("content-type", "application/json");
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
}

/// Uploads a plugin and creates a trigger for it.
pub(super) fn create(stack: &LambdaStack, name: &str, code: &str, specification: &str) {
    let file = format!("{name}.py");
    send(stack, "/api/v3/plugins/files", &json!({ "plugin_name": file, "content": code }));
    send(
        stack,
        "/api/v3/configure/processing_engine_trigger",
        &json!({
            "db": "plants",
            "plugin_filename": file,
            "trigger_name": name,
            "trigger_settings": { "run_async": false, "error_behavior": "log" },
            "trigger_specification": specification,
            "disabled": false,
        }),
    );
}

/// Returns a stack whose store notifies the engine of new segments in a given format.
fn stack(shape: &str, hold: bool) -> LambdaStack {
    stack_with(shape, |configuration| {
        configuration["notifications"]["faults"] = json!({ "hold": hold });
    })
}

pub(super) fn stack_with(shape: &str, change: impl FnOnce(&mut Value)) -> LambdaStack {
    let target = if shape == "queue" {
        "segments"
    } else {
        "engine"
    };
    let stack = LambdaStack::start_with(|configuration| {
        configuration["notifications"] = json!({
            "prefix": "tail/",
            "shape": shape,
            "target": target,
        });
        change(configuration);
    });
    // Not the table of the tests, because a new trigger may receive rows from just before its creation.
    stack.write("plants", "begin id=0i 1");
    stack
}

/// Returns the copied rows; none if the table does not exist.
pub(super) fn copies(stack: &LambdaStack) -> BTreeSet<u64> {
    let sql = "SELECT v FROM copies";
    let body = json!({ "db": "plants", "q": sql }).to_string();
    let reply = Reply::receive(stack.request("POST", "/api/v3/query_sql").body(body)).unwrap();
    if reply.status == 400 {
        return BTreeSet::new();
    }
    assert_eq!(reply.status, 200, "{}", reply.text());
    let rows: Vec<Value> = serde_json::from_slice(&reply.bytes).unwrap();
    rows.iter().map(|row| row["v"].as_u64().unwrap()).collect()
}

/// Waits until the rows are copied.
fn copied(stack: &LambdaStack, expected: impl IntoIterator<Item = u64>) {
    let expected: BTreeSet<u64> = expected.into_iter().collect();
    wait_for("copies", LIMIT, || (copies(stack) == expected).then_some(()));
}

#[test]
fn every_segment_reaches_a_plugin_if_notifications_are_lost_or_reordered() {
    let stack = stack("queue", true);
    create(&stack, "copy", COPY, "table:samples");
    for id in 1..=6 {
        stack.write("plants", &format!("samples id={id}i {id}"));
    }
    let held = wait_for("notifications", LIMIT, || {
        let held = stack.held();
        (held.len() >= 7).then_some(held.len())
    });
    assert_eq!(held, 7);
    // Out of order, and some twice.
    stack.deliver(&[6, 4, 4, 2, 6]);
    copied(&stack, [6, 4, 2]);
    stack.deliver(&[2, 6]);
    wait_for("end of the queue", LIMIT, || stack.queue("segments").is_empty().then_some(()));
    // The scheduler's event finds segments whose notification was lost.
    wait_for("sweep", LIMIT, || {
        stack.invoke("engine", &json!({ "event": "schedule" }));
        (copies(&stack).len() == 6).then_some(())
    });
    copied(&stack, 1..=6);
    let runs = stack.query(
        "plants",
        "SELECT batch, count(*) AS n FROM runs GROUP BY batch HAVING count(*) > 1",
    );
    assert_eq!(runs, Vec::<Value>::new(), "nothing ran twice");
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

#[test]
fn notifications_have_the_same_effect_in_every_format() {
    for shape in ["direct", "event_bridge", "queue"] {
        let stack = stack(shape, false);
        create(&stack, "copy", COPY, "table:samples");
        for id in 1..=3 {
            stack.write("plants", &format!("samples id={id}i {id}"));
        }
        copied(&stack, 1..=3);
        stack.finish();
    }
}

#[test]
fn a_message_that_is_not_a_notification_fails_alone() {
    let stack = stack_with("queue", |configuration| {
        configuration["queues"]["segments"]["max_receives"] = json!(3);
    });
    create(&stack, "copy", COPY, "table:samples");
    stack.send("segments", "no notification");
    stack.write("plants", "samples id=1i 1");
    copied(&stack, [1]);
    wait_for("dead letter", LIMIT, || (stack.queue("dead").len() == 1).then_some(()));
    assert_eq!(stack.queue("dead"), ["no notification"]);
    stack.finish();
}

#[test]
fn a_plugin_sees_every_segment_if_engines_are_killed() {
    let stack = stack("queue", false);
    create(&stack, "copy", COPY, "table:samples");
    for id in 1..=12 {
        stack.write("plants", &format!("samples id={id}i {id}"));
        if id % 3 == 0 {
            stack.kill_all("engine");
        }
    }
    wait_for("copies", LIMIT, || {
        let is_all = copies(&stack).len() == 12;
        if !is_all {
            stack.invoke("engine", &json!({ "event": "schedule" }));
        }
        is_all.then_some(())
    });
    copied(&stack, 1..=12);
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

#[test]
fn plugins_answer_requests_and_run_on_schedule() {
    let stack = stack("queue", false);
    stack.write("plants", "samples id=1i 1");
    create(&stack, "answer", ANSWER, "request:answer");
    create(&stack, "tick", TICK, "every:1s");
    let request = stack.request("POST", "/api/v3/engine/answer?a=1&b=x%20y").body("hello");
    let reply = Reply::receive(request).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    let expected = json!({ "asked": { "a": "1", "b": "x y" }, "body": "hello", "rows": 1 });
    assert_eq!(answer, expected);
    wait_for("ticks", LIMIT, || {
        stack.invoke("engine", &json!({ "event": "schedule" }));
        let body = json!({ "db": "plants", "q": "SELECT * FROM ticks" }).to_string();
        let reply = Reply::receive(stack.request("POST", "/api/v3/query_sql").body(body)).unwrap();
        (reply.status == 200 && reply.bytes.len() > 2).then_some(())
    });
    stack.finish();
}

#[test]
fn requests_reach_a_plugin_at_any_path_with_every_service() {
    let stack = stack("queue", false);
    stack.write("plants", "samples id=1i 1");
    // Characters that a client must encode, encoded.
    let path = ("grün & gut/a+b", "gr%C3%BCn%20%26%20gut/a%2Bb");
    let percent = ("100%", "100%25");
    create(&stack, "words", ANSWER, &format!("request:{}", path.0));
    create(&stack, "percent", ANSWER, &format!("request:{}", percent.0));
    for service in ["http_api", "rest_api", "load_balancer", "function_url"] {
        for (path, encoded) in [path, percent] {
            // An HTTP API decodes paths twice.
            let encoded = match service {
                "http_api" => encoded.replace("%25", "%2525"),
                _ => encoded.to_owned(),
            };
            let request = stack
                .request("POST", &format!("/api/v3/engine/{encoded}?a=%2525"))
                .header("x-lambda-local-event", service);
            let reply = Reply::receive(request.body("hello")).unwrap();
            assert_eq!(reply.status, 200, "{service} {path}: {}", reply.text());
            let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
            assert_eq!(answer["asked"], json!({ "a": "%25" }), "{service} {path}");
        }
    }
    stack.finish();
}
