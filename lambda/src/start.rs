//! The life of an instance.
//!
//! ```text
//!   configuration ── extension registered ∥ what the first event needs read ── event, event, … ── SIGTERM
//! ```
//!
//! What fails at the start does not end the instance: an event is then answered with what is wrong, or the store
//! is asked again. Lambda freezes an instance between events, so nothing is left under way after an answer.

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
use neap_http::{ApiError, Kind};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Instrument;

use crate::{
    http::{Answer, EventError, HttpEvent, ReplyStream},
    interface::Interface,
    logging,
    options::{self, CommonOptions, OptionsError},
    shutdown::Shutdown,
};

/// The longest that an instance waits before its first event for what that will need anyway. What is still under
/// way then is given up, so that nothing is frozen with it.
const WARM_LIMIT: Duration = Duration::from_secs(2);

/// The longest that the extension takes to be registered. Without it instances only end without a warning.
const REGISTER_LIMIT: Duration = Duration::from_secs(2);

/// What Lambda leaves between SIGTERM and the end is half a second. So long is waited for events that are on their way to the
/// instance, ...
const ARRIVAL: Duration = Duration::from_millis(50);

/// ... so long for those under way to end, ...
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// ... so long are those given up that are still under way, ...
const GIVE_UP_LIMIT: Duration = Duration::from_millis(50);

/// ... and so long is brought to an end what may be lost otherwise.
const STOP_LIMIT: Duration = Duration::from_millis(100);

/// What is told to whoever asked for what was given up.
const ENDED: &str = "the instance ended; whether it was done is not known";

/// How long they wait before they ask again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The extension that makes Lambda send SIGTERM.
const EXTENSION: &str = "_neap-shutdown";

/// What an event is answered with, if not in pieces.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Output {
    /// An answer to a request.
    Http(Box<Answer>),
    /// What was done.
    Json(serde_json::Value),
}

/// What an event is answered with.
pub type Reply = FunctionResponse<Output, ReplyStream>;

/// Why an event failed. Lambda repeats it, or what sent it does, as far as they do so.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self {
            kind: "Event",
            message: error.to_string(),
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: failure.kind.to_owned(),
            error_message: failure.message,
        }
    }
}

/// A function: what becomes of events.
#[async_trait]
pub trait Function: Send + Sync + 'static {
    /// Reads what the first event will need, whatever it is.
    async fn warm(&self);

    /// Handles an event in the time that is left.
    ///
    /// # Errors
    /// It is none that the function understands, or it could not be done.
    async fn handle(&self, event: &RawValue, left: Duration) -> Result<Reply, Failure>;

    /// Whether requests are answered in pieces, all of them: whoever waits for those can't read anything else.
    fn streams(&self) -> bool {
        false
    }

    /// Has no event wait for others any more: none will come.
    fn begin_shutdown(&self) {}

    /// Brings to an end what may be lost otherwise; briefly. No event is under way then that could still be answered.
    async fn stop(&self) {}
}

/// A binary.
pub trait Program {
    /// Its options.
    type Options: Parser + AsRef<CommonOptions>;

    /// What it has to do with the outside.
    const INTERFACE: Interface;

    /// The function. Asks nothing of the store.
    ///
    /// # Errors
    /// The options can't be used.
    fn open(options: &Self::Options, world: &World) -> Result<Arc<dyn Function>, OptionsError>;
}

/// The stack of a thread: a long statement is planned by recursion. What is not used takes no memory.
const THREAD_STACK_BYTES: usize = 128 << 20;

