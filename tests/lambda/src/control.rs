//! The control interface for tests and people, and the two AWS services that programs call: Lambda's `Invoke` and SQS.
//!
//! | request | effect |
//! |---|---|
//! | `GET /functions` | returns the instances of all functions |
//! | `POST /functions/{f}/instances` | starts an instance, regardless of the limit: `{"number": 2}` |
//! | `POST /functions/{f}/instances/{n}/{freeze,thaw,kill,stop}` | controls an instance; `stop` ends it as Lambda does |
//! | `GET /functions/{f}/logs` | returns the output of the instances, by number |
//! | `POST /2015-03-31/functions/{f}/invocations` | sends an event; if the request is signed, as a function with its permissions |
//! | `GET /invocations`, `PUT /invocations/{f}/faults` | returns the counts of invocations by functions; injects faults into the next ones |
//! | `GET /store/requests`, `GET /store/refusals` | returns the functions' requests to the bucket, and those that were denied |
//! | `PUT`, `GET`, `DELETE /store/traps/{f}` | sets, shows, or removes a trap, which kills or freezes an instance after a number of requests to the bucket: `{"after": 3}` |
//! | `GET`, `DELETE /notifications` | returns or discards the held notifications |
//! | `PUT /notifications/faults` | replaces the faults of notifications |
//! | `POST /notifications/deliver` | delivers held notifications by number: `[2, 0, 0]` |
//! | `GET /queues` | returns the content of the queues |
//! | `POST /queues/{q}` | sends the body as a message |
//! | `POST /` and `POST /{account}/{q}` with `x-amz-target` | calls Amazon SQS |

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use futures::future::pending;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::{
    configuration::NotificationFaults,
    events::{Notifications, Queue, sqs},
    invocations::{Caller, FunctionInvocations, InvocationFaults, InvocationReport},
    runtime::{FunctionReply, InvocationFailure, InvocationFailureKind, LocalFunction},
    store::StoreRequestLog,
    trap::{Trap, TrapReport, TrapSettings},
};

/// Maximum size of a request in bytes. It exceeds Lambda's limit, because the function itself rejects events that are
/// too large.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// The controlled parts of the emulator.
#[derive(Clone, Debug)]
pub struct ControlState {
    /// The functions by name.
    pub functions: BTreeMap<String, Arc<LocalFunction>>,
    /// The queues by name.
    pub queues: BTreeMap<String, Arc<Queue>>,
    /// The notifications, if they are configured.
    pub notifications: Option<Arc<Notifications>>,
    /// The requests to the store.
    pub journal: Arc<StoreRequestLog>,
    /// The invocations by functions.
    pub invocations: Arc<FunctionInvocations>,
}

/// Error: a command can't be executed. Contains the reason.
struct ControlError(String);

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}

impl ControlState {
    fn function(&self, name: &str) -> Result<&Arc<LocalFunction>, ControlError> {
        let function = self.functions.get(name);
        function.ok_or_else(|| ControlError(format!("there is no function {name}")))
    }

    fn notifications(&self) -> Result<&Arc<Notifications>, ControlError> {
        let notifications = self.notifications.as_ref();
        notifications.ok_or_else(|| ControlError("notifications are not configured".to_owned()))
    }
}

/// Returns all routes.
pub fn routes(control: ControlState) -> Router {
    Router::new()
        .route("/functions", get(list_functions))
        .route("/functions/{function}/instances", post(start))
        .route("/functions/{function}/instances/{number}/{command}", post(command))
        .route("/functions/{function}/logs", get(logs))
        .route("/2015-03-31/functions/{function}/invocations", post(invoke))
        .route("/invocations", get(list_invocations))
        .route("/invocations/{function}/faults", put(set_invocation_faults))
        .route("/store/requests", get(store_requests))
        .route("/store/refusals", get(store_refusals))
        .route("/store/traps/{function}", put(set_trap).get(trap).delete(take_trap))
        .route("/notifications", get(held).delete(forget))
        .route("/notifications/faults", put(set_faults))
        .route("/notifications/deliver", post(deliver))
        .route("/queues", get(list_queues))
        .route("/queues/{queue}", post(send))
        .route("/", post(sqs_call))
        .route("/{account}/{queue}", post(sqs_call))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(control)
}

async fn list_functions(State(control): State<ControlState>) -> Json<Value> {
    let functions = control
        .functions
        .iter()
        .map(|(name, function)| (name.clone(), json!(function.report())));
    Json(Value::Object(functions.collect()))
}

async fn start(
    State(control): State<ControlState>,
    Path(function): Path<String>,
) -> Result<Json<Value>, ControlError> {
    let started = control.function(&function)?.start_instance();
    let number = started.map_err(|error| ControlError(error.to_string()))?;
    Ok(Json(json!({ "number": number })))
}

async fn command(
    State(control): State<ControlState>,
    Path((function, number, command)): Path<(String, u32, String)>,
) -> Result<StatusCode, ControlError> {
    let function = control.function(&function)?;
    let outcome = match command.as_str() {
        "freeze" => function.freeze(number),
        "thaw" => function.thaw(number),
        "kill" => function.kill(number).await,
        "stop" => function.shut_down(number).await,
        other => return Err(ControlError(format!("unknown command {other}"))),
    };
    match outcome {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(unknown) => Err(ControlError(unknown.to_string())),
    }
}

