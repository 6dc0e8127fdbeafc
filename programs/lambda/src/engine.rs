//! The engine function: runs plugins on requests, on schedules, and on new segments.

mod events;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::Router;
use clap::Parser;
use lambda_runtime::FunctionResponse;
use neap_assembly::{ProcessingEngine, ProcessingParts};
use neap_bucket::{StoreTime, World};
use neap_engine::{Engine, SegmentDelivery, WorkReport};
use neap_http::{ApiError, BodyLimits, EndpointFunction};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::OnceCell;

pub use self::events::{EngineEvent, NotificationMessage, SegmentRef, TailLocation};
use crate::{
    http::{HttpFunction, RouteProvider},
    interface::{
        EventSource, Interface, PrefixAccess, ScheduleInput,
        StoreAction::{Abort, Get, List, Put},
    },
    options::{CommonOptions, OptionsError, PluginOptions},
    query::{QueryService, QueryServiceOptions},
    runtime::{BufferedReply, EventFailure, EventReply, Function, Program},
    store::FunctionStore,
};

/// Time before the deadline of an invocation at which plugins stop. The rest is for saving their progress and logs.
const RESERVE: Duration = Duration::from_secs(2);

/// Minimum time between two saves of plugin logs after responses to requests. Logs are also saved when the instance
/// ends. Standard output has them in any case.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum time that a response waits for saving plugin logs.
const SAVE_LIMIT: Duration = Duration::from_secs(1);

/// Time before the deadline of an invocation at which all waiting ends.
const LAST_RESERVE: Duration = Duration::from_millis(300);

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Options of the engine function.
#[derive(Clone, Debug, Parser)]
#[command(name = "neap-lambda-engine")]
pub struct EngineFunctionOptions {
    #[command(flatten)]
    service: QueryServiceOptions,
    #[command(flatten)]
    plugins: PluginOptions,
}

impl AsRef<CommonOptions> for EngineFunctionOptions {
    fn as_ref(&self) -> &CommonOptions {
        &self.service.common
    }
}

/// Creates the processing engine on first use, when the catalog has been read.
#[derive(Debug)]
pub(crate) struct EngineRouteProvider {
    plugins: PluginOptions,
    service: QueryService,
    processing: OnceCell<ProcessingEngine>,
}

impl EngineRouteProvider {
    /// Creates the provider without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(
        options: &EngineFunctionOptions,
        opened: FunctionStore,
    ) -> Result<Self, OptionsError> {
        Ok(Self {
            service: QueryService::new(&options.service, opened)?,
            plugins: options.plugins.clone(),
            processing: OnceCell::new(),
        })
    }

    async fn processing(&self) -> Result<&ProcessingEngine, ApiError> {
        self.processing.get_or_try_init(|| self.assemble()).await
    }

    async fn assemble(&self) -> Result<ProcessingEngine, ApiError> {
        let parts = self.service.assemble().await?;
        let writes = &self.service.options.writes;
        let body = BodyLimits {
            max_bytes: writes.limits.max_http_request_size,
            timeout: writes.http_timeout,
        };
        Ok(ProcessingEngine::new(ProcessingParts {
            catalog: Arc::clone(&self.service.catalog),
            rules: parts.rules,
            tail: parts.tail,
            writes: parts.writes,
            queries: Arc::new(parts.engine),
            metrics: self.service.opened.metrics.clone(),
            settings: self.plugins.settings(body),
        }))
    }
}

#[async_trait]
impl RouteProvider for EngineRouteProvider {
    async fn routes(&self) -> Result<Router, ApiError> {
        Ok(self.processing().await?.routes())
    }

    fn complete(&self, routes: Router) -> Router {
        self.service.complete(routes)
    }

    fn begin_shutdown(&self) {
        self.service.begin_shutdown();
    }
}

/// The engine function.
#[derive(Debug)]
pub struct EngineFunction {
    parts: Arc<EngineRouteProvider>,
    http: HttpFunction,
    home: TailLocation,
    /// Time of the last save of plugin logs, by the monotonic clock.
    saved: Mutex<Option<Duration>>,
}

