//! A function that executes commands from its events, for tests of the emulator. It executes commands such as
//! `{"do": "sleep", "ms": 5}`, reports the messages of a queue that contain `bad` as failed, and answers an event that
//! is a request with the event itself.
//!
//! With `STREAM=1` it streams its responses. With `FAIL_INIT=1` it exits before it is ready. With `SHUTDOWN_FILE=path`
//! it writes to a file when it receives SIGTERM.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use lambda_runtime::{
    Error, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, run_concurrent,
    service_fn, spawn_graceful_shutdown_handler,
};
use serde_json::{Value, json};

type Parts = stream::Iter<std::vec::IntoIter<Result<Bytes, Error>>>;

async fn handle(event: LambdaEvent<Value>) -> Result<FunctionResponse<Value, Parts>, Error> {
    let asked = event.payload;
    let number = |name: &str| asked[name].as_u64().unwrap_or(0);
    match asked["do"].as_str() {
        Some("sleep") => {
            #[expect(clippy::disallowed_methods, reason = "the event orders it")]
            tokio::time::sleep(Duration::from_millis(number("ms"))).await;
            return Ok(FunctionResponse::BufferedResponse(json!("slept")));
        }
        Some("fail") => return Err("as you wish".into()),
        #[expect(clippy::panic, reason = "the event orders it")]
        Some("panic") => panic!("as you wish"),
        Some("exit") => std::process::exit(3),
        Some("large") => {
            let bytes = usize::try_from(number("bytes"))?;
            return Ok(FunctionResponse::BufferedResponse(json!("x".repeat(bytes))));
        }
        Some("who") => {
            let variables = std::env::vars().collect::<std::collections::BTreeMap<_, _>>();
            let said = json!({ "pid": std::process::id(), "environment": variables,
                "deadline": event.context.deadline, "id": event.context.request_id });
            return Ok(FunctionResponse::BufferedResponse(said));
        }
        _ => {}
    }
    if let Some(records) = asked["Records"].as_array() {
        let is_bad = |record: &&Value| record.to_string().contains("bad");
        let failed = records
            .iter()
            .filter(is_bad)
            .map(|record| json!({ "itemIdentifier": record["messageId"] }));
        let said = json!({ "batchItemFailures": failed.collect::<Vec<_>>() });
        return Ok(FunctionResponse::BufferedResponse(said));
    }
    if std::env::var_os("STREAM").is_some() {
        let parts = (0..3).map(|part| Ok(Bytes::from(format!("part {part};"))));
        let mut metadata_prelude = MetadataPrelude::default();
        metadata_prelude.headers.insert("x-streamed", "yes".parse()?);
        return Ok(FunctionResponse::StreamingResponse(StreamResponse {
            metadata_prelude,
            stream: stream::iter(parts.collect::<Vec<_>>()),
        }));
    }
    let body = asked.to_string();
    let said = json!({ "statusCode": 200, "headers": { "x-echo": "yes" }, "body": body });
    Ok(FunctionResponse::BufferedResponse(said))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    if std::env::var_os("FAIL_INIT").is_some() {
        return Err("it does not start".into());
    }
    if let Some(path) = std::env::var_os("SHUTDOWN_FILE") {
        spawn_graceful_shutdown_handler(|| async move {
            std::fs::write(path, "told").ok();
        })
        .await;
    }
    run_concurrent(service_fn(handle)).await
}
