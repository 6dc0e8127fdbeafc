//! The compact function.

mod backups;
mod events;
mod queue;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use clap::{Args, Parser, builder::BoolishValueParser};
use futures::future::join;
use lambda_runtime::FunctionResponse;
use neap_bucket::World;
use neap_catalog::Catalog;
use neap_compact::{
    CompactParts, CompactionReport, Compactor, CompactorEvent, CompactorSettings, EventDispatcher,
    FlushLimits, GarbageCollectorSettings, MergePolicy,
};
use neap_schema::DatabaseId;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::OnceCell;

use self::backups::{BackupOptions, FunctionBackups};
pub use self::{
    events::{CompactEvent, CompactTask},
    queue::OrderQueue,
};
use crate::{
    interface::{
        EventSource, Interface, PrefixAccess, ScheduleInput,
        StoreAction::{Delete, Get, List, Put},
    },
    options::{CommonOptions, OptionsError, parse_count, parse_duration},
    runtime::{BufferedReply, EventFailure, EventReply, Function, Program},
    store::FunctionStore,
};

/// Time before the deadline of an invocation at which no new work starts, because work in progress must still be
/// committed.
const RESERVE: Duration = Duration::from_secs(5);

/// Time before the deadline of an invocation at which work in progress is abandoned, so that the failure can be
/// reported.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// Minimum memory for merges in bytes.
const MIN_MERGE_BYTES: u64 = 80 << 20;

/// Options of the compact function.
#[derive(Clone, Debug, Parser)]
#[command(name = "neap-lambda-compact")]
pub struct CompactFunctionOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    compaction: CompactionOptions,
    #[command(flatten)]
    backups: BackupOptions,
}

impl AsRef<CommonOptions> for CompactFunctionOptions {
    fn as_ref(&self) -> &CommonOptions {
        &self.common
    }
}

/// Options of flushes, merges, and garbage collection.
#[derive(Args, Clone, Debug)]
pub struct CompactionOptions {
    /// How far back queries can read an earlier state: dropped data is kept for this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    time_travel: Duration,

    /// Maximum duration of a query on this store: the largest `NEAP_QUERY_TIMEOUT` of its functions. The time-travel
    /// period must be at least twice as long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m")]
    query_timeout: Duration,

    /// Trust the store's clock even if this machine's clock differs from it by more than five minutes
    #[arg(long, value_parser = BoolishValueParser::new())]
    trust_store_clock: bool,

    /// Maximum number of concurrent merges in an invocation
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "1")]
    compaction_jobs: usize,

    /// The URL of the SQS queue for flush and merge orders; without one, the invocation runs all flushes and merges
    /// itself
    #[arg(long, value_name = "URL")]
    merge_queue_url: Option<String>,

    /// The URL of the SQS endpoint, if it differs from that of the queue
    #[arg(long, value_name = "URL")]
    sqs_endpoint: Option<String>,
}

/// The compact function. It creates the compactor on first use, when it has read the rules of the cluster.
#[derive(Debug)]
pub struct CompactFunction {
    options: CompactFunctionOptions,
    opened: FunctionStore,
    dispatcher: Option<Arc<dyn EventDispatcher>>,
    collects: GarbageCollectorSettings,
    compactor: OnceCell<Compactor>,
    backups: OnceCell<FunctionBackups>,
}

