//! The engine runs the triggers of a cluster on one instance.
//!
//! ```text
//!  writer ── segment put ──▶ Feed of each WAL trigger ──▶ run ──▶ processed ──▶ checkpoint (every few seconds)
//!  sweep ─── LIST of the tail ──▶   │                      │
//!  clock ─── tick, claimed ─────────┼──────────────────────┤
//!  request ─────────────────────────┘                      └──▶ lines are written with depth + 1
//! ```
//!
//! In a long-lived process, [`Engine::run`] does all of this until it is stopped. A function that is started by events
//! calls [`Engine::handle_segments`], [`Engine::handle_schedule`] and [`Engine::sweep`], which leave no task running.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Bucket, ClockReading, ProtocolRules, SegmentName};
use neap_catalog::{Catalog, CatalogError, EngineLogs};
use neap_http::Metrics;
use neap_schema::DatabaseId;
use neap_wal::{Segment, SegmentObserver, TailReader, trigger_floor};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::{
    DatabaseAccess, EngineSettings, PluginRuntime, TriggerKey,
    active_triggers::{ActiveTrigger, ActiveTriggers},
    checkpoint::{OfferOutcome, TriggerFeed, TriggerFeedParts, TriggerRef},
    logs::PluginLog,
    metrics::EngineMetrics,
    run::TriggerRunner,
};

/// The components of an [`Engine`].
#[derive(Debug)]
pub struct EngineParts {
    /// The bucket with checkpoints and claims.
    pub bucket: Bucket,
    /// The catalogs.
    pub catalog: Arc<Catalog>,
    /// The rules of the storage protocol.
    pub rules: ProtocolRules,
    /// The reader of segments; ideally the reader that queries use, because they share its cache.
    pub tail: TailReader,
    /// The database that plugins query and write.
    pub database: Arc<dyn DatabaseAccess>,
    /// The runtime of plugins.
    pub plugins: Arc<dyn PluginRuntime>,
    /// The sink for log lines of plugins.
    pub logs: Arc<EngineLogs>,
    /// The settings.
    pub settings: EngineSettings,
    /// The registry for the metrics of runs.
    pub metrics: Metrics,
}

/// Runs triggers. Each instance has one engine.
#[derive(derive_more::Debug)]
#[debug("Engine {{ holder: {holder:?}, .. }}")]
pub struct Engine {
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rules: ProtocolRules,
    pub(crate) tail: TailReader,
    pub(crate) settings: EngineSettings,
    pub(crate) runner: TriggerRunner,
    pub(crate) roster: ActiveTriggers,
    /// Identifies this instance in leases and claims.
    pub(crate) holder: Ulid,
    sole_writer: AtomicBool,
    feeds: Mutex<BTreeMap<TriggerRef, Arc<TriggerFeed>>>,
    /// Tokens that end the tasks of triggers that are disabled or deleted.
    closing: Mutex<BTreeMap<TriggerRef, CancellationToken>>,
    /// The runs for requests. They are tasks of their own, because a run goes on if its client disconnects.
    request_runs: Mutex<JoinSet<()>>,
    /// Held while the triggers are read.
    refreshing: tokio::sync::Mutex<()>,
    /// The databases whose tail was listed, with a notification of every segment since.
    known_tails: Mutex<BTreeSet<DatabaseId>>,
    /// Notified when this process changes the catalog.
    pub(crate) changed: Notify,
    /// The number of these changes, followed by the number of changes that the roster shows.
    changes: AtomicU64,
    shown_changes: AtomicU64,
    /// Notified when a checkpoint must be saved.
    pub(crate) dirty: Notify,
    /// Notified when a sweep must run now.
    pub(crate) doubt: Notify,
    pub(crate) stopping: CancellationToken,
    /// The memory budget for decoded segments; one permit is 1 KiB.
    decoded: Semaphore,
}

/// A limit on the duration of some work, measured from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeBudget {
    started_at: ClockReading,
    limit: Option<Duration>,
}

impl TimeBudget {
    /// Creates a budget without a limit.
    pub(crate) fn unlimited(bucket: &Bucket) -> Self {
        Self { started_at: bucket.world().clock_reading(), limit: None }
    }

