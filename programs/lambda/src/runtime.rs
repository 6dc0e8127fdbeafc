//! The life cycle of an instance.
//!
//! ```text
//! configuration ── registers extension ∥ reads what the first event needs ── event, event, … ── SIGTERM
//! ```
//!
//! A failure at the start does not end the instance. Instead, events are answered with the error, or the next event
//! reads from the store again. Lambda freezes an instance between events, so no work continues after a response.

use std::{process::ExitCode, sync::Arc, time::Duration};

use ::http::HeaderMap;
use async_trait::async_trait;
use axum::response::IntoResponse;
use clap::Parser;
use lambda_extension::{Error, Extension};
use lambda_runtime::{
    Context, Diagnostic, FunctionResponse, LambdaEvent, Runtime, layers::TracingLayer, service_fn,
};
use neap_bucket::World;
use neap_http::{ApiError, Kind, log_panics};
use neap_memory::limit_retained_memory;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Instrument;

use crate::{
    http::{EventError, HttpEvent, HttpEventResponse, ReplyStream},
    interface::Interface,
    logging,
    options::{self, CommonOptions, OptionsError},
    shutdown::Shutdown,
};

/// Maximum time that an instance warms up before its first event. Work that is still running then is cancelled, so that
/// it is not frozen halfway.
const WARM_LIMIT: Duration = Duration::from_secs(2);

/// Maximum time for registering the extension. Without the extension, the instance receives no SIGTERM.
const REGISTER_LIMIT: Duration = Duration::from_secs(2);

/// Lambda kills an instance 500 ms after SIGTERM. This part of the time is for events that are about to arrive.
const ARRIVAL_WAIT: Duration = Duration::from_millis(50);

/// Part of the 500 ms for events in flight to finish.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// Part of the 500 ms for answering the events that are aborted.
const ABORT_LIMIT: Duration = Duration::from_millis(100);

/// Part of the 500 ms for saving state that would be lost.
const STOP_LIMIT: Duration = Duration::from_millis(100);

/// Error message for requests that were aborted.
const ABORTED_MESSAGE: &str = "the instance ended; the outcome of the request is unknown";

/// Time after which clients should retry an aborted request.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Name of the extension. Lambda sends SIGTERM only to instances with an extension.
const EXTENSION: &str = "_neap-shutdown";

/// The result of an event, if it is not streamed.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BufferedReply {
    /// The response to a request.
    Http(Box<HttpEventResponse>),
    /// A report of the work done.
    Json(serde_json::Value),
}

/// The result of an event, buffered or streamed.
pub type EventReply = FunctionResponse<BufferedReply, ReplyStream>;

/// Failure of an event. Lambda or the event's source may retry the event.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct EventFailure {
    /// Kind of the failure.
    pub kind: &'static str,
    /// Description of the failure.
    pub message: String,
}

impl From<EventError> for EventFailure {
    fn from(error: EventError) -> Self {
        Self { kind: "Event", message: error.to_string() }
    }
}

impl From<EventFailure> for Diagnostic {
    fn from(failure: EventFailure) -> Self {
        Self {
            error_type: failure.kind.to_owned(),
            error_message: failure.message,
        }
    }
}

/// A Lambda function: handles events.
#[async_trait]
pub trait Function: Send + Sync + 'static {
    /// Reads everything that any first event will need.
    async fn warm(&self);

    /// Handles an event within the time that is left.
    ///
    /// # Errors
    /// The function does not support the event, or the work failed.
    async fn handle(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure>;

    /// Returns whether the function streams its responses to requests. If so, it streams all of them, because the
    /// gateway can't read a buffered one.
    fn streams(&self) -> bool {
        false
    }

    /// Flushes waiting batches and disables batching. No more events will arrive.
    fn begin_shutdown(&self) {}

    /// Saves state that would be lost. It must be quick. No event in flight can be answered any more.
    async fn stop(&self) {}
}