impl CompactFunction {
    /// Creates the function without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    pub fn new(options: &CompactFunctionOptions, world: &World) -> Result<Self, OptionsError> {
        options.backups.check(&options.common.store)?;
        let compaction = &options.compaction;
        let opened = FunctionStore::open(&options.common.store, world)?
            .trusting_store_clock(compaction.trust_store_clock);
        let collects =
            GarbageCollectorSettings::for_queries(compaction.time_travel, compaction.query_timeout)
                .map_err(|error| OptionsError::Unusable {
                    option: "time-travel",
                    reason: error.to_string(),
                })?;
        let url = compaction.merge_queue_url.as_deref();
        let dispatcher = url
            .filter(|url| !url.is_empty())
            .map(|url| {
                let endpoint = compaction.sqs_endpoint.as_deref();
                OrderQueue::new(url, endpoint, &options.common.store.aws, world)
            })
            .transpose()?;
        Ok(Self {
            dispatcher: dispatcher.map(|queue| Arc::new(queue) as Arc<dyn EventDispatcher>),
            options: options.clone(),
            opened,
            collects,
            compactor: OnceCell::new(),
            backups: OnceCell::new(),
        })
    }

    fn world(&self) -> &World {
        self.opened.bucket.world()
    }

    /// Returns the compactor. The first call reads from the store.
    async fn compactor(&self) -> Result<&Compactor, EventFailure> {
        let made = self.compactor.get_or_try_init(|| self.assemble());
        made.await
    }

    /// Returns the components of backups. The first call reads from the store.
    async fn backups(&self) -> Result<&FunctionBackups, EventFailure> {
        let made = self.backups.get_or_try_init(|| {
            let CompactFunctionOptions { common, backups, .. } = &self.options;
            FunctionBackups::new(&self.opened, self.flush_limits(), backups, &common.store)
        });
        made.await
    }

    fn flush_limits(&self) -> FlushLimits {
        let memory = self.options.common.memory_bytes() as u64;
        FlushLimits {
            segment_bytes: (memory / 32).clamp(4 << 20, 64 << 20),
            // The rows of a table with caches exist up to about two times: deduplicated, and encoded as sections.
            table_bytes: memory / 10,
            cached_bytes: memory / 16,
            ..FlushLimits::default()
        }
    }

    async fn assemble(&self) -> Result<Compactor, EventFailure> {
        let FunctionStore { bucket, margins, .. } = &self.opened;
        let rules = Catalog::new(bucket.clone(), *margins, None)
            .rules()
            .await
            .map_err(|error| EventFailure { kind: "Catalog", message: error.to_string() })?;
        let compaction = &self.options.compaction;
        let memory = self.options.common.memory_bytes() as u64;
        let merge_memory = memory / 10 * 6;
        if merge_memory < MIN_MERGE_BYTES {
            let function_mib = memory >> 20;
            tracing::warn!(
                function_mib,
                "the function has too little memory for merges; configure at least 256 MB"
            );
        }
        let parts = CompactParts {
            bucket: bucket.clone(),
            margins: *margins,
            rules,
            flush: self.flush_limits(),
            merge: MergePolicy::default(),
            collect: self.collects,
            settings: CompactorSettings {
                merge_memory_bytes: merge_memory,
                parallel_merges: compaction.compaction_jobs,
                ..CompactorSettings::default()
            },
        };
        Ok(parts.assemble(self.dispatcher.clone()))
    }

    /// Handles an event within the time that is left.
    ///
    /// # Errors
    /// The event is invalid, or the work failed.
    pub async fn run(&self, event: CompactEvent, left: Duration) -> Result<Value, EventFailure> {
        let ends = self.world().clock.monotonic().saturating_add(left);
        match event {
            CompactEvent::Task(order) => self.run_task(order, ends).await,
            CompactEvent::Messages(messages) => {
                let mut failed = Vec::new();
                for message in messages {
                    let done = match message.order {
                        Ok(order) => self.run_task(order, ends).await,
                        Err(reason) => Err(EventFailure { kind: "Event", message: reason }),
                    };
                    if let Err(error) = done {
                        tracing::warn!(message = message.id, %error, "a message failed");
                        failed.push(json!({ "itemIdentifier": message.id }));
                    }
                }
                Ok(json!({ "batchItemFailures": failed }))
            }
        }
    }

    /// Runs one task and ends before `ends` by the monotonic clock.
    async fn run_task(&self, task: CompactTask, ends: Duration) -> Result<Value, EventFailure> {
        let left = ends.saturating_sub(self.world().clock.monotonic());
        let limit = left.saturating_sub(RESERVE.max(left / 10));
        if limit.is_zero() {
            return Err(out_of_time("no time was left to start"));
        }
        let work = async {
            match task.compaction() {
                Some(event) => self.work(&event, limit).await,
                None => {
                    let made = self.backups().await?.make().await?;
                    Ok(json!({ "backups": made }))
                }
            }
        };
        let done = self.world().timeout(left.saturating_sub(ANSWER_RESERVE), work);
        done.await.unwrap_or_else(|| {
            let reason = "the store is too slow: the invocation timed out before the work was complete; \
                          committed work is kept";
            Err(out_of_time(reason))
        })
    }

    /// Runs one task. No new work starts after `limit`.
    async fn work(&self, event: &CompactorEvent, limit: Duration) -> Result<Value, EventFailure> {
        let compactor = self.compactor().await?;
        let (handled, backups) =
            join(compactor.handle(event, Some(limit)), self.look_after_backups(event)).await;
        let report = handled
            .map_err(|error| EventFailure { kind: "Compaction", message: error.to_string() })?;
        log_report(event, &report, compactor);
        match (event, report.failures.first()) {
            // Committed work is kept. The invocation must fail, because Lambda's metrics count only failed invocations.
            (_, Some((database, reason))) => Err(EventFailure {
                kind: "Compaction",
                message: failed(*database, reason, report.failures.len()),
            }),
            // The queue sends the order again.
            (CompactorEvent::Merge(_) | CompactorEvent::Flush(_), None) if report.has_more() => {
                Err(EventFailure {
                    kind: "Postponed",
                    message: "the order was postponed to another run".to_owned(),
                })
            }
            _ => {
                backups?;
                Ok(said(&report))
            }
        }
    }

    /// Continues interrupted backups during a collection.
    async fn look_after_backups(&self, event: &CompactorEvent) -> Result<usize, EventFailure> {
        match event {
            CompactorEvent::Collect => self.backups().await?.look_after().await,
            _ => Ok(0),
        }
    }
}

