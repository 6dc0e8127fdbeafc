//! Checks the responses to events of every source. The events have the form that AWS documents, with our own values.

use neap_bucket::World;
use neap_lambda::{
    compact::{CompactFunctionOptions, CompactProgram},
    engine::EngineProgram,
    query::QueryProgram,
    runtime::Program,
    write::WriteProgram,
};
use serde_json::Value;

use crate::instance::{FunctionUnderTest, SharedDirectory, recorded};

const OPEN: &[&str] = &["--without-auth"];

/// Headers whose values differ between runs.
const VARYING_HEADERS: [&str; 4] =
    ["cluster-uuid", "x-neap-request-id", "x-neap-stamp", "x-neap-as-of"];

fn settled(mut answer: Value) -> Value {
    for name in ["headers", "multiValueHeaders"] {
        let Some(headers) = answer.get_mut(name).and_then(Value::as_object_mut) else {
            continue;
        };
        for (name, value) in headers {
            if VARYING_HEADERS.contains(&name.as_str()) {
                *value = "[varies]".into();
            }
        }
    }
    answer
}

async fn check(instance: &FunctionUnderTest, names: &[&str]) {
    for name in names {
        let answer = instance.say(&recorded(name)).await;
        insta::assert_json_snapshot!(*name, settled(answer));
    }
}

/// Returns a directory that contains all recorded writes.
async fn written() -> SharedDirectory {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    for name in [
        "write-http-api",
        "write-http-api-stage",
        "write-rest-api",
        "write-load-balancer",
        "write-function-url",
    ] {
        let answer = writes.say(&recorded(name)).await;
        assert_eq!(answer["statusCode"], 204, "{name}: {answer}");
    }
    place
}

#[tokio::test]
async fn write_responses_have_the_form_of_their_source() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    check(
        &writes,
        &[
            "write-http-api",
            "write-http-api-stage",
            "write-rest-api",
            "write-load-balancer",
            "write-function-url",
            "write-bad-line",
            "write-bad-base64",
            "write-no-route",
            "write-preflight",
            "health-rest-api",
            "write-http-api-1.0",
            "write-load-balancer-one-value",
            "write-odd-headers",
            "write-odd-body",
            "write-odd-query",
            "write-odd-method",
        ],
    )
    .await;
}

#[tokio::test]
async fn query_responses_have_the_form_of_their_source() {
    let place = written().await;
    let queries = place.open::<QueryProgram>(OPEN);
    check(
        &queries,
        &[
            "query-http-api",
            "query-rest-api",
            "query-load-balancer",
            "query-function-url",
            "query-influxql",
            "query-no-database",
        ],
    )
    .await;
    let parquet = queries.say(&recorded("query-parquet")).await;
    assert_eq!(parquet["isBase64Encoded"], true);
    let body = parquet["body"].as_str().unwrap();
    assert!(body.starts_with("UEFSM"), "{body}");
    let deleted = queries.say(&recorded("query-delete")).await;
    assert_eq!(deleted["statusCode"], 200, "{deleted}");
    let rest = queries.say(&recorded("query-http-api")).await;
    assert!(!rest["body"].as_str().unwrap().contains("garage"), "{rest}");
}

#[tokio::test]
async fn requests_without_a_token_are_rejected_for_every_source() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(&[]);
    for name in ["write-http-api", "write-rest-api", "write-load-balancer", "write-function-url"] {
        let answer = writes.say(&recorded(name)).await;
        assert_eq!(answer["statusCode"], 401, "{name}");
        assert_eq!(answer["body"], r#"{"error": "the request was not authenticated"}"#, "{name}");
    }
}

#[tokio::test]
async fn the_compact_function_handles_schedules_and_queues() {
    let place = written().await;
    let compact = place.open::<CompactProgram>(&[]);
    check(
        &compact,
        &[
            "compact-scheduler",
            "compact-scheduler-collect",
            "compact-rule",
            "compact-queue",
            "compact-queue-again",
            "compact-queue-fifo",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_event_of_a_schedule_makes_one_backup() {
    // Without databases, a backup does not wait for their writes.
    let place = SharedDirectory::new();
    let compact = place.open::<CompactProgram>(&["--backup-retention", "30d"]);
    let event = serde_json::json!({"event": "backup"});
    for backups in [1, 0] {
        // A scheduler may send an event twice.
        let answer = compact.say(&event).await;
        assert_eq!(answer, serde_json::json!({"backups": backups}));
    }
}

#[tokio::test]
async fn a_scheduled_backup_goes_to_the_place_of_the_options() {
    let (place, elsewhere) = (SharedDirectory::new(), SharedDirectory::new());
    let url = elsewhere.path("of/cluster").display().to_string();
    let flags = ["--backup-to", url.as_str(), "--backup-full-every", "7"];
    let compact = place.open::<CompactProgram>(&flags);
    let answer = compact.say(&serde_json::json!({"event": "backup"})).await;
    assert_eq!(answer, serde_json::json!({"backups": 1}));
    assert!(elsewhere.path("of/cluster/backups/register").exists());
}

#[test]
fn a_place_of_backups_inside_of_the_bucket_is_refused() {
    let place = SharedDirectory::new();
    let (flags, inside) = (place.flags(), place.path("inside").display().to_string());
    let mut arguments = vec!["neap", "--backup-to", inside.as_str()];
    arguments.extend(flags.iter().map(String::as_str));
    let options: CompactFunctionOptions = neap_lambda::options::parse(&arguments).unwrap();
    let error = CompactProgram::open(&options, &World::system()).err().unwrap().to_string();
    assert_eq!(error, "--backup-to: it is the bucket itself, or inside of it");
}

#[tokio::test]
async fn notifications_and_schedules_succeed_without_triggers() {
    let place = written().await;
    let engine = place.open::<EngineProgram>(OPEN);
    check(
        &engine,
        &[
            "engine-bucket",
            "engine-eventbridge",
            "engine-queue",
            "engine-schedule",
            "engine-sweep",
            "engine-request",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_event_for_another_function_fails() {
    let place = SharedDirectory::new();
    let left = crate::instance::EVENT_TIME;
    let writes = place.open::<WriteProgram>(OPEN);
    assert!(writes.try_invoke(&recorded("engine-bucket"), left).await.is_err());
    let compact = place.open::<CompactProgram>(&[]);
    assert!(compact.try_invoke(&recorded("query-http-api"), left).await.is_err());
    let engine = place.open::<EngineProgram>(OPEN);
    assert!(engine.try_invoke(&recorded("compact-scheduler"), left).await.is_err());
}