impl EngineFunction {
    /// Creates the function without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    pub fn new(options: &EngineFunctionOptions, world: &World) -> Result<Self, OptionsError> {
        let opened = options.service.open(world)?;
        let parts = Arc::new(EngineRouteProvider::new(options, opened)?);
        let http = parts.service.http_function(Arc::clone(&parts) as _);
        let store = &options.service.common.store;
        Ok(Self {
            parts,
            http,
            home: TailLocation {
                bucket: store.bucket.clone().filter(|bucket| is_named_in_notifications(bucket)),
                prefix: store.key_prefix()?,
            },
            saved: Mutex::default(),
        })
    }

    fn world(&self) -> &World {
        self.parts.service.opened.bucket.world()
    }

    async fn engine(&self) -> Result<&Arc<Engine>, EventFailure> {
        let processing = self
            .parts
            .processing()
            .await
            .map_err(|error| EventFailure { kind: "Catalog", message: error.to_string() })?;
        Ok(processing.engine())
    }

    async fn request(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        let clock = &self.world().clock;
        let ends = clock.monotonic().saturating_add(left);
        let reply = self.http.handle(event, left).await?;
        // Logs that are not saved now are saved after a later response, or when the instance ends.
        let rest = ends.saturating_sub(clock.monotonic());
        let limit = rest.saturating_sub(LAST_RESERVE).min(SAVE_LIMIT);
        if let Some(processing) = self.parts.processing.get()
            && !limit.is_zero()
            && processing.engine().logs().is_unsaved()
            && self.is_time_to_save()
        {
            self.save_logs(processing.engine(), limit).await;
        }
        Ok(reply)
    }

    /// Saves plugin logs. If this takes longer than `limit`, the logs stay in memory.
    async fn save_logs(&self, engine: &Engine, limit: Duration) {
        match self.world().timeout(limit, engine.logs().save()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "failed to save the logs of plugins"),
            None => tracing::warn!("no time was left to save the logs of plugins"),
        }
    }

    fn is_time_to_save(&self) -> bool {
        let now = self.world().clock.monotonic();
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = saved.is_none_or(|saved| now.saturating_sub(saved) >= LOG_INTERVAL);
        if is_time {
            *saved = Some(now);
        }
        is_time
    }

    /// Handles an event that is not a request, within the time that is left.
    ///
    /// # Errors
    /// The work failed or is incomplete.
    pub async fn run(&self, event: EngineEvent, left: Duration) -> Result<Value, EventFailure> {
        let ids = match &event {
            EngineEvent::Messages(messages) => messages.iter().map(|one| one.id.clone()).collect(),
            _ => Vec::new(),
        };
        let limit = left.saturating_sub(LAST_RESERVE);
        let work = self.work(event, left);
        if let Some(done) = self.world().timeout(limit, work).await {
            return done;
        }
        tracing::warn!("the invocation timed out before the progress of triggers was saved");
        if ids.is_empty() {
            Err(EventFailure {
                kind: "OutOfTime",
                message: "the invocation timed out before all progress was saved".to_owned(),
            })
        } else {
            // The queue sends all of them again. Triggers do not run twice for segments whose progress was saved.
            Ok(retry_all_messages(ids))
        }
    }

    async fn work(&self, event: EngineEvent, left: Duration) -> Result<Value, EventFailure> {
        let clock = &self.world().clock;
        let ends = clock.monotonic().saturating_add(left.saturating_sub(RESERVE));
        let engine = self.engine().await?;
        let left = || ends.saturating_sub(clock.monotonic());
        match event {
            EngineEvent::Request => Err(EventFailure {
                kind: "Event",
                message: "a request cannot run in the background".to_owned(),
            }),
            EngineEvent::Schedule { time } => {
                let time = time.unwrap_or_else(|| self.current_minute());
                let ticks = engine.handle_schedule(time, left()).await;
                let swept = engine.sweep(left()).await;
                said(&[("schedule", ticks), ("sweep", swept)])
            }
            EngineEvent::Sweep => said(&[("sweep", engine.sweep(left()).await)]),
            EngineEvent::NewSegments(segments) => {
                let delivered = engine.handle_segments(segments, left()).await;
                match delivered.iter().find_map(|one| one.result.as_ref().err()) {
                    None => Ok(json!({ "delivered": delivered.len() })),
                    Some(reason) => Err(EventFailure { kind: "Delivery", message: reason.clone() }),
                }
            }
            EngineEvent::Messages(messages) => {
                let segments = messages.iter().flat_map(|one| one.segments.iter().flatten());
                let delivered = engine.handle_segments(segments.copied().collect(), left());
                let failed = failed(messages, &delivered.await);
                Ok(json!({ "batchItemFailures": failed }))
            }
        }
    }

    /// Returns the start of the current minute, by the store's clock.
    fn current_minute(&self) -> StoreTime {
        let wall = self.world().clock.wall_micros();
        let now = self.parts.service.opened.bucket.clock().now();
        let micros = now.map_or(wall, StoreTime::micros);
        StoreTime::from_micros(micros - micros.rem_euclid(MICROS_PER_MINUTE))
    }
}

