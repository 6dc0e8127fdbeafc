//! Tests of the emulator with a function that executes commands from its events.

mod events;
mod gateway;
mod instances;
mod invocations;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Configuration, Emulator,
    configuration::FunctionLimits,
    runtime::{FunctionCredentials, FunctionReply, InvocationFailure, LocalFunction},
    world,
};

/// Timeout for expected conditions.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the path of the test function, which is built together with the tests.
fn bootstrap() -> PathBuf {
    // Test binaries are in `deps` of the profile's folder.
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples/bootstrap");
    assert!(path.is_file(), "there is no {}", path.display());
    path
}

/// Returns limits for tests: one instance, and time for a slow machine to start it.
fn limits() -> FunctionLimits {
    FunctionLimits {
        init_seconds: LIMIT.as_secs_f64(),
        max_instances: 1,
        retry_seconds: 0.0,
        ..FunctionLimits::default()
    }
}

/// The test function and its folder.
struct FunctionFixture {
    function: Arc<LocalFunction>,
    folder: TempDir,
}

impl FunctionFixture {
    fn new(limits: FunctionLimits) -> Self {
        Self::with(limits, &[])
    }

    fn with(limits: FunctionLimits, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings: Value = json!({ "program": bootstrap(), "policy": null });
        let mut settings: crate::configuration::FunctionSettings =
            serde_json::from_value(settings).unwrap();
        settings.limits = limits;
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let identity = FunctionCredentials {
            access_key: "AKID".to_owned(),
            secret_key: "secret".to_owned(),
        };
        let function = LocalFunction::new(
            "echo".to_owned(),
            settings,
            environment.collect(),
            identity,
            folder.path().to_owned(),
        );
        Self { function, folder }
    }

    async fn invoke(&self, event: Value) -> Result<Value, InvocationFailure> {
        self.invoke_instance(None, event).await
    }

    async fn invoke_instance(
        &self,
        instance: Option<u32>,
        event: Value,
    ) -> Result<Value, InvocationFailure> {
        let payload = Bytes::from(event.to_string());
        match self.function.invoke(payload, false, instance).await? {
            FunctionReply::Whole(bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
            FunctionReply::Stream(_) => panic!("the request did not ask for a stream"),
        }
    }

    /// Returns the id of the process that answers.
    async fn pid(&self) -> i64 {
        self.invoke(json!({ "do": "who" })).await.unwrap()["pid"].as_i64().unwrap()
    }

    async fn close(self) {
        self.function.close().await;
        assert!(self.function.report().is_empty());
    }
}

/// Waits until a condition holds.
async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started_at = world::now();
    while !is_so() {
        assert!(started_at.elapsed() < LIMIT, "still not {what}");
        world::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the state of a process, `T` for stopped; `None` if it has ended.
fn state_of(pid: i64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Starts the whole emulator, with the test function as every function.
async fn local(more: &Value) -> (Emulator, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let function = json!({
        "program": bootstrap(),
        "environment": {
            "ENDPOINT": "${STORE_ENDPOINT}/${BUCKET}",
            "QUEUE": "${QUEUE_URL:orders}",
        },
        "limits": { "max_instances": 2, "init_seconds": 60, "retry_seconds": 0 },
    });
    let names = ["write", "query", "engine"];
    let functions: BTreeMap<_, _> = names.map(|name| (name, function.clone())).into();
    let mut configuration = json!({
        "folder": folder.path(),
        "store": { "directory": folder.path().join("store") },
        "functions": functions,
    });
    let all = configuration.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    let configuration: Configuration = serde_json::from_value(configuration).unwrap();
    (Emulator::start(configuration).await.unwrap(), folder)
}