    /// Creates a budget of `limit` from now.
    pub(crate) fn limited(bucket: &Bucket, limit: Duration) -> Self {
        Self { limit: Some(limit), ..Self::unlimited(bucket) }
    }

    /// Returns the remaining time; `None` if there is no limit.
    pub(crate) fn left(&self, bucket: &Bucket) -> Option<Duration> {
        let spent = bucket.world().elapsed(&self.started_at);
        self.limit.map(|limit| limit.saturating_sub(spent))
    }
}

/// The queued segments of a trigger, for metrics.
#[derive(Clone, Debug)]
pub(crate) struct TriggerBacklog {
    pub(crate) database: Arc<str>,
    pub(crate) trigger: Arc<str>,
    pub(crate) pending: usize,
    pub(crate) lag: Duration,
}

impl Engine {
    /// Creates an engine that has not read the triggers yet.
    pub fn new(parts: EngineParts) -> Arc<Self> {
        let metrics = EngineMetrics::new(&parts.metrics);
        let world = parts.bucket.world().clone();
        let engine = Arc::new(Self {
            holder: Ulid(world.entropy.next_u128()),
            runner: TriggerRunner {
                plugins: parts.plugins,
                database: parts.database,
                log: PluginLog::new(parts.logs, world.clone()),
                metrics,
                world,
            },
            decoded: Semaphore::new(kibibytes(parts.settings.max_decoded_bytes)),
            bucket: parts.bucket,
            catalog: parts.catalog,
            rules: parts.rules,
            tail: parts.tail,
            sole_writer: AtomicBool::new(parts.settings.sole_writer),
            settings: parts.settings,
            roster: ActiveTriggers::new(parts.settings.plugin_folder_only),
            feeds: Mutex::default(),
            closing: Mutex::default(),
            request_runs: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            known_tails: Mutex::default(),
            changed: Notify::new(),
            changes: AtomicU64::default(),
            shown_changes: AtomicU64::default(),
            dirty: Notify::new(),
            doubt: Notify::new(),
            stopping: CancellationToken::new(),
        });
        engine.register_scraped_metrics(&parts.metrics);
        engine
    }

    /// Declares that other instances may write from now on.
    pub fn end_sole_writer(&self) {
        self.sole_writer.store(false, Ordering::Relaxed);
        self.doubt.notify_one();
    }

    pub(crate) fn is_sole_writer(&self) -> bool {
        self.sole_writer.load(Ordering::Relaxed)
    }

    /// Notifies the engine that this process changed triggers, or databases with triggers, in the catalog. Does not
    /// block.
    pub fn triggers_changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Returns whether the roster lacks changes that this process made.
    pub(crate) fn has_unread_changes(&self) -> bool {
        self.shown_changes.load(Ordering::Acquire) < self.changes.load(Ordering::Acquire)
    }

    /// Returns the logs of plugins.
    pub fn logs(&self) -> &EngineLogs {
        self.runner.log.logs()
    }

    pub(crate) fn dropped_log_lines(&self) -> u64 {
        self.logs().dropped()
    }

