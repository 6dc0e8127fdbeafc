//! Plugins that are triggered by events.

use std::{fs, process::Command, time::Duration};

use neap_bucket::World;
use neap_s3_server::{Faults, Options, S3Server};

use neap_lambda::{engine::EngineProgram, query::QueryProgram, write::WriteProgram};
use neap_test_inputs::{InputOrigin, skip};
use serde_json::{Value, json};

use crate::{
    instance::{EVENT_TIME, FunctionUnderTest, SharedDirectory, open, request},
    large_responses,
};

const OPEN: &[&str] = &["--without-auth"];

const PLUGIN: &str = r#"
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        influxdb3_local.info("saw", len(batch["rows"]))
        line = LineBuilder("copies").tag("of", batch["table_name"])
        influxdb3_local.write(line.int64_field("rows", len(batch["rows"])))


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    rows = influxdb3_local.query("SELECT count(*) AS n FROM t")
    return {"n": rows[0]["n"], "asked": query_parameters["a"]}
"#;

fn has_python() -> bool {
    let asked = Command::new("python3").arg("--version").output();
    let has_python = asked.is_ok_and(|output| output.status.success());
    if !has_python {
        skip(InputOrigin::Installed, "there is no python3");
    }
    has_python
}

/// Returns a store and the path of a folder with a plugin; `None` without Python.
fn plugin_folder(plugin: &str) -> Option<(SharedDirectory, String)> {
    if !has_python() {
        return None;
    }
    let place = SharedDirectory::new();
    let folder = place.path("plugins of the test");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("plugin.py"), plugin).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    Some((place, folder))
}

async fn create(engine: &FunctionUnderTest, name: &str, specification: &str) {
    let body = json!({
        "db": "d", "plugin_filename": "plugin.py", "trigger_name": name,
        "trigger_specification": specification, "trigger_arguments": null, "disabled": false,
        "trigger_settings": {"run_async": false, "error_behavior": "log"},
    });
    let path = "/api/v3/configure/processing_engine_trigger";
    let answer = engine.say(&request("POST", path, "", &body.to_string())).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
}

async fn write(writes: &FunctionUnderTest, line: &str) {
    let answer = writes.say(&request("POST", "/api/v3/write_lp", "db=d", line)).await;
    assert_eq!(answer["statusCode"], 204, "{answer}");
}

async fn rows(queries: &FunctionUnderTest, sql: &str) -> Value {
    let query = format!("db=d&q={}", sql.replace(' ', "%20"));
    let answer = queries.say(&request("GET", "/api/v3/query_sql", &query, "")).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

/// Returns the notification of all segments in the store.
fn notification(place: &SharedDirectory) -> Value {
    let tail = fs::read_dir(place.path("tail/1")).unwrap();
    let records = tail.map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": format!("tail/1/{name}")}},
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_notification_runs_a_plugin_once() {
    let Some((place, folder)) = plugin_folder(PLUGIN) else {
        return;
    };
    let writes = place.open::<WriteProgram>(OPEN);
    write(&writes, "other v=1").await;
    let flags = ["--without-auth", "--plugin-dir", &folder];
    let engine = place.open::<EngineProgram>(&flags);
    create(&engine, "copy", "table:t").await;
    write(&writes, "t v=1 1\nt v=2 2").await;
    let event = notification(&place);
    let queries = place.open::<QueryProgram>(OPEN);
    for instance in [&engine, &engine, &place.open::<EngineProgram>(&flags)] {
        let answer = instance.say(&event).await;
        assert_eq!(answer["delivered"], event["Records"].as_array().unwrap().len(), "{answer}");
        let copies = rows(&queries, "SELECT of, rows FROM copies").await;
        assert_eq!(copies, json!([{"of": "t", "rows": 2}]));
    }
    let logged =
        "SELECT count(*) AS n FROM system.processing_engine_logs WHERE log_text LIKE 'saw%'";
    let logged = rows(&queries, &logged.replace('%', "%25")).await;
    assert_eq!(logged, json!([{"n": 1}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_answers_a_request() {
    let Some((place, folder)) = plugin_folder(PLUGIN) else {
        return;
    };
    write(&place.open::<WriteProgram>(OPEN), "t v=1").await;
    let flags = ["--without-auth", "--plugin-dir", &folder];
    let engine = place.open::<EngineProgram>(&flags);
    create(&engine, "answer", "request:count").await;
    let answer = engine.say(&request("POST", "/api/v3/engine/count", "a=b", "{}")).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({"n": 1, "asked": "b"}));
}

const SLOW: &str = r#"
import time


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    influxdb3_local.info("asked")
    time.sleep(float(query_parameters["seconds"]))
    return {"slept": True}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_stopped_before_the_gateway_times_out() {
    let Some((place, folder)) = plugin_folder(SLOW) else {
        return;
    };
    write(&place.open::<WriteProgram>(OPEN), "t v=1").await;
    let flags = ["--without-auth", "--plugin-dir", &folder];
    let flags = [&flags[..], &["--request-timeout", "4s"]].concat();
    let engine = place.open::<EngineProgram>(&flags);
    create(&engine, "slow", "request:slow").await;
    let event = request("POST", "/api/v3/engine/slow", "seconds=60", "");
    let answer = engine.say(&event).await;
    assert_eq!(answer["statusCode"], 500, "{answer}");
    let body = answer["body"].as_str().unwrap();
    assert!(body.contains("than the wall time limit of 2s"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_a_log_that_cannot_be_saved() {
    if !has_python() {
        return;
    }
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = large_responses::flags(&server);
    write(&open::<WriteProgram>(&flags, &[]), "t v=1").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plugin.py"), SLOW).unwrap();
    let plugins = ["--plugin-dir", folder.path().to_str().unwrap()];
    let engine = open::<EngineProgram>(&flags, &plugins);
    create(&engine, "quick", "request:quick").await;
    // From here on the engine has read the triggers.
    let unknown = request("POST", "/api/v3/engine/unknown", "", "");
    assert_eq!(engine.say(&unknown).await["statusCode"], 404);
    server.set_faults(Faults::with_delay(EVENT_TIME));
    let event = request("POST", "/api/v3/engine/quick", "seconds=0", "");
    let answered = World::system()
        .timeout(EVENT_TIME / 2, engine.try_invoke(&event, EVENT_TIME))
        .await;
    let answer = answered.unwrap().unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
}

#[tokio::test]
async fn messages_are_sent_again_if_the_store_is_too_slow() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = large_responses::flags(&server);
    let engine = open::<EngineProgram>(&flags, &[]);
    server.set_faults(Faults::with_delay(EVENT_TIME));
    let event = crate::instance::recorded("engine-queue");
    let answer = engine.try_invoke(&event, Duration::from_secs(1)).await.unwrap();
    let messages = event["Records"].as_array().unwrap().len();
    let failed = answer["batchItemFailures"].as_array().unwrap().len();
    assert_eq!(failed, messages, "{answer}");
}
