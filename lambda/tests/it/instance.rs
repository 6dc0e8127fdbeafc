//! A function over a store, and what it says to events.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use lambda_runtime::FunctionResponse;
use neap_bucket::World;
use neap_lambda::{
    options,
    start::{Failure, Function, Program},
};
use serde_json::{Value, value::RawValue};
use tempfile::TempDir;

/// The time that an event has unless a test says otherwise.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A directory that functions share.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Flags that name it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let path = self.0.path().display();
        ["--object-store", "file", "--data-dir"]
            .map(str::to_owned)
            .into_iter()
            .chain([path.to_string()])
            .collect()
    }

    /// A function over it that asks for no tokens.
    pub(crate) fn open<P: Program>(&self, more: &[&str]) -> Instance {
        let flags = self.flags();
        let all: Vec<&str> = flags
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        Instance::open::<P>(&all)
    }
}

/// A function.
pub(crate) struct Instance(Arc<dyn Function>);

impl Instance {
    /// A function with these flags.
    pub(crate) fn open<P: Program>(flags: &[&str]) -> Self {
        let arguments: Vec<&str> = ["neap"].iter().chain(flags).copied().collect();
        let options = options::parse::<P::Options>(&arguments).unwrap();
        Self(P::open(&options, &World::system()).unwrap())
    }

    /// What it says to an event, whatever that is.
    pub(crate) async fn try_say(&self, event: &Value, left: Duration) -> Result<Value, Failure> {
        let event = RawValue::from_string(event.to_string()).unwrap();
        self.try_say_raw(&event, left).await
    }

    /// What it says to an event as text.
    pub(crate) async fn try_say_raw(
        &self,
        event: &RawValue,
        left: Duration,
    ) -> Result<Value, Failure> {
        Ok(match self.0.handle(event, left).await? {
            FunctionResponse::BufferedResponse(output) => serde_json::to_value(output).unwrap(),
            FunctionResponse::StreamingResponse(response) => {
                let head = serde_json::to_value(&response.metadata_prelude).unwrap();
                let pieces: Vec<_> = response.stream.collect().await;
                let pieces: Vec<Value> = pieces
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

    /// What it says to an event that it understands.
    pub(crate) async fn say(&self, event: &Value) -> Value {
        self.try_say(event, LONG).await.unwrap()
    }
}

/// A recorded event.
pub(crate) fn recorded(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let text = fs::read_to_string(path.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A request as an HTTP API sends it.
pub(crate) fn request(method: &str, path: &str, query: &str, body: &str) -> Value {
    serde_json::json!({
        "rawPath": path, "rawQueryString": query, "body": body, "isBase64Encoded": false,
        "headers": {"content-type": "application/json"},
        "requestContext": {"stage": "$default", "http": {"method": method, "sourceIp": "192.0.2.1"}},
    })
}