    fn all_feeds(&self) -> MutexGuard<'_, BTreeMap<TriggerRef, Arc<TriggerFeed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known_tails(&self) -> MutexGuard<'_, BTreeSet<DatabaseId>> {
        let tails = self.known_tails.lock();
        tails.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the feeds of all triggers on writes.
    pub(crate) fn feeds(&self) -> Vec<Arc<TriggerFeed>> {
        self.all_feeds().values().map(Arc::clone).collect()
    }

    /// Returns the feed of a trigger, if it is a trigger on writes.
    pub(crate) fn feed(&self, key: TriggerRef) -> Option<Arc<TriggerFeed>> {
        self.all_feeds().get(&key).map(Arc::clone)
    }

    pub(crate) fn feeds_of(&self, database: DatabaseId) -> Vec<Arc<TriggerFeed>> {
        let feeds = self.all_feeds();
        let of_database = feeds.range(TriggerRef::of_database(database));
        of_database.map(|(_, feed)| Arc::clone(feed)).collect()
    }

    /// Returns the databases that have triggers on writes.
    pub(crate) fn databases_with_feeds(&self) -> Vec<DatabaseId> {
        let feeds = self.all_feeds();
        let mut databases: Vec<DatabaseId> = feeds.keys().map(|key| key.database).collect();
        databases.dedup();
        databases
    }

    /// Returns the backlog of each trigger on writes.
    pub(crate) fn backlogs(&self) -> Vec<TriggerBacklog> {
        let now = self.bucket.clock().now();
        let backlog = |feed: Arc<TriggerFeed>| {
            let known = self.roster.get(feed.key)?;
            let (pending, oldest) = feed.pending();
            let lag = now.zip(oldest).map(|(now, oldest)| now.since(oldest.time()));
            Some(TriggerBacklog {
                database: Arc::clone(&known.database_name),
                trigger: Arc::from(known.trigger.name.as_str()),
                pending,
                lag: lag.unwrap_or_default(),
            })
        };
        self.feeds().into_iter().filter_map(backlog).collect()
    }

    /// Reads the triggers from catalogs validated at most `max_age` ago, and creates feeds for triggers on writes.
    pub(crate) async fn refresh(&self, max_age: Duration) -> Result<(), CatalogError> {
        let _turn = self.refreshing.lock().await;
        let shown = self.changes.load(Ordering::Acquire);
        let changes = self.roster.refresh(&self.catalog, max_age).await?;
        for gone in &changes.gone {
            self.close(gone);
        }
        for new in &changes.new {
            self.open(new);
        }
        self.shown_changes.fetch_max(shown, Ordering::AcqRel);
        if !changes.new.is_empty() {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn close(&self, known: &ActiveTrigger) {
        self.all_feeds().remove(&known.key());
        if let Some(closed) = self.closing().remove(&known.key()) {
            closed.cancel();
        }
        self.runner
            .plugins
            .forget(&TriggerKey::Trigger { database: known.database, trigger: known.trigger.id });
    }

    fn open(&self, known: &ActiveTrigger) {
        let key = known.key();
        let closed = CancellationToken::new();
        self.closing().insert(key, closed.clone());
        if !known.trigger.specification.runs_on_writes() {
            return;
        }
        let feed = TriggerFeed::new(TriggerFeedParts {
            bucket: self.bucket.clone(),
            key,
            floor: trigger_floor(known.trigger.since, &self.rules),
            recent_put_ids: self.rules.recent_put_ids,
            max_queued: self.settings.max_queued,
            closed,
        });
        self.all_feeds().insert(key, Arc::new(feed));
        // Segments put between the creation of the trigger and now were not offered to it.
        self.known_tails().remove(&key.database);
        self.doubt.notify_one();
    }

    pub(crate) fn request_runs(&self) -> MutexGuard<'_, JoinSet<()>> {
        let runs = self.request_runs.lock();
        runs.unwrap_or_else(PoisonError::into_inner)
    }

    fn closing(&self) -> MutexGuard<'_, BTreeMap<TriggerRef, CancellationToken>> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the token that is cancelled when a trigger is disabled or deleted.
    pub(crate) fn closed(&self, key: TriggerRef) -> Option<CancellationToken> {
        self.closing().get(&key).cloned()
    }

    /// Offers a segment to the triggers of its database.
    pub(crate) fn offer(&self, database: DatabaseId, name: SegmentName) {
        let feeds = self.all_feeds();
        for (_, feed) in feeds.range(TriggerRef::of_database(database)) {
            if feed.offer(name) == OfferOutcome::Full {
                self.known_tails().remove(&database);
            }
        }
    }

    /// Acquires memory for decoded rows, at most the whole budget. `None` if the semaphore is closed.
    pub(crate) async fn acquire_decode_memory(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let needed = kibibytes(bytes.min(self.settings.max_decoded_bytes));
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        self.decoded.acquire_many(needed).await.ok()
    }

    fn has_feeds(&self, database: DatabaseId) -> bool {
        let feeds = self.all_feeds();
        feeds.range(TriggerRef::of_database(database)).next().is_some()
    }
}

/// Returns the number of permits for a number of bytes: KiB, rounded up.
pub(crate) fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024).clamp(1, u32::MAX as usize >> 4)
}

impl SegmentObserver for Engine {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        let name = segment.name();
        if self.has_feeds(database) {
            self.tail.insert(segment);
            self.offer(database, name);
        }
    }

    fn put_unknown(&self, database: DatabaseId) {
        self.known_tails().remove(&database);
    }
}
