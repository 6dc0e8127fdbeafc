//! Fills the first object of a cache from the sections.
//!
//! ```text
//!   backfill                                  store
//!     |-- GET manifest: mark M ------------->  |
//!     |-- GET sections of recent times ----->  |   rows of one group of days at a time, into all caches of a table
//!     |-- GET manifest: the mark is M' ----->  |   flushed meanwhile: GET the sections of (M, M'] too, and check again
//!     |-- PUT objects ---------------------->  |   crash after: orphans
//!     |-- commit ---------------------------->  |   only if the mark is M'
//! ```
//!
//! Thus tables with a high write rate get their objects, too, because each round reads only the segments flushed during
//! the previous round. Sections of (M, M'] that were merged with older ones are read completely; repeated rows do no
//! harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, ClockReading, StoreTime, VersionedValue};
use neap_cache::CacheShape;
use neap_catalog::{Catalog, DatabaseCatalog, Table};
use neap_manifest::{
    CacheCommit, CacheEntry, CacheOutcome, CacheRefusal, JobKind, JobRecord, Manifest,
    ManifestError, ManifestStore, NewCacheEntry, PageRef, PendingObject,
};
use neap_schema::{CacheId, DatabaseId};

use super::{
    CacheObjects,
    advance::{gone, has_had_caches},
    backfill_task::{BackfillStop, BackfillTask, BuiltLayer, BuiltLayers},
    objects::{EncodedCacheObject, ObjectError, run_blocking},
};
use crate::{CompactError, flush::millis, merge::JobLimits};

/// Maximum number of complete reads, repeated if a delete, an expiry or a new column intervenes.
const MAX_ATTEMPTS: usize = 3;

/// Maximum number of rounds that read rows flushed in the meantime.
const MAX_ROUNDS: usize = 16;

/// Pause before the next attempt for a cache that was too large.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

/// Pause before the next attempt for a cache that could not be filled for another reason.
const FAILURE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// First pause before the next attempt for a cache that took too long. Each further failure doubles the pause, up to
/// [`TOO_LARGE_PAUSE`].
const SLOW_PAUSE: Duration = Duration::from_secs(60);

/// Maximum number of remembered pauses.
const MAX_PAUSES: usize = 10_000;

/// Pause of a cache that could not be filled.
#[derive(Clone, Copy, Debug)]
struct BackfillPause {
    length: Duration,
    until: StoreTime,
}

/// Outcome of a backfill.
#[derive(Debug, Default)]
pub(crate) struct BackfillReport {
    /// Number of caches that received an object.
    pub(crate) caches: usize,
    /// Whether the time limit expired before all work was done.
    pub(crate) unfinished: bool,
    /// Whether concurrent changes of the sections prevented the backfill.
    pub(crate) postponed: bool,
    /// First error of a table; damaged or missing sections, by name. Other tables were filled.
    pub(crate) failed: Option<CompactError>,
}

/// Fills caches that have no object.
#[derive(Clone, Debug)]
pub struct CacheBackfill {
    pub(super) bucket: Bucket,
    catalog: Arc<Catalog>,
    pub(super) manifests: ManifestStore,
    objects: CacheObjects,
    /// Caches that could not be filled, with their pauses.
    pauses: Arc<Mutex<BTreeMap<(DatabaseId, CacheId), BackfillPause>>>,
}

impl CacheBackfill {
    /// Creates a backfill for the databases of a bucket.
    pub fn new(bucket: Bucket, catalog: Arc<Catalog>, manifests: ManifestStore) -> Self {
        Self {
            // Flushes, not this backfill, read the objects written here.
            objects: CacheObjects::new(bucket.clone(), 0),
            bucket,
            catalog,
            manifests,
            pauses: Arc::default(),
        }
    }

    /// Returns whether a database ever had a cache. If not, there is nothing to fill.
    /// Fails if the catalog cannot be read.
    pub(crate) async fn has_had_caches(&self, database: DatabaseId) -> Result<bool, CompactError> {
        let catalog = self.catalog.database(database, self.catalog.max_age()).await?;
        Ok(has_had_caches(&catalog.value))
    }

    /// Fills the caches of a database that have no object, and removes the entries of dropped caches. In a database
    /// that never had a cache, it requests only the catalog.
    /// Fails if the manifest or the catalog cannot be read.
    pub(crate) async fn run(
        &self,
        database: DatabaseId,
        limits: &JobLimits,
    ) -> Result<BackfillReport, CompactError> {
        let started_at = self.bucket.world().clock_reading();
        let mut filled = BackfillReport::default();
        for _ in 0..MAX_ATTEMPTS {
            filled.postponed = false;
            self.attempt(database, started_at, limits, &mut filled).await?;
            if !filled.postponed || filled.unfinished {
                break;
            }
        }
        Ok(filled)
    }

