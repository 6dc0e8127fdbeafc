//! The life of an instance.
//!
//! ```text
//!   configuration ── extension registered ∥ what the first event needs read ── event, event, … ── SIGTERM
//! ```
//!
//! What fails at the start does not end the instance: an event is then answered with what is wrong, or the store
//! is asked again. Lambda freezes an instance between events, so nothing is left under way after an answer.

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc, time::Duration};

use ::http::HeaderMap;
use async_trait::async_trait;
use clap::Parser;
use futures::FutureExt;
use lambda_extension::{Error, Extension};
use lambda_runtime::{
    Context, Diagnostic, FunctionResponse, LambdaEvent, Runtime, layers::TracingLayer, service_fn,
};
use neap_bucket::World;
use neap_http::{ApiError, Kind};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    http::{Answer, EventError, HttpEvent, ReplyStream},
    interface::Interface,
    logging,
    options::{self, CommonOptions, OptionsError},
};

/// The longest that an instance waits before its first event for what that will need anyway. What is still under
/// way then is given up, so that nothing is frozen with it.
const WARM_LIMIT: Duration = Duration::from_secs(2);

/// What Lambda leaves between SIGTERM and the end is half a second.
const STOP_LIMIT: Duration = Duration::from_millis(400);

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

    /// Brings to an end what may be lost otherwise; briefly.
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
        Ok(runtime) => runtime
            .block_on(serve::<P>())
            .map_err(|error| error.to_string()),
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

/// The threads of an instance: one more than it has processors. A query has a partition for each of these, and when all of
/// them compute, somebody has to notice that the time is over.
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
    let (registered, _) = tokio::join!(register(), warm);
    if let Err(error) = registered {
        tracing::warn!(error, "the end of the instance will come without a warning");
    }
    let handler = {
        let (function, world) = (Arc::clone(&function), world.clone());
        service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let (function, world) = (Arc::clone(&function), world.clone());
            async move { handle(function.as_ref(), &world, event).await }
        })
    };
    let runtime = Runtime::new(handler).layer(TracingLayer::new());
    tokio::select! {
        ended = runtime.run_concurrent() => ended?,
        _ = terminated.recv() => {
            if world.timeout(STOP_LIMIT, function.stop()).await.is_none() {
                tracing::warn!("the instance ended before all was done");
            }
            tracing::info!("stopped");
        }
    }
    Ok(())
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

/// Handles an event, whatever it makes the function do.
async fn handle(
    function: &dyn Function,
    world: &World,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Reply, Failure> {
    let left = time_left(&event.context, world);
    let handled = AssertUnwindSafe(function.handle(&event.payload, left)).catch_unwind();
    handled.await.unwrap_or_else(|panic| {
        let error = crate::http::panicked(panic.as_ref());
        Err(Failure {
            kind: "Panic",
            message: error.to_string(),
        })
    })
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
        let event = serde_json::from_str::<HttpEvent>(event.get()).unwrap_or_default();
        match event.source() {
            Ok(source) => {
                let error = ApiError::json(Kind::Internal, message);
                let answer = Answer::of_error(source, error, HeaderMap::new()).await;
                Ok(FunctionResponse::BufferedResponse(Output::Http(Box::new(
                    answer,
                ))))
            }
            Err(_) => Err(Failure {
                kind: "Configuration",
                message: message.to_owned(),
            }),
        }
    }
}