async fn logs(
    State(control): State<ControlState>,
    Path(function): Path<String>,
) -> Result<Json<BTreeMap<u32, String>>, ControlError> {
    Ok(Json(control.function(&function)?.logs()))
}

/// Handles Lambda's own `Invoke`.
async fn invoke(
    State(control): State<ControlState>,
    Path(function): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Response, ControlError> {
    let function = match (control.functions.get(&function), control.invocations.caller(&headers)) {
        (Some(function), caller) => match control.invocations.admit(&caller, function) {
            Ok(true) => Arc::clone(function),
            Ok(false) => return pending().await,
            Err(failure) => return Ok(failed(&failure)),
        },
        (None, Caller::Test) => Arc::clone(control.function(&function)?),
        (None, _) => return Ok(unknown_function(&function)),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("x-amz-invocation-type") == Some("Event") {
        tokio::spawn(async move { function.invoke_event(payload).await });
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    let instance = header("x-lambda-local-instance").and_then(|number| number.parse().ok());
    let response = match function.invoke(payload, false, instance).await {
        Ok(FunctionReply::Whole(bytes)) => bytes.into_response(),
        Ok(FunctionReply::Stream(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(failure) => failed(&failure),
    };
    Ok(response)
}

/// Returns Lambda's response to an invocation without a reply.
fn failed(failure: &InvocationFailure) -> Response {
    let status = match failure.kind {
        InvocationFailureKind::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        InvocationFailureKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        InvocationFailureKind::Denied => StatusCode::FORBIDDEN,
        _ => {
            let header = [("x-amz-function-error", "Unhandled")];
            return (header, Json(failure.document())).into_response();
        }
    };
    (status, Json(failure.document())).into_response()
}

fn unknown_function(name: &str) -> Response {
    let message = format!("Function not found: {name}");
    let body = json!({ "errorType": "ResourceNotFoundException", "errorMessage": message });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn list_invocations(
    State(control): State<ControlState>,
) -> Json<BTreeMap<String, InvocationReport>> {
    Json(control.invocations.report())
}

async fn set_invocation_faults(
    State(control): State<ControlState>,
    Path(function): Path<String>,
    Json(faults): Json<InvocationFaults>,
) -> Result<StatusCode, ControlError> {
    control.invocations.set_faults(control.function(&function)?.name(), faults);
    Ok(StatusCode::NO_CONTENT)
}

async fn store_requests(State(control): State<ControlState>) -> impl IntoResponse {
    Json(control.journal.counts())
}

async fn store_refusals(State(control): State<ControlState>) -> impl IntoResponse {
    Json(control.journal.refusals())
}

async fn set_trap(
    State(control): State<ControlState>,
    Path(function): Path<String>,
    Json(settings): Json<TrapSettings>,
) -> Result<StatusCode, ControlError> {
    let trap = Trap::new(settings, Arc::clone(control.function(&function)?));
    control.journal.set_trap(&function, Some(trap));
    Ok(StatusCode::NO_CONTENT)
}

async fn trap(
    State(control): State<ControlState>,
    Path(function): Path<String>,
) -> Json<Option<TrapReport>> {
    Json(control.journal.trap(&function))
}

async fn take_trap(
    State(control): State<ControlState>,
    Path(function): Path<String>,
) -> Json<Option<TrapReport>> {
    Json(control.journal.set_trap(&function, None))
}

async fn held(State(control): State<ControlState>) -> Result<Response, ControlError> {
    Ok(Json(control.notifications()?.held()).into_response())
}

async fn forget(State(control): State<ControlState>) -> Result<StatusCode, ControlError> {
    control.notifications()?.forget();
    Ok(StatusCode::NO_CONTENT)
}

async fn set_faults(
    State(control): State<ControlState>,
    Json(faults): Json<NotificationFaults>,
) -> Result<StatusCode, ControlError> {
    control.notifications()?.set_faults(faults);
    Ok(StatusCode::NO_CONTENT)
}

async fn deliver(
    State(control): State<ControlState>,
    Json(numbers): Json<Vec<usize>>,
) -> Result<StatusCode, ControlError> {
    let delivered = control.notifications()?.deliver(&numbers).await;
    delivered.map_err(ControlError)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_queues(State(control): State<ControlState>) -> Json<Value> {
    let queues = control.queues.iter().map(|(name, queue)| (name.clone(), json!(queue.report())));
    Json(Value::Object(queues.collect()))
}

async fn send(
    State(control): State<ControlState>,
    Path(queue): Path<String>,
    body: String,
) -> Result<StatusCode, ControlError> {
    let queue = control
        .queues
        .get(&queue)
        .ok_or_else(|| ControlError("there is no such queue".to_owned()))?;
    let sent = queue.send(body, Duration::ZERO);
    sent.map_err(|reason| ControlError(reason.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sqs_call(
    State(control): State<ControlState>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    sqs::answer(&control.queues, &headers, &body)
}