/// Runs a binary until Lambda ends it.
pub fn run<P: Program>() -> ExitCode {
    if std::env::args().any(|argument| argument == "--print-interface") {
        return print_interface::<P>();
    }
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        let name = P::INTERFACE.function;
        complain(&format!(
            "the {name} function runs on AWS Lambda, and AWS_LAMBDA_RUNTIME_API is not set"
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
            // What was given up may compute for a while yet.
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

/// The threads of an instance, beside those of queries: one more than it has processors. When merges or what comes with
/// writes compute on all of these, somebody has to notice that the time is over.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

#[expect(clippy::print_stderr, reason = "nothing else is there yet")]
fn complain(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "it is asked for")]
fn print_interface<P: Program>() -> ExitCode {
    match P::INTERFACE.to_json(&options::command::<P::Options>()) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The function as the environment configures it, or one that says that it is not configured.
fn configured<P: Program>(world: &World) -> Arc<dyn Function> {
    let opened = options::from_environment::<P::Options>().and_then(|options| {
        let common: &CommonOptions = options.as_ref();
        logging::start(&common.log_filter).map_err(|reason| OptionsError::Unusable {
            option: "log-filter",
            reason,
        })?;
        P::open(&options, world)
    });
    opened.unwrap_or_else(|error| {
        logging::start("info").ok();
        tracing::error!(%error, "the function is not configured");
        Arc::new(Unconfigured)
    })
}

async fn serve<P: Program>() -> Result<(), Error> {
    let world = World::system();
    let function = configured::<P>(&world);
    let mut terminated = signal(SignalKind::terminate())?;
    let warm = world.timeout(WARM_LIMIT, function.warm());
    let registered = world.timeout(REGISTER_LIMIT, register());
    let (registered, _) = tokio::join!(registered, warm);
    if let Err(error) = registered.unwrap_or_else(|| Err("it took too long".to_owned())) {
        tracing::warn!(error, "the end of the instance will come without a warning");
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
    let runtime = Runtime::new(handler)
        .layer(TracingLayer::new())
        .layer(shutdown.clone());
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

/// Ends what is under way, as far as there is time for it.
async fn stop(function: &dyn Function, world: &World, shutdown: &Shutdown) {
    shutdown.begin();
    function.begin_shutdown();
    world.clock.sleep(ARRIVAL).await;
    let drained = world.timeout(DRAIN_LIMIT, shutdown.drained()).await;
    if drained.is_none() {
        shutdown.give_up();
        world.timeout(GIVE_UP_LIMIT, shutdown.drained()).await;
    }
    let stopped = world.timeout(STOP_LIMIT, function.stop()).await;
    if drained.is_none() || stopped.is_none() {
        tracing::warn!("the instance ended before all was done");
    }
}

/// Registers an extension that wants no events: only instances with one are told of their end.
async fn register() -> Result<(), String> {
    let extension = Extension::new()
        .with_events(&[])
        .with_extension_name(EXTENSION);
    let extension = extension
        .register()
        .await
        .map_err(|error| error.to_string())?;
    // It waits for an event that never comes.
    tokio::spawn(async move {
        if let Err(error) = extension.run().await {
            tracing::debug!(error, "the extension ended");
        }
    });
    Ok(())
}

/// Handles an event, whatever it makes the function do. It has a task of its own, so that what computes without an end
/// holds up neither the other events nor the end of the instance.
async fn handle(
    function: Arc<dyn Function>,
    world: &World,
    shutdown: &Shutdown,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Reply, Failure> {
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
        () = shutdown.given_up() => {
            work.abort();
            let error = ApiError::json(Kind::Unknown, ENDED).retry_after(Some(RETRY_AFTER));
            return refused(&event, error, "Shutdown", streams).await;
        }
    };
    handled.unwrap_or_else(|ended| {
        let message = match ended.try_into_panic() {
            Ok(panic) => crate::http::panicked(panic.as_ref()).to_string(),
            Err(ended) => ended.to_string(),
        };
        Err(Failure {
            kind: "Panic",
            message,
        })
    })
}

/// Answers an event that is not handled: a request with an error, and anything else as a failure.
async fn refused(
    event: &RawValue,
    error: ApiError,
    kind: &'static str,
    streams: bool,
) -> Result<Reply, Failure> {
    let request = serde_json::from_str::<HttpEvent>(event.get()).unwrap_or_default();
    match request.source() {
        Ok(_) if streams => {
            let answer = crate::http::in_pieces(error.into_response()).await;
            Ok(FunctionResponse::StreamingResponse(answer))
        }
        Ok(source) => {
            let answer = Answer::of_error(source, error, HeaderMap::new()).await;
            let answer = Output::Http(Box::new(answer));
            Ok(FunctionResponse::BufferedResponse(answer))
        }
        Err(_) => Err(Failure {
            kind,
            message: error.to_string(),
        }),
    }
}

/// The time until Lambda ends an invocation.
fn time_left(context: &Context, world: &World) -> Duration {
    let now = u64::try_from(world.clock.wall_micros()).unwrap_or(0);
    let ends = context.deadline.saturating_mul(1000);
    Duration::from_micros(ends.saturating_sub(now))
}

/// What answers where the configuration can't be used. The reason is in the log, and nobody else's business.
#[derive(Debug)]
struct Unconfigured;

#[async_trait]
impl Function for Unconfigured {
    async fn warm(&self) {}

    async fn handle(&self, event: &RawValue, _: Duration) -> Result<Reply, Failure> {
        let message = "the function is not configured; its log tells why";
        let error = ApiError::json(Kind::Internal, message);
        refused(event, error, "Configuration", self.streams()).await
    }

    /// As far as that can be known.
    fn streams(&self) -> bool {
        std::env::var("NEAP_RESPONSE_STREAMING").is_ok_and(|value| value == "true")
    }
}
