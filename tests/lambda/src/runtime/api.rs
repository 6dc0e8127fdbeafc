//! The Runtime API of an instance, and the part of the Extensions API that runtimes use. Each instance has its own
//! port.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures::future::pending;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    FunctionReply, InvocationFailure, InvocationFailureKind, LocalFunction,
    account::ACCOUNT,
    invocation::{Invocation, RESPONSE_LIMIT, STREAM_LIMIT},
};
use crate::world;

/// Maximum number of pieces of a streamed response that are buffered for the client.
const MAX_BUFFERED_PIECES: usize = 16;
/// Header with which a runtime announces a streamed response.
const RESPONSE_MODE_HEADER: &str = "lambda-runtime-function-response-mode";
/// Trailer with which a runtime reports that a stream failed.
const STREAM_ERROR: &str = "lambda-runtime-function-error-type";
/// Header with the id of an extension.
const EXTENSION_ID: &str = "lambda-extension-identifier";

/// The state of the Runtime API: the function and the number of its instance.
#[derive(Clone)]
struct Sandbox {
    function: Arc<LocalFunction>,
    number: u32,
}

pub(super) fn routes(function: Arc<LocalFunction>, number: u32) -> Router {
    let invocation = "/2018-06-01/runtime/invocation/{id}";
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(&format!("{invocation}/response"), post(respond))
        .route(&format!("{invocation}/error"), post(report_error))
        .route("/2018-06-01/runtime/init/error", post(report_init_error))
        .route("/2020-01-01/extension/register", post(register_extension))
        .route("/2020-01-01/extension/event/next", get(next_for_extension))
        .with_state(Sandbox { function, number })
}

/// An error reported by a runtime.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Diagnostic {
    error_type: String,
    error_message: String,
}

/// The result of a program's request for an event.
enum NextEvent {
    Event(Invocation),
    Wait(Arc<tokio::sync::Notify>),
    InstanceEnded,
}

impl Sandbox {
    /// Returns the next event for this instance. If there is none, marks the instance as waiting.
    fn next_event(&self) -> NextEvent {
        let mut state = self.function.state();
        let Some(instance) = state.instances.get_mut(&self.number) else {
            return NextEvent::InstanceEnded;
        };
        if instance.init.is_none() {
            instance.init = Some(instance.started_at.elapsed());
        }
        if let Some(invocation) = instance.inbox.pop_front() {
            instance.polling = false;
            return NextEvent::Event(invocation);
        }
        instance.polling = true;
        let wake = Arc::clone(&instance.wake);
        if self.function.freezes() {
            instance.freeze_if_idle();
        }
        NextEvent::Wait(wake)
    }

