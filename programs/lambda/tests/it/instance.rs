//! A function over a store, for tests that send it events.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use lambda_runtime::FunctionResponse;
use neap_bucket::World;
use neap_lambda::{
    options,
    runtime::{EventFailure, Function, Program},
};
use serde_json::{Value, value::RawValue};
use tempfile::TempDir;

/// Time for an event unless a test sets another.
pub(crate) const EVENT_TIME: Duration = Duration::from_secs(30);

/// A directory that several functions use as their store.
#[derive(Debug)]
pub(crate) struct SharedDirectory(TempDir);

impl SharedDirectory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns the path of a file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the flags that select it as the store.
    pub(crate) fn flags(&self) -> Vec<String> {
        let path = self.0.path().display();
        ["--object-store", "file", "--data-dir"]
            .map(str::to_owned)
            .into_iter()
            .chain([path.to_string()])
            .collect()
    }

    /// Opens a function over it.
    pub(crate) fn open<P: Program>(&self, more: &[&str]) -> FunctionUnderTest {
        open::<P>(&self.flags(), more)
    }
}

pub(crate) struct FunctionUnderTest(Arc<dyn Function>);

impl FunctionUnderTest {
    /// Opens a function with these flags.
    pub(crate) fn open<P: Program>(flags: &[&str]) -> Self {
        Self::open_in::<P>(&World::system(), flags)
    }

    /// Opens a function with these clocks and flags.
    pub(crate) fn open_in<P: Program>(world: &World, flags: &[&str]) -> Self {
        let arguments: Vec<&str> = ["neap"].iter().chain(flags).copied().collect();
        let options = options::parse::<P::Options>(&arguments).unwrap();
        Self(P::open(&options, world).unwrap())
    }

    /// Sends an event and returns the response or the failure.
    pub(crate) async fn try_invoke(
        &self,
        event: &Value,
        left: Duration,
    ) -> Result<Value, EventFailure> {
        let event = RawValue::from_string(event.to_string()).unwrap();
        self.try_invoke_raw(&event, left).await
    }

    /// Sends an event as text and returns the response or the failure.
    pub(crate) async fn try_invoke_raw(
        &self,
        event: &RawValue,
        left: Duration,
    ) -> Result<Value, EventFailure> {
        Ok(match self.0.handle(event, left).await? {
            FunctionResponse::BufferedResponse(output) => serde_json::to_value(output).unwrap(),
            FunctionResponse::StreamingResponse(response) => {
                let head = serde_json::to_value(&response.metadata_prelude).unwrap();
                let pieces: Vec<Value> = response
                    .stream
                    .collect::<Vec<_>>()
                    .await
                    .into_iter()
                    .map(|piece| match piece {
                        Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap().into(),
                        Err(error) => serde_json::json!({ "error": error.to_string() }),
                    })
                    .collect();
                serde_json::json!({ "head": head, "pieces": pieces })
            }
        })
    }

    /// Sends an event and returns the response. Panics if the event fails.
    pub(crate) async fn say(&self, event: &Value) -> Value {
        self.try_invoke(event, EVENT_TIME).await.unwrap()
    }
}

/// Opens a function with these flags.
pub(crate) fn open<P: Program>(flags: &[String], more: &[&str]) -> FunctionUnderTest {
    let all: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    FunctionUnderTest::open::<P>(&all)
}

/// Reads a recorded event.
pub(crate) fn recorded(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let text = fs::read_to_string(path.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Builds a request as an HTTP API sends it.
pub(crate) fn request(method: &str, path: &str, query: &str, body: &str) -> Value {
    serde_json::json!({
        "rawPath": path, "rawQueryString": query, "body": body, "isBase64Encoded": false,
        "headers": {"content-type": "application/json"},
        "requestContext": {"stage": "$default", "http": {"method": method, "sourceIp": "192.0.2.1"}},
    })
}