/// Returns whether notifications use this bucket name. For an access point they contain another name.
fn is_named_in_notifications(bucket: &str) -> bool {
    !bucket.is_empty() && !bucket.starts_with("arn:") && !bucket.ends_with("-s3alias")
}

/// Builds the response to a queue that makes all its messages visible again.
fn retry_all_messages(ids: Vec<String>) -> Value {
    let failed = ids.into_iter().map(|id| json!({ "itemIdentifier": id }));
    json!({ "batchItemFailures": failed.collect::<Vec<_>>() })
}

/// Returns the messages that the queue must send again: those with a segment that some trigger has not processed, and
/// those that cannot be parsed, which end in the dead-letter queue.
fn failed(messages: Vec<NotificationMessage>, delivered: &[SegmentDelivery]) -> Vec<Value> {
    let reason = |segment: &SegmentRef| {
        let is_it = |one: &&SegmentDelivery| (one.database, one.name) == *segment;
        let one = delivered.iter().find(is_it)?;
        one.result.as_ref().err().cloned()
    };
    let failed = messages.into_iter().filter_map(|message| {
        let reason = match &message.segments {
            Ok(segments) => segments.iter().find_map(reason)?,
            Err(reason) => reason.clone(),
        };
        tracing::warn!(message = message.id, reason, "a message failed");
        Some(json!({ "itemIdentifier": message.id }))
    });
    failed.collect()
}

/// Returns the work done as JSON, or the first failure.
fn said(reports: &[(&'static str, WorkReport)]) -> Result<Value, EventFailure> {
    for (work, report) in reports {
        tracing::info!(
            work,
            done = report.done,
            failures = report.failures.len(),
            unfinished = report.unfinished,
            "background work finished"
        );
    }
    if let Some(failure) = reports.iter().find_map(|(_, report)| report.failures.first()) {
        return Err(EventFailure { kind: "Delivery", message: failure.clone() });
    }
    let done = reports.iter().map(|(work, report)| {
        let said = json!({ "done": report.done, "unfinished": report.unfinished });
        ((*work).to_owned(), said)
    });
    Ok(Value::Object(done.collect()))
}

#[async_trait]
impl Function for EngineFunction {
    async fn warm(&self) {
        self.http.warm().await;
    }

    async fn handle(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        match EngineEvent::parse(event.get(), &self.home)? {
            EngineEvent::Request => self.request(event, left).await,
            work => {
                let said = self.run(work, left).await?;
                Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(said)))
            }
        }
    }

    fn streams(&self) -> bool {
        self.http.streams()
    }

    fn begin_shutdown(&self) {
        self.http.begin_shutdown();
    }

    async fn stop(&self) {
        if let Some(processing) = self.parts.processing.get() {
            processing.engine().stop().await;
        }
    }
}

/// The `neap-lambda-engine` binary.
#[derive(Debug)]
pub struct EngineProgram;

impl Program for EngineProgram {
    type Options = EngineFunctionOptions;

    const INTERFACE: Interface = Interface {
        function: "engine",
        endpoints: &[EndpointFunction::Every, EndpointFunction::Engine],
        events: &[
            EventSource::Http,
            EventSource::Schedule { input: ScheduleInput { event: "schedule" } },
            EventSource::Sqs { carries: "s3 notifications" },
            EventSource::S3,
        ],
        store: ENGINE_ACCESS,
        calls: &["s3express:CreateSession"],
    };

    fn open(
        options: &EngineFunctionOptions,
        world: &World,
    ) -> Result<Arc<dyn Function>, OptionsError> {
        Ok(Arc::new(EngineFunction::new(options, world)?))
    }
}

const ENGINE_ACCESS: &[PrefixAccess] = &[
    PrefixAccess::new("catalog", &[Get, Put]),
    PrefixAccess::new("db/", &[List, Get, Put]),
    PrefixAccess::new("tail/", &[List, Get, Put]),
    PrefixAccess::new("data/", &[List, Get]),
    PrefixAccess::new("cache/", &[Get]),
    PrefixAccess::new("engine/", &[List, Get, Put]),
    PrefixAccess::new("plugins/", &[Get, Put]),
    PrefixAccess::new("nodes/", &[List, Get]),
    PrefixAccess::new("results/", &[Get, Put, Abort]),
];
