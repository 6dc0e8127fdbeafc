//! Runs a binary against a Runtime API server.

use std::{
    collections::BTreeMap,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use futures::future::pending;
use neap_bucket::World;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc, oneshot},
};

use crate::instance::EVENT_TIME;

/// The response of a function to an event; `Err` is the reported failure.
pub(crate) type EventOutcome = Result<Value, Value>;

/// An event that the function has not requested yet.
struct PendingEvent {
    event: Value,
    taken: oneshot::Sender<()>,
    reply: oneshot::Sender<EventOutcome>,
}

struct RuntimeApi {
    waiting: Mutex<mpsc::UnboundedReceiver<PendingEvent>>,
    /// Events that were delivered and not answered, by id.
    under_way: Mutex<BTreeMap<u64, oneshot::Sender<EventOutcome>>>,
    registers: bool,
}

/// A running binary and the sender of its events.
pub(crate) struct FunctionProcess {
    child: Child,
    events: mpsc::UnboundedSender<PendingEvent>,
}

/// The pending response to a delivered event.
pub(crate) struct PendingReply(oneshot::Receiver<EventOutcome>);

impl FunctionProcess {
    /// Starts a binary with these variables.
    pub(crate) async fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        Self::with_extensions(binary, variables, true).await
    }

    /// Starts a binary whose extension registration is never answered.
    pub(crate) async fn start_without_extensions(binary: &str, variables: &[(&str, &str)]) -> Self {
        Self::with_extensions(binary, variables, false).await
    }

    async fn with_extensions(binary: &str, variables: &[(&str, &str)], registers: bool) -> Self {
        let (events, waiting) = mpsc::unbounded_channel();
        let api = Arc::new(RuntimeApi {
            waiting: Mutex::new(waiting),
            under_way: Mutex::default(),
            registers,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, routes(api)).into_future());
        let child = Command::new(binary)
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "f"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("NEAP_WITHOUT_AUTH", "true"),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, events }
    }

    /// Sends an event. The event is delivered when this returns.
    pub(crate) async fn send(&self, event: &Value) -> PendingReply {
        let (taken, is_taken) = oneshot::channel();
        let (reply, said) = oneshot::channel();
        let event = event.clone();
        let waiting = PendingEvent { event, taken, reply };
        assert!(self.events.send(waiting).is_ok());
        in_time(is_taken).await.unwrap();
        PendingReply(said)
    }

    /// Sends an event and returns the response.
    pub(crate) async fn say(&self, event: &Value) -> EventOutcome {
        self.send(event).await.said().await.unwrap()
    }

    /// Sends SIGTERM to the process, as Lambda does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| pid.try_into().ok());
        kill_process(Pid::from_raw(pid.unwrap()).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for the process and returns its exit status.
    pub(crate) async fn wait(mut self) -> ExitStatus {
        in_time(self.child.wait()).await.unwrap()
    }
}

impl PendingReply {
    /// Returns the response; `None` if the process ended without one.
    pub(crate) async fn said(self) -> Option<EventOutcome> {
        World::system().timeout(EVENT_TIME, self.0).await?.ok()
    }
}

async fn in_time<F: Future>(work: F) -> F::Output {
    let done = World::system().timeout(EVENT_TIME, work).await;
    done.expect("it took too long")
}

fn routes(api: Arc<RuntimeApi>) -> Router {
    let invocation = "/2018-06-01/runtime/invocation";
    Router::new()
        .route(&format!("{invocation}/next"), get(next))
        .route(&format!("{invocation}/{{id}}/response"), post(respond))
        .route(&format!("{invocation}/{{id}}/error"), post(fail))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(pending::<()>))
        .with_state(api)
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    let Some(waiting) = api.waiting.lock().await.recv().await else {
        return pending().await;
    };
    let id = {
        let mut under_way = api.under_way.lock().await;
        let id = under_way.last_key_value().map_or(0, |(id, _)| id + 1);
        under_way.insert(id, waiting.reply);
        id
    };
    waiting.taken.send(()).ok();
    let ends = World::system().clock.wall_micros() / 1_000 + 30_000;
    let header = |name| HeaderName::from_static(name);
    let headers = [
        (header("lambda-runtime-aws-request-id"), id.to_string()),
        (header("lambda-runtime-deadline-ms"), ends.to_string()),
        (header("lambda-runtime-invoked-function-arn"), "f".to_owned()),
    ];
    (headers, Json(waiting.event))
}

async fn answer(api: &RuntimeApi, id: u64, said: EventOutcome) -> StatusCode {
    match api.under_way.lock().await.remove(&id) {
        Some(reply) => {
            drop(reply.send(said));
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}

/// Parses a response. Functions send responses without a content type.
fn parsed(said: &[u8]) -> Value {
    serde_json::from_slice(said).unwrap()
}

async fn respond(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<u64>,
    said: Bytes,
) -> StatusCode {
    answer(&api, id, Ok(parsed(&said))).await
}

async fn fail(State(api): State<Arc<RuntimeApi>>, Path(id): Path<u64>, said: Bytes) -> StatusCode {
    answer(&api, id, Err(parsed(&said))).await
}

async fn register(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    if !api.registers {
        return pending().await;
    }
    let header = HeaderName::from_static("lambda-extension-identifier");
    let body = json!({
        "functionName": "f", "functionVersion": "$LATEST", "handler": "bootstrap", "accountId": "1",
    });
    ([(header, "extension")], Json(body))
}

pub(crate) async fn sleep_for(time: Duration) {
    World::system().clock.sleep(time).await;
}
