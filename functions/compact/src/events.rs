//! The events of the compact function: what a scheduler, a queue or a person asks for.
//!
//! | event | what is done | requests when there is nothing to do |
//! |---|---|---|
//! | [`Event::Scheduled`] | flush what is due, plan merges there, hand them out | 1 LIST, whatever the number of databases |
//! | [`Event::Merge`] | one merge | |
//! | [`Event::Collect`] | look at every database: settle, expire, drop, delete garbage | some for each database |
//!
//! An invocation stops in time: what it has committed stays, and it says whether something is left.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use neap_bucket::{Bucket, Key, ListEntry, Moment, Stamp, StoreTime, Versioned};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{
    CacheBackfill, Collector, CompactError, DamagedObjects, Debt, Flushed, Flusher, Maintainer,
    MergeOrder, PlanLimits, Report, Scope,
    kept::KeptSegments,
    listing::Pages,
    merge::{JobLimits, MergeOutcome},
    removal::is_being_removed,
};

/// What a merge surely gets through on a slow machine: about a third of what one core of a fast one does.
const SURE_BYTES_PER_SECOND: u64 = 4 << 20;

/// The maximum number of merges in one plan that are run here: as many as a manifest has claims of. A plan looks at
/// every table, so many of them share its cost.
const LOCAL_JOBS: usize = 1_000;

/// What the function is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The time has come to look for tails that are due.
    Scheduled,
    /// A merge was handed out.
    Merge(MergeOrder),
    /// The time has come to look at every database.
    Collect,
}

/// When a tail is worth a flush. Small flushes make small objects, long tails make slow queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushTriggers {
    /// Bytes of segments.
    pub bytes: u64,
    /// The number of segments: each is an object to read for a query that starts cold.
    pub segments: usize,
    /// The age of the oldest segment.
    pub age: Duration,
}

impl Default for FlushTriggers {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            segments: 300,
            age: Duration::from_secs(600),
        }
    }
}

/// Hands merges to other workers.
#[async_trait]
pub trait Dispatch: fmt::Debug + Send + Sync {
    /// Hands one out. A worker gets it at least once, or never: then its claim expires.
    ///
    /// # Errors
    /// It could not be handed out, for a reason for people.
    async fn dispatch(&self, order: MergeOrder) -> Result<(), String>;
}

/// How an invocation works.
#[derive(Clone, Copy, Debug)]
pub struct CompactorSettings {
    /// When a tail is flushed.
    pub triggers: FlushTriggers,
    /// The most memory of a merge, in bytes.
    pub merge_memory_bytes: u64,
    /// The most merges that one plan hands out. Where they are not handed out, a plan has up to 1,000.
    pub max_jobs: usize,
    /// Lists of merges that run at once, where they are not handed out: a large merge, or up to 256 small ones that are
    /// committed together.
    pub parallel_merges: usize,
}

impl Default for CompactorSettings {
    /// The usual triggers, 768 MiB for a merge, 64 merges in a plan, one after the other.
    fn default() -> Self {
        Self {
            triggers: FlushTriggers::default(),
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
    flusher: Flusher,
    maintainer: Maintainer,
    backfill: CacheBackfill,
    collector: Collector,
    dispatcher: Option<Arc<dyn Dispatch>>,
    settings: CompactorSettings,
    kept: KeptSegments,
}

/// What the tail of a database looks like in a listing.
#[derive(Clone, Copy, Debug, Default)]
struct TailSize {
    segments: usize,
    bytes: u64,
    oldest: Option<StoreTime>,
}

impl TailSize {
    fn add(&mut self, entry: &ListEntry) {
        self.segments += 1;
        self.bytes += entry.size_bytes;
        let oldest = self.oldest.unwrap_or(entry.last_modified);
        self.oldest = Some(oldest.min(entry.last_modified));
    }

    /// How old the oldest segment is.
    fn age(&self, date: Option<StoreTime>) -> Duration {
        date.zip(self.oldest)
            .map_or(Duration::ZERO, |(date, oldest)| date.since(oldest))
    }
}

/// The time that an invocation has.
struct Time<'a> {
    bucket: &'a Bucket,
    begun: Moment,
    limit: Option<Duration>,
}

impl Time<'_> {
    fn left(&self) -> Option<Duration> {
        let spent = self.bucket.world().elapsed(&self.begun);
        self.limit.map(|limit| limit.saturating_sub(spent))
    }

    fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// What became of merges that were run together.
type MergeResults = Result<Vec<Result<MergeOutcome, CompactError>>, CompactError>;

type NewestManifest = Mutex<Option<Versioned<Manifest>>>;

fn lock(newest: &NewestManifest) -> MutexGuard<'_, Option<Versioned<Manifest>>> {
    newest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the newer manifest of two.
fn keep_newest(newest: &NewestManifest, found: Option<Versioned<Manifest>>) {
    let mut newest = lock(newest);
    let version = |manifest: &Option<Versioned<Manifest>>| manifest.as_ref().map(|it| it.version);
    if version(&newest) < version(&found) {
        *newest = found;
    }
}

impl Compactor {
    /// The function over these parts. Without a dispatcher it runs its merges itself.
    pub fn new(
        bucket: Bucket,
        flusher: Flusher,
        maintainer: Maintainer,
        backfill: CacheBackfill,
        collector: Collector,
        dispatcher: Option<Arc<dyn Dispatch>>,
        settings: CompactorSettings,
    ) -> Self {
        Self {
            bucket,
            flusher,
            maintainer,
            backfill,
            collector,
            dispatcher,
            settings,
            kept: KeptSegments::default(),
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
        let mut report = Report::default();
        match event {
            Event::Scheduled => self.scheduled(&time, &mut report).await?,
            Event::Merge(order) => self.merge(order, &time, &mut report).await?,
            Event::Collect => self.collect(&time, &mut report).await?,
        }
        Ok(report)
    }

    /// Flushes a database, whether its tail is due or not, as far as the limits of one flush go.
    ///
    /// # Errors
    /// The database can't be read, or a segment is damaged.
    pub async fn flush(&self, database: DatabaseId) -> Result<Flushed, CompactError> {
        self.flusher.flush(database).await
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
        self.tidy_tail(database, &mut report).await?;
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

    fn time(&self, limit: Option<Duration>) -> Time<'_> {
        Time {
            bucket: &self.bucket,
            begun: self.bucket.world().moment(),
            limit,
        }
    }

    async fn scheduled(&self, time: &Time<'_>, report: &mut Report) -> Result<(), CompactError> {
        let (tails, date) = self.tails().await?;
        for tail in tails.values() {
            report.tails.segments += tail.segments;
            report.tails.bytes = report.tails.bytes.saturating_add(tail.bytes);
            report.tails.oldest = report.tails.oldest.max(tail.age(date));
        }
        let due = tails
            .into_iter()
            .filter(|(_, tail)| self.is_due(*tail, date));
        let due: Vec<DatabaseId> = due.map(|(database, _)| database).collect();
        if due.is_empty() {
            return Ok(());
        }
        let root = self.collector.catalog().root(Duration::ZERO).await?;
        let is_kept = |database: &DatabaseId| {
            let entry = root.value.databases().get(database);
            let deletion = entry.map(|entry| entry.deletion);
            deletion.is_some_and(|deletion| !is_being_removed(deletion))
        };
        for database in due.into_iter().filter(is_kept) {
            if time.is_over() {
                report.unfinished = true;
                return Ok(());
            }
            let outcome = self.tend_tail(database, date, time, report).await;
            report.note(database, outcome);
        }
        Ok(())
    }

    /// The tails of all databases, in one listing, and the store's time.
    async fn tails(
        &self,
    ) -> Result<(BTreeMap<DatabaseId, TailSize>, Option<StoreTime>), CompactError> {
        let mut tails: BTreeMap<DatabaseId, TailSize> = BTreeMap::new();
        let mut date = None;
        let mut pages = Pages::of(&self.bucket, Key::TAIL_PREFIX);
        while let Some(page) = pages.next().await? {
            date = date.or(page.date);
            for entry in page.entries {
                let Ok(Key::Segment(database, name)) = entry.key.parse() else {
                    continue;
                };
                let kept = self.kept.mark(database, self.bucket.world());
                if kept.is_some_and(|mark| name.stamp <= mark) {
                    continue;
                }
                tails.entry(database).or_default().add(&entry);
            }
        }
        Ok((tails, date))
    }

    fn is_due(&self, tail: TailSize, date: Option<StoreTime>) -> bool {
        let triggers = &self.settings.triggers;
        tail.segments >= triggers.segments
            || tail.bytes >= triggers.bytes
            || tail.age(date) >= triggers.age
    }

    /// Deletes what was flushed before, and flushes and merges if what is left of the tail is due.
    async fn tend_tail(
        &self,
        database: DatabaseId,
        date: Option<StoreTime>,
        time: &Time<'_>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let manifest = self.tidy_tail(database, report).await?;
        let tail = self.tail_above(database, manifest.value.low_water_mark);
        if !self.is_due(tail.await?, date) {
            return Ok(());
        }
        let mut flushed = false;
        loop {
            match self.flusher.flush(database).await? {
                Flushed::Done { more, .. } => {
                    flushed = true;
                    report.flushes += 1;
                    if more && !time.is_over() {
                        continue;
                    }
                    report.unfinished |= more;
                }
                Flushed::Nothing(reason) => report.note_unflushed(database, &reason),
            }
            break;
        }
        if flushed {
            self.merge_all(database, Scope::Recent, time, report)
                .await?;
            self.fill(database, time, report).await?;
        }
        Ok(())
    }

    /// Fills caches, if there is time left.
    async fn fill(
        &self,
        database: DatabaseId,
        time: &Time<'_>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        if time.is_over() {
            report.unfinished = true;
            return Ok(());
        }
        let filled = self.backfill.run(database, &self.job_limits(time)).await;
        if let Some(filled) = report.settled(database, filled)? {
            report.caches += filled.caches;
            report.unfinished |= filled.unfinished;
            report.postponed += usize::from(filled.postponed);
            if let Some(error) = filled.failed {
                report.settled(database, Err::<(), _>(error))?;
            }
        }
        Ok(())
    }