    async fn attempt(
        &self,
        database: DatabaseId,
        started_at: ClockReading,
        limits: &JobLimits,
        filled: &mut BackfillReport,
    ) -> Result<(), CompactError> {
        let mut catalog = self.catalog.database(database, self.catalog.max_age()).await?;
        if !has_had_caches(&catalog.value) {
            return Ok(());
        }
        let mut manifest = self.manifests.read(database, None).await?;
        if catalog.version < manifest.value.needs_catalog {
            catalog = self.catalog.database(database, Duration::ZERO).await?;
        }
        // The catalog of a bucket that is being restored may lack columns.
        let is_behind = catalog.version < manifest.value.needs_catalog;
        let Some(now) = manifest.current_at.filter(|_| manifest.version > 0 && !is_behind) else {
            return Ok(());
        };
        let gone = gone(&manifest.value, &catalog.value);
        if !gone.is_empty() {
            manifest = self.forget(database, manifest, gone).await?;
        }
        let mut tasks = self.tasks(database, &manifest.value, &catalog, now);
        // Small tasks come first, so that they do not wait for large ones.
        tasks.sort_by_key(|(size, _)| *size);
        let mut tasks = tasks.into_iter().map(|(_, task)| task);
        while let Some(mut task) = tasks.next() {
            let spent = self.bucket.world().elapsed(&started_at);
            let left = limits.time.saturating_sub(spent);
            if left.is_zero() {
                filled.unfinished = true;
                break;
            }
            task.limits.time = match tasks.len() {
                0 => left,
                _ => left / 2,
            };
            task.limits.max_memory_bytes = limits.max_memory_bytes;
            task.started_at = self.bucket.world().clock_reading();
            let outcome = self.fill(&task, &manifest).await;
            self.note(&task, outcome, filled);
        }
        Ok(())
    }

    /// Returns the tables whose caches are to be filled, each with the approximate number of rows to read.
    fn tasks(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        catalog: &VersionedValue<DatabaseCatalog>,
        now: StoreTime,
    ) -> Vec<(u64, BackfillTask)> {
        let tables = catalog.value.tables();
        let tasks = tables.filter_map(|table| {
            let base = self.bucket.retention_base(now);
            let cutoff = catalog.value.cutoff_of(table.id(), base);
            let stored = table.stored();
            let task = BackfillTask {
                database,
                catalog_version: catalog.version,
                layers: self.missing(database, manifest, &stored, cutoff, now),
                table: stored,
                started_at: self.bucket.world().clock_reading(),
                limits: JobLimits::default(),
            };
            (!task.layers.is_empty()).then(|| (rows_of(manifest, &task), task))
        });
        tasks.collect()
    }

    /// Records the outcome for the caches of a table.
    fn note(
        &self,
        task: &BackfillTask,
        outcome: Result<Result<usize, BackfillStop>, CompactError>,
        filled: &mut BackfillReport,
    ) {
        match outcome {
            Ok(Ok(caches)) => filled.caches += caches,
            Ok(Err(BackfillStop::OutOfTime)) => {
                filled.unfinished = true;
                self.back_off(task);
            }
            Ok(Err(BackfillStop::Stale)) => filled.postponed = true,
            Ok(Err(BackfillStop::Abandoned(reason))) => {
                let (database, table) = (task.database, task.table.name());
                tracing::warn!(%database, table, reason, "failed to fill caches");
                self.pause_all(task, FAILURE_PAUSE);
            }
            Err(error) => {
                if !error.is_unsettled() {
                    let (database, table) = (task.database, task.table.name());
                    tracing::warn!(%database, table, %error, "failed to fill caches");
                    self.pause_all(task, FAILURE_PAUSE);
                }
                filled.failed.get_or_insert(error);
            }
        }
    }

