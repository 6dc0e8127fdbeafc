//! The compact function: handles events with the jobs of this crate.

mod collection;
mod flush_dispatch;
mod merges;
mod publications;
mod scheduled_run;
mod visit;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use neap_bucket::Bucket;
use neap_schema::DatabaseId;
use tokio::sync::Semaphore;

use crate::{
    CacheBackfill, CompactError, CompactionDebt, CompactionReport, CompactorEvent, DamagedObjects,
    EventDispatcher, FlushResult, FlushTriggers, Flusher, GarbageCollector, Maintainer, PlanScope,
    PublishSettings,
    deferred_segments::DeferredSegments,
    job_slots::JobSlots,
    merge::JobLimits,
    parallel_flush::{PARALLEL_DATABASES, ParallelFlusher},
    tails::TailSurvey,
    time_limit::TimeLimit,
    visit_order::RecentFailures,
};

/// Settings of invocations.
#[derive(Clone, Copy, Debug)]
pub struct CompactorSettings {
    /// Thresholds at which a tail is flushed.
    pub triggers: FlushTriggers,
    /// Maximum number of databases processed in parallel. Their flushes share the memory of one flush: a tail as large
    /// as the limit of one flush is flushed alone.
    pub parallel_databases: usize,
    /// Maximum memory of a merge, in bytes.
    pub merge_memory_bytes: u64,
    /// Maximum number of merges that one plan dispatches. Without a dispatcher, a plan has up to 1,000 merges.
    pub max_jobs: usize,
    /// Maximum number of merge batches that run in parallel in the process, if merges are not dispatched: a batch is a
    /// large merge, or up to 256 small merges with one commit.
    pub parallel_merges: usize,
}

impl Default for CompactorSettings {
    /// Default triggers, 16 databases in parallel, 768 MiB for a merge, 64 merges in a plan, one batch at a time.
    fn default() -> Self {
        Self {
            triggers: FlushTriggers::default(),
            parallel_databases: PARALLEL_DATABASES,
            merge_memory_bytes: JobLimits::default().max_memory_bytes,
            max_jobs: 64,
            parallel_merges: 1,
        }
    }
}

/// The compact function.
#[derive(Clone, Debug)]
pub struct Compactor {
    bucket: Bucket,
    flusher: ParallelFlusher,
    maintainer: Maintainer,
    backfill: CacheBackfill,
    collector: GarbageCollector,
    dispatcher: Option<Arc<dyn EventDispatcher>>,
    settings: CompactorSettings,
    deferred: DeferredSegments,
    setbacks: RecentFailures,
    slots: JobSlots,
    /// Permits for merges and for filling caches, each of which may take the memory of a merge.
    merges: Arc<Semaphore>,
}

impl Compactor {
    /// Creates the function from its components. Without a dispatcher, it runs its flushes and merges itself.
    pub fn new(
        bucket: Bucket,
        flusher: Flusher,
        maintainer: Maintainer,
        backfill: CacheBackfill,
        collector: GarbageCollector,
        dispatcher: Option<Arc<dyn EventDispatcher>>,
        settings: CompactorSettings,
    ) -> Self {
        let slots = JobSlots::new(settings.parallel_databases);
        Self {
            bucket,
            flusher: ParallelFlusher::with_slots(flusher, slots.clone()),
            maintainer,
            backfill,
            collector,
            dispatcher,
            settings,
            deferred: DeferredSegments::default(),
            setbacks: RecentFailures::default(),
            slots,
            merges: Arc::new(Semaphore::new(settings.parallel_merges.max(1))),
        }
    }

    /// Publishes tables after each collection and each [`settle`](Self::settle).
    #[must_use]
    pub fn publishing(self, settings: PublishSettings) -> Self {
        Self {
            maintainer: self.maintainer.with_published_tables(Arc::new(settings)),
            ..self
        }
    }

    /// Handles an event within a time limit.
    ///
    /// # Errors
    /// The listing or the catalog cannot be read, or a requested merge failed. Failures of one of several databases are
    /// in the report.
    pub async fn handle(
        &self,
        event: &CompactorEvent,
        limit: Option<Duration>,
    ) -> Result<CompactionReport, CompactError> {
        let time = self.time(limit);
        match event {
            CompactorEvent::Scheduled => self.scheduled(&time).await,
            CompactorEvent::Flush(order) => self.flush_order(order, &time).await,
            CompactorEvent::Merge(order) => self.merge(order, &time).await,
            CompactorEvent::Collect => self.collect(&time).await,
        }
    }