fn out_of_time(reason: &str) -> EventFailure {
    EventFailure { kind: "OutOfTime", message: reason.to_owned() }
}

/// Logs the report with the fields from which metrics are derived.
fn log_report(event: &CompactorEvent, report: &CompactionReport, compactor: &Compactor) {
    let debt = compactor.debt();
    for (database, reason) in &report.failures {
        tracing::warn!(%database, reason, "maintenance of a database failed");
    }
    let name = match event {
        CompactorEvent::Scheduled => "scheduled",
        CompactorEvent::Flush(_) => "flush",
        CompactorEvent::Merge(_) => "merge",
        CompactorEvent::Collect => "collect",
    };
    tracing::info!(
        event = name,
        flushes = report.flushes,
        flushes_handed_out = report.flushes_handed_out,
        merges = report.merges,
        handed_out = report.handed_out,
        failures = report.failures.len(),
        unfinished = report.unfinished,
        tail_segments = report.tails.segments,
        tail_bytes = report.tails.bytes,
        tail_oldest_seconds = report.tails.oldest.as_secs(),
        due_merges = debt.merges,
        due_bytes = debt.bytes,
        "compacted"
    );
}

/// Returns the error message of an invocation.
fn failed(database: DatabaseId, reason: &str, failures: usize) -> String {
    match failures.saturating_sub(1) {
        0 => format!("database {database}: {reason}"),
        others => format!("database {database}: {reason}; and {others} more failures"),
    }
}

/// Returns the result of an invocation as JSON.
fn said(report: &CompactionReport) -> Value {
    json!({
        "flushes": report.flushes,
        "flushes_handed_out": report.flushes_handed_out,
        "merges": report.merges,
        "handed_out": report.handed_out,
        "removed": report.removed,
        "caches": report.caches,
        "collected": {
            "segments": report.collected.segments,
            "objects": report.collected.objects,
            "orphans": report.collected.orphans,
            "results": report.collected.results,
        },
        "unfinished": report.has_more(),
    })
}

#[async_trait]
impl Function for CompactFunction {
    async fn warm(&self) {
        if let Err(error) = self.compactor().await {
            tracing::warn!(%error, "warm-up failed; the first event retries");
        }
    }

    async fn handle(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        let event = CompactEvent::parse(event.get())?;
        let said = self.run(event, left).await?;
        Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(said)))
    }
}

/// The `neap-lambda-compact` binary.
#[derive(Debug)]
pub struct CompactProgram;

impl Program for CompactProgram {
    type Options = CompactFunctionOptions;

    const INTERFACE: Interface = Interface {
        function: "compact",
        endpoints: &[],
        events: &[
            EventSource::Schedule { input: ScheduleInput { event: "scheduled" } },
            EventSource::Schedule { input: ScheduleInput { event: "collect" } },
            EventSource::Schedule { input: ScheduleInput { event: "backup" } },
            EventSource::Sqs { carries: "flush and merge orders" },
        ],
        store: COMPACT_ACCESS,
        calls: &["sqs:SendMessage", "s3express:CreateSession"],
    };

    fn open(
        options: &CompactFunctionOptions,
        world: &World,
    ) -> Result<Arc<dyn Function>, OptionsError> {
        Ok(Arc::new(CompactFunction::new(options, world)?))
    }
}

const COMPACT_ACCESS: &[PrefixAccess] = &[
    PrefixAccess::new("catalog", &[Get, Put]),
    PrefixAccess::new("db/", &[List, Get, Put, Delete]),
    PrefixAccess::new("backups/", &[Get, Put]),
    PrefixAccess::new("tail/", &[List, Get, Put, Delete]),
    PrefixAccess::new("data/", &[List, Get, Put, Delete]),
    PrefixAccess::new("cache/", &[List, Get, Put, Delete]),
    PrefixAccess::new("engine/", &[List, Get, Delete]),
    PrefixAccess::new("plugins/", &[List, Delete]),
    PrefixAccess::new("results/", &[List, Delete]),
    PrefixAccess::new("nodes/", &[List, Delete]),
    // `neap compact` publishes tables, and every collector removes outdated ones.
    PrefixAccess::new("published/", &[List, Delete]),
];