    /// Returns the caches of a table that need filling: not paused, and without an object or with one that does not
    /// reach far enough back. Rows before `cutoff` are no longer available.
    fn missing(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        table: &Table,
        cutoff: Option<i64>,
        now: StoreTime,
    ) -> Vec<(CacheId, CacheShape, i64)> {
        let pauses = self.pauses();
        let is_paused = |cache: CacheId| {
            let pause = pauses.get(&(database, cache));
            pause.is_some_and(|pause| now < pause.until)
        };
        let is_missing = |cache: CacheId, shape: &CacheShape| {
            let needed = shape.needed_from(now).max(cutoff.unwrap_or(i64::MIN));
            let entry = manifest.cache(cache);
            entry.is_none_or(|entry| entry.reaches_back_to() > needed)
        };
        CacheShape::all_of(table)
            .filter(|(cache, shape)| !is_paused(*cache) && is_missing(*cache, shape))
            .map(|(cache, shape)| {
                let from = shape.complete_from(now);
                (cache, shape, from)
            })
            .collect()
    }

    fn pauses(&self) -> MutexGuard<'_, BTreeMap<(DatabaseId, CacheId), BackfillPause>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, database: DatabaseId, cache: CacheId, length: Duration) {
        let Some(now) = self.bucket.clock().now() else {
            return;
        };
        let mut pauses = self.pauses();
        if pauses.len() >= MAX_PAUSES {
            pauses.retain(|_, pause| now < pause.until);
        }
        if pauses.len() < MAX_PAUSES {
            let until = now.plus(length);
            pauses.insert((database, cache), BackfillPause { length, until });
        }
    }

    fn pause_all(&self, task: &BackfillTask, length: Duration) {
        for (cache, _, _) in &task.layers {
            self.pause(task.database, *cache, length);
        }
    }

    /// Pauses the caches of a table for twice as long as the last time.
    fn back_off(&self, task: &BackfillTask) {
        for (cache, _, _) in &task.layers {
            let last = self.pauses().get(&(task.database, *cache)).copied();
            let longer = last.map_or(SLOW_PAUSE, |pause| pause.length * 2);
            self.pause(task.database, *cache, longer.min(TOO_LARGE_PAUSE));
        }
    }

    /// Removes entries from the manifest.
    async fn forget(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        gone: BTreeSet<CacheId>,
    ) -> Result<VersionedValue<Manifest>, CompactError> {
        let commit = CacheCommit::forgetting(&base, gone);
        match self.manifests.commit_caches(database, base.clone(), &commit).await? {
            CacheOutcome::Committed(current) => Ok(current),
            CacheOutcome::GivenUp(_) => Ok(base),
            CacheOutcome::Unknown { reason } => {
                Err(ManifestError::OutcomeUnknown { reason }.into())
            }
        }
    }

    /// Fills caches of one table and returns their number.
    async fn fill(
        &self,
        task: &BackfillTask,
        base: &VersionedValue<Manifest>,
    ) -> Result<Result<usize, BackfillStop>, CompactError> {
        match self.build(task, base).await? {
            Ok(built) => self.settle(task, built, base).await,
            Err(stopped) => Ok(Err(stopped)),
        }
    }

    /// Returns the contents of a cache. If they are not available, logs the error, pauses the cache, and returns
    /// `None`.
    pub(super) fn ok_or_pause<T>(
        &self,
        database: DatabaseId,
        cache: CacheId,
        contents: Result<T, impl Into<ObjectError>>,
    ) -> Option<T> {
        let error = match contents {
            Ok(contents) => return Some(contents),
            Err(error) => error.into(),
        };
        tracing::warn!(%database, %cache, %error, "failed to fill a cache");
        let pause = if error.is_too_large() {
            TOO_LARGE_PAUSE
        } else {
            FAILURE_PAUSE
        };
        self.pause(database, cache, pause);
        None
    }

    /// Advances the built caches to the current mark and commits them.
    async fn settle(
        &self,
        task: &BackfillTask,
        mut built: BuiltLayers,
        base: &VersionedValue<Manifest>,
    ) -> Result<Result<usize, BackfillStop>, CompactError> {
        let mut current = base.clone();
        for _ in 0..MAX_ROUNDS {
            current = self.manifests.read(task.database, Some(&current)).await?;
            if let Err(stopped) = self.catch_up(task, &mut built, &current).await? {
                return Ok(Err(stopped));
            }
            let Some(commit) = self.write(task, &mut built).await else {
                return Ok(Ok(0));
            };
            let caches = commit.add.len();
            let outcome = self.manifests.commit_caches(task.database, current.clone(), &commit);
            match outcome.await? {
                CacheOutcome::Committed(_) => {
                    let (database, table) = (task.database, task.table.name());
                    tracing::info!(%database, table, caches, "caches are filled");
                    return Ok(Ok(caches));
                }
                CacheOutcome::GivenUp(CacheRefusal::MarkMoved { .. }) => {}
                CacheOutcome::GivenUp(CacheRefusal::Expired | CacheRefusal::ObjectTooOld) => {
                    return Ok(Err(BackfillStop::Stale));
                }
                CacheOutcome::Unknown { reason } => {
                    return Err(ManifestError::OutcomeUnknown { reason }.into());
                }
            }
        }
        Ok(Err(BackfillStop::Stale))
    }

    /// Writes the objects. Returns `None` if there are none.
    async fn write(&self, task: &BackfillTask, built: &mut BuiltLayers) -> Option<CacheCommit> {
        let object = PendingObject::draw(&self.bucket)?;
        let mut add = Vec::new();
        for layer in &built.layers {
            let written = self.put(task, layer, object).await;
            if let Some(entry) = self.ok_or_pause(task.database, layer.cache, written) {
                let drawn = object.drawn;
                add.push(NewCacheEntry { entry, drawn });
            }
        }
        built.layers.retain(|layer| {
            let mut written = add.iter();
            written.any(|new| new.entry.cache == layer.cache)
        });
        let entries = || add.iter().map(|new| &new.entry);
        let finished = self.bucket.clock().now().unwrap_or_default();
        let job = JobRecord {
            table: Some(task.table.id()),
            inputs: built.inputs,
            outputs: u32::try_from(add.len()).unwrap_or(u32::MAX),
            rows: entries().map(|entry| entry.rows).sum(),
            bytes_in: built.bytes_in,
            bytes_out: entries().map(|entry| entry.length).sum(),
            duration_ms: millis(self.bucket.world().elapsed(&task.started_at)),
            ..JobRecord::new(object.ulid, JobKind::Cache, finished)
        };
        (!add.is_empty()).then(|| CacheCommit {
            mark: built.mark,
            version: built.version,
            needs_catalog: task.catalog_version,
            add,
            gone: BTreeSet::new(),
            job: Some(job),
        })
    }

    async fn put(
        &self,
        task: &BackfillTask,
        layer: &BuiltLayer,
        object: PendingObject,
    ) -> Result<CacheEntry, ObjectError> {
        let (cache, put_id) = (layer.cache, self.objects.put_id());
        let contents = layer.contents.clone();
        let size = contents.size_bytes() as u64;
        let encoded =
            run_blocking(size, move || EncodedCacheObject::encode(cache, put_id, contents)).await?;
        let place = (cache, task.table.id());
        self.objects.write(task.database, place, object, encoded).await
    }
}