    /// Delivers an event to the program and starts its timeout.
    fn hand_out(&self, invocation: Invocation) -> Response {
        let limit = self.function.settings.limits.timeout();
        let deadline = world::date() + limit;
        let id = invocation.id.clone();
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", deadline.timestamp_millis().to_string())
            .header("lambda-runtime-invoked-function-arn", self.function.arn())
            .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")
            .body(Body::from(invocation.payload.clone()));
        if let Some(instance) = self.function.state().instances.get_mut(&self.number) {
            instance.running.insert(id.clone(), Some(invocation));
        }
        let sandbox = self.clone();
        tokio::spawn(async move {
            world::sleep(limit).await;
            sandbox.time_out(&id);
        });
        response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    /// Kills the instance if it still handles this event.
    fn time_out(&self, id: &str) {
        let mut state = self.function.state();
        if let Some(instance) = state.instances.get_mut(&self.number)
            && instance.running.contains_key(id)
        {
            let seconds = self.function.settings.limits.timeout_seconds;
            let message = format!("{id} Task timed out after {seconds:.2} seconds");
            instance.kill(InvocationFailure::new(InvocationFailureKind::TimedOut, message));
        }
    }

    /// Takes the event of this id. The id stays in the list of running events.
    fn running(&self, id: &str) -> Option<Invocation> {
        let mut state = self.function.state();
        let instance = state.instances.get_mut(&self.number)?;
        instance.running.get_mut(id)?.take()
    }

    /// Puts an event back into the list of running events, so that it fails when the instance has ended.
    fn put_back(&self, id: String, invocation: Invocation) {
        let failure =
            InvocationFailure::new(InvocationFailureKind::Exited, "the response broke off");
        let mut state = self.function.state();
        match state.instances.get_mut(&self.number) {
            Some(instance) => {
                instance.running.insert(id, Some(invocation));
            }
            None => invocation.fail(failure),
        }
    }

    /// Records that an event has been answered, and assigns queued events.
    fn finish(&self, id: &str) {
        let mut state = self.function.state();
        if let Some(instance) = state.instances.get_mut(&self.number) {
            instance.running.remove(id);
            instance.handled += 1;
        }
        self.function.assign_waiting(&mut state);
    }
}

async fn next(State(sandbox): State<Sandbox>) -> Response {
    loop {
        match sandbox.next_event() {
            NextEvent::Event(invocation) => return sandbox.hand_out(invocation),
            NextEvent::Wait(wake) => wake.notified().await,
            NextEvent::InstanceEnded => return pending().await,
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = json!({ "errorType": error_type, "errorMessage": message });
    (status, Json(body)).into_response()
}

fn no_such_event() -> Response {
    refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

async fn respond(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(invocation) = sandbox.running(&id) else {
        return no_such_event();
    };
    let is_stream = headers.get(RESPONSE_MODE_HEADER).is_some_and(|mode| mode == "streaming");
    if is_stream && invocation.streaming {
        let (parts, stream) = mpsc::channel(MAX_BUFFERED_PIECES);
        drop(invocation.reply.send(Ok(FunctionReply::Stream(stream))));
        pass_on(body, &parts).await;
        sandbox.finish(&id);
        return accepted();
    }
    let whole = Limited::new(body, RESPONSE_LIMIT).collect().await;
    let (outcome, response) = match whole {
        Ok(whole) => (Ok(FunctionReply::Whole(whole.to_bytes())), accepted()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message =
                format!("Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).");
            let response =
                refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message);
            let failure = InvocationFailure::new(InvocationFailureKind::ResponseTooLarge, message);
            (Err(failure), response)
        }
        // The program died while it sent the response; `watch` fails the event.
        Err(_) => {
            sandbox.put_back(id, invocation);
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    drop(invocation.reply.send(outcome));
    sandbox.finish(&id);
    response
}

/// Forwards the pieces of a response at the pace of the client.
async fn pass_on(mut body: Body, parts: &mpsc::Sender<Result<Bytes, InvocationFailure>>) {
    let mut sent = 0;
    let broken = |message: &str| {
        let kind = InvocationFailureKind::Reported("Runtime.StreamError".to_owned());
        Err(InvocationFailure::new(kind, message))
    };
    while let Some(frame) = body.frame().await {
        let part = match frame.map(|frame| frame.into_data()) {
            Ok(Ok(bytes)) if sent + bytes.len() <= STREAM_LIMIT => {
                sent += bytes.len();
                Ok(bytes)
            }
            Ok(Ok(_)) => broken("the response is too large"),
            Ok(Err(frame)) => match frame.into_trailers() {
                Ok(trailers) if trailers.contains_key(STREAM_ERROR) => {
                    broken("the function failed during its response")
                }
                _ => continue,
            },
            Err(_) => broken("the instance ended during its response"),
        };
        let is_last = part.is_err();
        if parts.send(part).await.is_err() || is_last {
            return;
        }
    }
}

async fn report_error(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let Some(invocation) = sandbox.running(&id) else {
        return no_such_event();
    };
    let said: Diagnostic = serde_json::from_slice(&body).unwrap_or_default();
    let kind = InvocationFailureKind::Reported(said.error_type);
    invocation.fail(InvocationFailure::new(kind, said.error_message));
    sandbox.finish(&id);
    accepted()
}

async fn report_init_error(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let said: Diagnostic = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = sandbox.function.state();
    if let Some(instance) = state.instances.get_mut(&sandbox.number) {
        let message = format!("{}: {}", said.error_type, said.error_message);
        let failure = InvocationFailure::new(InvocationFailureKind::InitFailed, message);
        // The program is expected to exit now; `watch_init` kills it if it does not.
        instance.ending.get_or_insert(failure);
    }
    accepted()
}

async fn register_extension(State(sandbox): State<Sandbox>) -> Response {
    let mut state = sandbox.function.state();
    let Some(instance) = state.instances.get_mut(&sandbox.number) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let id = instance.extension.register();
    let body = json!({
        "functionName": sandbox.function.name(),
        "functionVersion": "$LATEST",
        "handler": "bootstrap",
        "accountId": ACCOUNT,
    });
    ([(EXTENSION_ID, id)], Json(body)).into_response()
}

/// Blocks forever, because the extension of a runtime registers for no events.
async fn next_for_extension(State(sandbox): State<Sandbox>, headers: HeaderMap) -> Response {
    let id = headers.get(EXTENSION_ID).and_then(|id| id.to_str().ok());
    let is_known = {
        let mut state = sandbox.function.state();
        let instance = state.instances.get_mut(&sandbox.number);
        instance.is_some_and(|instance| {
            let is_known = instance.extension.wait(id.unwrap_or_default());
            if sandbox.function.freezes() {
                instance.freeze_if_idle();
            }
            is_known
        })
    };
    if is_known {
        pending().await
    } else {
        refused(
            StatusCode::FORBIDDEN,
            "Extension.UnknownExtensionIdentifier",
            "there is no such extension",
        )
    }
}