    /// Maximum number of databases processed in parallel.
    pub fn parallel_databases(&self) -> usize {
        self.slots.total()
    }

    /// Flushes a database even if its tail is not due, within the limits of one flush. Waits for flushes in progress,
    /// because it may need all the memory that they share.
    ///
    /// # Errors
    /// The database can't be read, or a segment is damaged.
    pub async fn flush(&self, database: DatabaseId) -> Result<FlushResult, CompactError> {
        self.flusher.flush(database, u64::MAX).await
    }

    /// Flushes databases in parallel, even if their tails are not due, until no remaining segment is old enough.
    /// Returns all flushes of each database, in the order of the databases.
    ///
    /// # Errors
    /// The tails of several databases can't be listed.
    pub async fn flush_all(
        &self,
        databases: Vec<DatabaseId>,
    ) -> Result<
        impl Stream<Item = (DatabaseId, Vec<Result<FlushResult, CompactError>>)> + '_,
        CompactError,
    > {
        // A single database needs no listing of tail sizes.
        let tails = match databases.len() {
            0 | 1 => None,
            _ => Some(TailSurvey::sizes(&self.bucket).await?),
        };
        let bytes_of = move |database: &DatabaseId| match &tails {
            Some(tails) => tails.get(database).map_or(0, |tail| tail.bytes),
            None => u64::MAX,
        };
        let flushes = databases.into_iter().map(move |database| {
            let bytes = bytes_of(&database);
            async move { (database, self.flush_whole(database, bytes).await) }
        });
        Ok(stream::iter(flushes).buffered(self.slots.total()))
    }

    async fn flush_whole(
        &self,
        database: DatabaseId,
        tail_bytes: u64,
    ) -> Vec<Result<FlushResult, CompactError>> {
        let mut flushes = Vec::new();
        loop {
            let flushed = self.flusher.flush(database, tail_bytes).await;
            let more = matches!(flushed, Ok(FlushResult::Done { more: true, .. }));
            flushes.push(flushed);
            if !more {
                return flushes;
            }
        }
    }

    /// Merges a database and deletes its flushed segments. Called after a flush was committed.
    ///
    /// # Errors
    /// The database can't be read, or a merge failed.
    pub async fn after_flush(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<CompactionReport, CompactError> {
        let time = self.time(limit);
        let mut report = CompactionReport::default();
        let manifest = self.maintainer.read(database).await?;
        let collected = self.collector.collect_segments(database, &manifest).await?;
        self.record_collected(database, &manifest, collected, &mut report);
        self.merge_all(database, PlanScope::Recent, &time, &mut report).await?;
        self.fill(database, &time, &mut report).await?;
        Ok(report)
    }

    /// Fills the caches of a database that have no object, such as newly created caches.
    ///
    /// # Errors
    /// The database can't be read, or a section is damaged.
    pub async fn fill_caches(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<CompactionReport, CompactError> {
        let mut report = CompactionReport::default();
        self.fill(database, &self.time(limit), &mut report).await?;
        Ok(report)
    }

    /// Runs all due merges of a database, removes expired data, and deletes garbage.
    ///
    /// # Errors
    /// The database can't be read, or a merge failed.
    pub async fn settle(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<CompactionReport, CompactError> {
        let mut report = CompactionReport::default();
        self.collect_garbage(database, &mut report).await?;
        if !self.collector.is_dry_run() {
            let time = self.time(limit);
            self.merge_all(database, PlanScope::All, &time, &mut report).await?;
            self.fill(database, &time, &mut report).await?;
            self.publish(database, &time, &mut report).await?;
        }
        Ok(report)
    }

    /// Returns the damaged objects that the jobs of this function have found.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        self.flusher.damaged_objects()
    }

    /// Returns the merges that the latest plans found due and that are not done.
    pub fn debt(&self) -> CompactionDebt {
        self.maintainer.debt()
    }

    fn time(&self, limit: Option<Duration>) -> TimeLimit<'_> {
        TimeLimit::new(&self.bucket, limit)
    }
}