/// Returns the approximate number of rows that a task reads.
fn rows_of(manifest: &Manifest, task: &BackfillTask) -> u64 {
    let (table, from) = (task.table.id(), task.from());
    let sections = manifest.sections.iter();
    let inline = sections.filter(|section| section.table == table && section.max_time >= from);
    let pages = manifest.pages.iter();
    let paged = pages.filter(|page| page.may_hold(table) && page.max_time >= from);
    let rows = inline.map(|section| section.rows).chain(paged.map(PageRef::rows_per_table));
    rows.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use neap_cache::CacheError;
    use neap_catalog::{ANY_AGE, NewDistinctCache};

    use super::*;
    use crate::tests::test_bed::{CompactTestBed, NOW};

    #[tokio::test]
    async fn a_cache_that_was_too_large_is_tried_again_after_six_hours() {
        let stage = CompactTestBed::with_rows(&format!("m,host=a v=1 {NOW}")).await;
        stage.flush("db").await;
        let id = stage.id("db").await;
        let new = NewDistinctCache {
            table: "m".to_owned(),
            name: None,
            columns: vec!["host".to_owned()],
            max_cardinality: 10,
            max_age_s: 3_600,
        };
        stage.catalog.create_distinct_cache(id, &new).await.unwrap();
        let catalog = stage.catalog.database(id, ANY_AGE).await.unwrap();
        let table = catalog.value.table("m").unwrap();
        let (cache, _) = CacheShape::all_of(table).next().unwrap();
        let backfill = CacheBackfill::new(
            stage.bucket.clone(),
            Arc::clone(&stage.catalog),
            stage.manifests.clone(),
        );
        let contents: Result<(), _> = Err(CacheError::TooLarge { limit: 1 });
        assert!(backfill.ok_or_pause(id, cache, contents).is_none());
        let limits = JobLimits::default();
        let filled = async || backfill.run(id, &limits).await.unwrap().caches;
        let minute = Duration::from_secs(60);
        stage.pass((6 * 60 - 1) * minute);
        assert_eq!(filled().await, 0);
        stage.pass(2 * minute);
        assert_eq!(filled().await, 1);
    }
}
