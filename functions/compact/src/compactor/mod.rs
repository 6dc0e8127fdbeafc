//! The compact function: handles events with the jobs of this crate.

mod collection;
mod hand_out;
mod merging;
mod scheduled;
mod visit;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use neap_bucket::Bucket;
use neap_schema::DatabaseId;
use tokio::sync::Semaphore;

use crate::{
    CacheBackfill, Collector, CompactError, DamagedObjects, Debt, Dispatch, Event, FlushTriggers,
    Flushed, Flusher, Maintainer, Report, Scope,
    deferred::DeferredSegments,
    job_slots::JobSlots,
    merge::JobLimits,
    parallel_flush::{PARALLEL_DATABASES, ParallelFlusher},
    tails::TailSurvey,
    time_limit::TimeLimit,
    visit_order::Setbacks,
};

/// How an invocation works.
#[derive(Clone, Copy, Debug)]
pub struct CompactorSettings {
    /// When a tail is flushed.
    pub triggers: FlushTriggers,
    /// The maximum number of databases that are worked on at once. Their flushes share the memory of one: a tail that
    /// is as large as one flush takes is flushed alone.
    pub parallel_databases: usize,
    /// The most memory of a merge, in bytes.
    pub merge_memory_bytes: u64,
    /// The most merges that one plan hands out. Where they are not handed out, a plan has up to 1,000.
    pub max_jobs: usize,
    /// Lists of merges that run at once in the process, where they are not handed out: a large merge, or up to 256 small
    /// ones that are committed together.
    pub parallel_merges: usize,
}

impl Default for CompactorSettings {
    /// The usual triggers, 16 databases at once, 768 MiB for a merge, 64 merges in a plan, one after the other.
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
    collector: Collector,
    dispatcher: Option<Arc<dyn Dispatch>>,
    settings: CompactorSettings,
    deferred: DeferredSegments,
    setbacks: Setbacks,
    slots: JobSlots,
    /// For merges and for filling caches, each of which may take the memory of a merge.
    merges: Arc<Semaphore>,
}

impl Compactor {
    /// The function over these parts. Without a dispatcher it runs its flushes and merges itself.
    pub fn new(
        bucket: Bucket,
        flusher: Flusher,
        maintainer: Maintainer,
        backfill: CacheBackfill,
        collector: Collector,
        dispatcher: Option<Arc<dyn Dispatch>>,
        settings: CompactorSettings,
    ) -> Self {
        let slots = JobSlots::new(settings.parallel_databases);
        Self {
            bucket,
            flusher: ParallelFlusher::of_slots(flusher, slots.clone()),
            maintainer,
            backfill,
            collector,
            dispatcher,
            settings,
            deferred: DeferredSegments::default(),
            setbacks: Setbacks::default(),
            slots,
            merges: Arc::new(Semaphore::new(settings.parallel_merges.max(1))),
        }
    }

    /// Handles an event within a time limit.
    ///
    /// # Errors
    /// The listing or the catalog can't be read, or a merge that was asked for failed. What goes wrong with
    /// one of several databases is in the report.
    pub async fn handle(
        &self,
        event: &Event,
        limit: Option<Duration>,
    ) -> Result<Report, CompactError> {
        let time = self.time(limit);
        match event {
            Event::Scheduled => self.scheduled(&time).await,
            Event::Flush(order) => self.flush_order(order, &time).await,
            Event::Merge(order) => self.merge(order, &time).await,
            Event::Collect => self.collect(&time).await,
        }
    }

    /// The maximum number of databases that are worked on at once.
    pub fn parallel_databases(&self) -> usize {
        self.slots.total()
    }

    /// Flushes a database, whether its tail is due or not, as far as the limits of one flush go. It waits for flushes
    /// that are under way, because it may take as much memory as they share.
    ///
    /// # Errors
    /// The database can't be read, or a segment is damaged.
    pub async fn flush(&self, database: DatabaseId) -> Result<Flushed, CompactError> {
        self.flusher.flush(database, u64::MAX).await
    }

    /// Flushes databases, whether their tails are due or not, until nothing is left that is old enough; several at once.
    /// All flushes of a database, in the order of the databases.
    ///
    /// # Errors
    /// The tails of several databases can't be listed.
    pub async fn flush_all(
        &self,
        databases: Vec<DatabaseId>,
    ) -> Result<
        impl Stream<Item = (DatabaseId, Vec<Result<Flushed, CompactError>>)> + '_,
        CompactError,
    > {
        // A single one need not be weighed.
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
    ) -> Vec<Result<Flushed, CompactError>> {
        let mut flushes = Vec::new();
        loop {
            let flushed = self.flusher.flush(database, tail_bytes).await;
            let more = matches!(flushed, Ok(Flushed::Done { more: true, .. }));
            flushes.push(flushed);
            if !more {
                return flushes;
            }
        }
    }

    /// Merges and tidies up where a flush was just committed.
    ///
    /// # Errors
    /// The database can't be read, or a merge failed.
    pub async fn after_flush(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<Report, CompactError> {
        let time = self.time(limit);
        let mut report = Report::default();
        let manifest = self.maintainer.read(database).await?;
        let collected = self.collector.collect_segments(database, &manifest).await?;
        self.note_collected(database, &manifest, collected, &mut report);
        self.merge_all(database, Scope::Recent, &time, &mut report)
            .await?;
        self.fill(database, &time, &mut report).await?;
        Ok(report)
    }

    /// Fills the caches of a database that have no object, as those that were just created.
    ///
    /// # Errors
    /// The database can't be read, or a section is damaged.
    pub async fn fill_caches(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<Report, CompactError> {
        let mut report = Report::default();
        self.fill(database, &self.time(limit), &mut report).await?;
        Ok(report)
    }

    /// Merges everything of a database that is due, removes what has expired, and deletes what nothing needs.
    ///
    /// # Errors
    /// The database can't be read, or a merge failed.
    pub async fn settle(
        &self,
        database: DatabaseId,
        limit: Option<Duration>,
    ) -> Result<Report, CompactError> {
        let mut report = Report::default();
        self.tidy_up(database, &mut report).await?;
        if !self.collector.is_dry_run() {
            let time = self.time(limit);
            self.merge_all(database, Scope::All, &time, &mut report)
                .await?;
            self.fill(database, &time, &mut report).await?;
        }
        Ok(report)
    }

    /// The damaged objects that the jobs of this function have met.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        self.flusher.damaged_objects()
    }

    /// The merges that were due when the databases were last looked at, and that are not done.
    pub fn debt(&self) -> Debt {
        self.maintainer.debt()
    }

    fn time(&self, limit: Option<Duration>) -> TimeLimit<'_> {
        TimeLimit::new(&self.bucket, limit)
    }
}