    /// What no flush has taken in yet.
    async fn tail_above(
        &self,
        database: DatabaseId,
        mark: Stamp,
    ) -> Result<TailSize, CompactError> {
        let mut tail = TailSize::default();
        let prefix = Key::tail_prefix(database);
        let mut pages = Pages::of(&self.bucket, &prefix);
        while let Some(page) = pages.next().await? {
            for entry in page.entries {
                if let Ok(Key::Segment(_, name)) = entry.key.parse()
                    && name.stamp > mark
                {
                    tail.add(&entry);
                }
            }
        }
        Ok(tail)
    }

    async fn tidy_tail(
        &self,
        database: DatabaseId,
        report: &mut Report,
    ) -> Result<Versioned<Manifest>, CompactError> {
        let manifest = self.maintainer.read(database).await?;
        let collected = self.collector.collect_segments(database, &manifest).await?;
        let (mark, world) = (manifest.value.low_water_mark, self.bucket.world());
        self.kept.note(database, collected.kept, mark, world);
        report.collected = std::mem::take(&mut report.collected).and(collected);
        Ok(manifest)
    }

    /// Plans merges, and hands them out or runs them, until there is nothing to merge.
    async fn merge_all(
        &self,
        database: DatabaseId,
        scope: Scope,
        time: &Time<'_>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let mut known = None;
        loop {
            if time.is_over() {
                report.unfinished = true;
                return Ok(());
            }
            let limits = self.plan_limits(time);
            let planned = self
                .maintainer
                .plan_from(database, scope, limits, &mut known)
                .await;
            let Some(mut planned) = report.settled(database, planned)? else {
                return Ok(());
            };
            report.removed += planned.removed;
            for failure in std::mem::take(&mut planned.failures) {
                report.note_failure(database, failure);
            }
            if let Some(dispatcher) = &self.dispatcher {
                for order in planned.orders {
                    match dispatcher.dispatch(order).await {
                        Ok(()) => report.handed_out += 1,
                        Err(reason) => report.failures.push((database, reason)),
                    }
                }
                return Ok(());
            }
            let before = report.merges;
            let batches = planned.batches(limits.job_bytes);
            self.run_batches(database, batches, time, &mut known, report)
                .await?;
            // What was merged may be merged further.
            if report.merges == before {
                return Ok(());
            }
        }
    }

    /// Runs lists of merges, each with one commit, as long as there is time. `known` is the newest manifest known.
    async fn run_batches(
        &self,
        database: DatabaseId,
        batches: Vec<Vec<MergeOrder>>,
        time: &Time<'_>,
        known: &mut Option<Versioned<Manifest>>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let newest = Mutex::new(known.take());
        let runs = batches
            .into_iter()
            .map(|orders| self.run_batch(database, orders, time, &newest));
        // Collected, so that the future is `Send` whatever the lifetimes.
        let runs: Vec<_> = runs.collect();
        let mut merged = stream::iter(runs).buffer_unordered(self.settings.parallel_merges.max(1));
        let mut left = Vec::new();
        while let Some((not_run, results)) = merged.next().await {
            left.extend(not_run.into_iter().map(|order| order.job));
            match results {
                Ok(results) => {
                    for result in results {
                        report.note_merge(database, result);
                    }
                }
                Err(error) => report.note_merge(database, Err(error)),
            }
        }
        drop(merged);
        *known = newest.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.unfinished |= !left.is_empty();
        let released = self.maintainer.release(database, &left).await;
        report.settled(database, released)?;
        Ok(())
    }