/// A binary.
pub trait Program {
    /// Options of the binary.
    type Options: Parser + AsRef<CommonOptions>;

    /// The interface for deployments.
    const INTERFACE: Interface;

    /// Creates the function without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    fn open(options: &Self::Options, world: &World) -> Result<Arc<dyn Function>, OptionsError>;
}

/// Stack of a thread in bytes, as in `neap_query`, which the function for writes does not have. Unused stack takes no memory.
pub(crate) const THREAD_STACK_BYTES: usize = 128 << 20;

/// Runs a binary until Lambda ends the process.
pub fn run<P: Program>() -> ExitCode {
    if std::env::args().any(|argument| argument == "--print-interface") {
        return print_interface::<P>();
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        let name = P::INTERFACE.function;
        print_error(&format!(
            "the {name} function must run on AWS Lambda: AWS_LAMBDA_RUNTIME_API is not set"
        ));
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(serve::<P>());
            // Aborted work may still compute for a while.
            runtime.shutdown_background();
            served.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the instance ends");
            ExitCode::FAILURE
        }
    }
}

/// Number of threads of the async runtime, without the query threads: one more than there are processors. Merges and
/// writes may keep all processors busy, and one thread must be free to enforce the deadline.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

#[expect(clippy::print_stderr, reason = "logging has not started yet")]
fn print_error(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the user requested this output")]
fn print_interface<P: Program>() -> ExitCode {
    match P::INTERFACE.to_json(&options::command::<P::Options>()) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Creates the function from the environment. If the configuration is invalid, returns one that answers with an error.
fn create_function<P: Program>(world: &World) -> Arc<dyn Function> {
    let opened = options::from_environment::<P::Options>().and_then(|options| {
        let common: &CommonOptions = options.as_ref();
        limit_retained_memory(common.memory_bytes());
        logging::start(&common.log_filter)
            .map_err(|reason| OptionsError::Unusable { option: "log-filter", reason })?;
        P::open(&options, world)
    });
    opened.unwrap_or_else(|error| {
        logging::start("info").ok();
        tracing::error!(%error, "the function is not configured");
        Arc::new(UnconfiguredFunction)
    })
}

async fn serve<P: Program>() -> Result<(), Error> {
    let world = World::system();
    let function = create_function::<P>(&world);
    log_panics(Arc::clone(&world.clock));
    let mut terminated = signal(SignalKind::terminate())?;
    let warm = world.timeout(WARM_LIMIT, function.warm());
    let registered = world.timeout(REGISTER_LIMIT, register());
    let (registered, _) = tokio::join!(registered, warm);
    if let Err(error) = registered.unwrap_or_else(|| Err("the registration timed out".to_owned())) {
        tracing::warn!(error, "the instance will not receive SIGTERM before its end");
    }
    let shutdown = Shutdown::new();
    let handler = {
        let (function, world) = (Arc::clone(&function), world.clone());
        let shutdown = shutdown.clone();
        service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let (function, world) = (Arc::clone(&function), world.clone());
            let shutdown = shutdown.clone();
            async move { handle(function, &world, &shutdown, event).await }
        })
    };
    let runtime = Runtime::new(handler).layer(TracingLayer::new()).layer(shutdown.clone());
    let terminated = async {
        terminated.recv().await;
        stop(function.as_ref(), &world, &shutdown).await;
    };
    tokio::select! {
        ended = runtime.run_concurrent() => ended?,
        () = terminated => tracing::info!("stopped"),
    }
    Ok(())
}

/// Finishes events in flight, as far as time allows.
async fn stop(function: &dyn Function, world: &World, shutdown: &Shutdown) {
    shutdown.begin();
    function.begin_shutdown();
    world.clock.sleep(ARRIVAL_WAIT).await;
    let drained = world.timeout(DRAIN_LIMIT, shutdown.drained()).await;
    if drained.is_none() {
        shutdown.abort();
        world.timeout(ABORT_LIMIT, shutdown.drained()).await;
    }
    let stopped = world.timeout(STOP_LIMIT, function.stop()).await;
    if drained.is_none() || stopped.is_none() {
        tracing::warn!("the instance ended before all work was complete");
    }
}

