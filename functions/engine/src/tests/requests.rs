//! Tests of triggers on requests.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use neap_bucket::Clock;
use neap_catalog::{ErrorBehavior, NewTrigger, TriggerSpecification};

use super::cluster::{MINUTE, SECOND, TestCluster, TestProcess, exception, finished, on_writes};
use crate::{
    CompletedRun, PluginCallError, PluginRequest, PluginResponse, RequestDispatcher, RunError,
};

fn on_path(name: &str, path: &str) -> NewTrigger {
    NewTrigger {
        specification: TriggerSpecification::RequestPath { path: path.to_owned() },
        ..on_writes(name)
    }
}

fn answering(text: &str) -> CompletedRun {
    CompletedRun {
        response: Some(PluginResponse {
            status: 200,
            headers: Vec::new(),
            body: Bytes::from(text.to_owned()),
        }),
        ..finished()
    }
}

async fn ask(process: &TestProcess, path: &str) -> Option<Result<PluginResponse, RunError>> {
    let trigger = process.engine.find(path).await.unwrap()?;
    let request = PluginRequest {
        method: "GET".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Bytes::new(),
        time: None,
    };
    Some(Arc::clone(&process.engine).request(trigger, request).await)
}

#[tokio::test(start_paused = true)]
async fn a_path_belongs_to_the_trigger_that_was_enabled_last() {
    let (stage, process) = TestCluster::with_started_process().await;
    stage.played.play(async |call| Ok(answering(&call.trigger.name)));
    assert!(ask(&process, "x").await.is_none());
    process.create("db", on_path("first", "x")).await;
    process.create("other", on_path("second", "x")).await;
    stage.sleep(SECOND).await;
    let body = ask(&process, "x").await.unwrap().unwrap().body;
    assert_eq!(body, "second");
    let other = process.id("other").await;
    process.catalog.set_trigger_enabled(other, "second", false).await.unwrap();
    process.engine.changed();
    // The change is visible at once, before any loop has run.
    let body = ask(&process, "/x").await.unwrap().unwrap().body;
    assert_eq!(body, "first");
    assert!(ask(&process, "y").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_answer_and_may_disable_the_trigger() {
    let (stage, process) = TestCluster::with_started_process().await;
    stage.played.play(async |_| Err(exception()));
    process.create("db", on_path("logs", "logs")).await;
    process
        .create(
            "db",
            NewTrigger {
                error_behavior: ErrorBehavior::Retry,
                ..on_path("retries", "retries")
            },
        )
        .await;
    process
        .create(
            "db",
            NewTrigger {
                error_behavior: ErrorBehavior::Disable,
                ..on_path("disables", "disables")
            },
        )
        .await;
    for path in ["logs", "retries", "disables"] {
        let error = ask(&process, path).await.unwrap().unwrap_err();
        assert_eq!(PluginCallError::Failed(error), exception());
    }
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.take().len(), 3);
    assert!(ask(&process, "logs").await.is_some());
    assert!(ask(&process, "disables").await.is_none());
}

/// Sends a request, and disconnects while its plugin runs. Returns the log some time later.
async fn log_after_disconnect(trigger: NewTrigger) -> (TestCluster, Vec<String>) {
    let stage = TestCluster::new();
    let process = Arc::new(stage.alone().await);
    process.start();
    let clock = Arc::clone(&stage.clock);
    stage.played.play(move |call| {
        let end = clock.sleep(10 * SECOND);
        async move {
            tokio::select! {
                () = end => {}
                () = call.stop.cancelled() => return Err(RunError::Stopping.into()),
            }
            Ok(CompletedRun {
                queued: BTreeMap::from([("db".to_owned(), vec!["m v=1i 1".to_owned()])]),
                ..answering("late")
            })
        }
    });
    process.create("db", trigger).await;
    stage.sleep(SECOND).await;
    let client = Arc::clone(&process);
    let client = tokio::spawn(async move { ask(&client, "x").await });
    stage.sleep(SECOND).await;
    client.abort();
    stage.sleep(MINUTE).await;
    let log = process.logged("db").await;
    (stage, log)
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_after_its_client_disconnects_and_the_log_tells() {
    let (stage, log) = log_after_disconnect(on_path("t", "x")).await;
    assert_eq!(
        log,
        [
            "INFO: starting execution of request plugin.",
            "WARN: the client disconnected before the answer: the run goes on, unless it has not started",
            "INFO: finished execution in 10s",
        ]
    );
    assert_eq!(stage.segments().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_with_its_client_if_its_trigger_says_so() {
    let trigger = NewTrigger { cancel_on_disconnect: true, ..on_path("t", "x") };
    let (stage, log) = log_after_disconnect(trigger).await;
    assert_eq!(
        log,
        [
            "INFO: starting execution of request plugin.",
            "WARN: the client disconnected before the answer: the run ends, because the trigger has cancel_on_disconnect",
            "ERROR: the run was stopped because the server shuts down, the trigger was disabled, or its client disconnected",
        ]
    );
    assert!(stage.segments().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_function_knows_triggers_created_elsewhere() {
    let (stage, other, function) = TestCluster::with_two_processes().await;
    stage.played.play(async |call| Ok(answering(&call.trigger.name)));
    assert!(ask(&function, "x").await.is_none());
    other.create("db", on_path("t", "x")).await;
    stage.sleep(2 * SECOND).await;
    assert_eq!(ask(&function, "x").await.unwrap().unwrap().body, "t");
}