    /// Runs merges with one commit. The first part are those that were not run because the time is over.
    async fn run_batch(
        &self,
        database: DatabaseId,
        orders: Vec<MergeOrder>,
        time: &Time<'_>,
        newest: &NewestManifest,
    ) -> (Vec<MergeOrder>, MergeResults) {
        if time.is_over() {
            return (orders, Ok(Vec::new()));
        }
        let mut known = lock(newest).clone();
        let limits = self.job_limits(time);
        let results = self
            .maintainer
            .run_all(database, &orders, &limits, &mut known)
            .await;
        keep_newest(newest, known);
        (Vec::new(), results)
    }

    fn plan_limits(&self, time: &Time<'_>) -> PlanLimits {
        let left = time.left().unwrap_or(JobLimits::default().time);
        PlanLimits {
            jobs: match self.dispatcher {
                Some(_) => self.settings.max_jobs,
                None => LOCAL_JOBS,
            },
            job_bytes: left.as_secs().saturating_mul(SURE_BYTES_PER_SECOND),
        }
    }

    async fn run(&self, order: &MergeOrder, time: &Time<'_>) -> Result<MergeOutcome, CompactError> {
        self.maintainer.run(order, &self.job_limits(time)).await
    }

    fn job_limits(&self, time: &Time<'_>) -> JobLimits {
        JobLimits {
            time: time.left().unwrap_or(JobLimits::default().time),
            max_memory_bytes: self.settings.merge_memory_bytes,
        }
    }

    async fn merge(
        &self,
        order: &MergeOrder,
        time: &Time<'_>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let outcome = self.run(order, time).await;
        if let Some(outcome) = report.settled(order.database, outcome)? {
            report.note_merge(order.database, Ok(outcome));
        }
        Ok(())
    }

    /// Collects everywhere first, which is short, and merges then. Who comes first is left to chance: if the
    /// time is never enough for all, each has its turn.
    async fn collect(&self, time: &Time<'_>, report: &mut Report) -> Result<(), CompactError> {
        let root = self.collector.catalog().root(Duration::ZERO).await?;
        if let Some(now) = self.bucket.clock().now() {
            for database in root.value.due_databases(now) {
                let outcome = self.remove_database(database, report).await;
                report.note(database, outcome);
            }
            for database in root.value.obsolete_databases(now) {
                let outcome = self.erase_database(database, report).await;
                report.note(database, outcome);
            }
        }
        let results = self.collector.collect_results().await?;
        let code = self.collector.collect_code().await?;
        let both = results.and(code);
        report.collected = std::mem::take(&mut report.collected).and(both);
        let mut databases: Vec<DatabaseId> =
            root.value.live_databases().map(|(id, _)| id).collect();
        let drawn = self.bucket.world().entropy.next_u64();
        let first = drawn.checked_rem(databases.len() as u64).unwrap_or(0);
        databases.rotate_left(usize::try_from(first).unwrap_or(0));
        for database in &databases {
            if time.is_over() {
                report.unfinished = true;
                return Ok(());
            }
            let outcome = self.tidy_up(*database, report).await;
            report.note(*database, outcome);
        }
        if self.collector.is_dry_run() {
            return Ok(());
        }
        for database in databases {
            let outcome = self.merge_all(database, Scope::All, time, report).await;
            report.note(database, outcome);
            let outcome = self.fill(database, time, report).await;
            report.note(database, outcome);
        }
        Ok(())
    }

    async fn tidy_up(&self, database: DatabaseId, report: &mut Report) -> Result<(), CompactError> {
        let collected = self.collector.collect(database).await;
        if let Some(collected) = report.settled(database, collected)? {
            report.collected = std::mem::take(&mut report.collected).and(collected);
        }
        Ok(())
    }

    /// Deletes what is left of a database whose removal was finished long ago, then its entry in the catalog.
    async fn erase_database(
        &self,
        database: DatabaseId,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let Some(collected) = self.collector.erase(database).await? else {
            return Ok(());
        };
        report.collected = std::mem::take(&mut report.collected).and(collected);
        if self.collector.is_dry_run() {
            return Ok(());
        }
        let catalog = self.collector.catalog();
        Ok(catalog.remove_obsolete_database(database).await?)
    }

    /// Takes a further step in the removal of a dropped database.
    async fn remove_database(
        &self,
        database: DatabaseId,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let catalog = self.collector.catalog();
        if !self.collector.is_dry_run() {
            catalog.begin_database_purge(database).await?;
            let removed = self.maintainer.removal().drop_all(database).await?;
            report.removed += removed;
        }
        let (collected, is_gone) = self.collector.collect_dropped(database).await?;
        report.collected = std::mem::take(&mut report.collected).and(collected);
        if is_gone {
            catalog.finish_database_purge(database).await?;
        }
        Ok(())
    }
}