/// Registers an extension without events, because Lambda sends SIGTERM only to instances with an extension.
async fn register() -> Result<(), String> {
    let extension = Extension::new()
        .with_events(&[])
        .with_extension_name(EXTENSION)
        .register()
        .await
        .map_err(|error| error.to_string())?;
    // The extension waits for an event that never arrives.
    tokio::spawn(async move {
        if let Err(error) = extension.run().await {
            tracing::debug!(error, "the extension ended");
        }
    });
    Ok(())
}

/// Handles an event in its own task. If the task computes without end or panics, other events and the shutdown
/// continue.
async fn handle(
    function: Arc<dyn Function>,
    world: &World,
    shutdown: &Shutdown,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<EventReply, EventFailure> {
    let left = time_left(&event.context, world);
    let streams = function.streams();
    let event: Arc<RawValue> = event.payload.into();
    let work = {
        let event = Arc::clone(&event);
        async move { function.handle(&event, left).await }
    };
    let mut work = tokio::spawn(work.in_current_span());
    let handled = tokio::select! {
        biased;
        handled = &mut work => handled,
        () = shutdown.aborted() => {
            work.abort();
            let error = ApiError::json(Kind::Unknown, ABORTED_MESSAGE).retry_after(Some(RETRY_AFTER));
            return reject_event(&event, error, "Shutdown", streams).await;
        }
    };
    handled.unwrap_or_else(|ended| {
        let message = match ended.try_into_panic() {
            Ok(panic) => crate::http::panic_error(panic.as_ref()).to_string(),
            Err(ended) => ended.to_string(),
        };
        Err(EventFailure { kind: "Panic", message })
    })
}

/// Answers an event that was not handled: a request gets an error response, any other event fails.
async fn reject_event(
    event: &RawValue,
    error: ApiError,
    kind: &'static str,
    streams: bool,
) -> Result<EventReply, EventFailure> {
    let request = serde_json::from_str::<HttpEvent>(event.get()).unwrap_or_default();
    match request.source() {
        Ok(_) if streams => {
            let answer = crate::http::stream_from_memory(error.into_response()).await;
            Ok(FunctionResponse::StreamingResponse(answer))
        }
        Ok(source) => {
            let answer = HttpEventResponse::of_error(source, error, HeaderMap::new()).await;
            let answer = BufferedReply::Http(Box::new(answer));
            Ok(FunctionResponse::BufferedResponse(answer))
        }
        Err(_) => Err(EventFailure { kind, message: error.to_string() }),
    }
}

/// Returns the time until Lambda ends the invocation.
fn time_left(context: &Context, world: &World) -> Duration {
    let now = u64::try_from(world.clock.wall_micros()).unwrap_or(0);
    let ends = context.deadline.saturating_mul(1000);
    Duration::from_micros(ends.saturating_sub(now))
}

/// A function with an invalid configuration. It answers requests with an error and fails all other events. The reason
/// is only in the log, because clients must not see it.
#[derive(Debug)]
struct UnconfiguredFunction;

#[async_trait]
impl Function for UnconfiguredFunction {
    async fn warm(&self) {}

    async fn handle(&self, event: &RawValue, _: Duration) -> Result<EventReply, EventFailure> {
        let message = "the function is not configured; see its log";
        let error = ApiError::json(Kind::Internal, message);
        reject_event(event, error, "Configuration", self.streams()).await
    }

    /// Reads the variable directly, because the options could not be parsed.
    fn streams(&self) -> bool {
        std::env::var("NEAP_RESPONSE_STREAMING").is_ok_and(|value| value == "true")
    }
}
