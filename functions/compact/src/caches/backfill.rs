//! Making the first object of a cache, of what the sections hold.
//!
//! ```text
//!   backfill                                  store
//!     |-- GET manifest: mark M ------------->  |
//!     |-- GET sections of late times ------->  |   rows of one group of days at a time, into all caches of a table
//!     |-- GET manifest: the mark is M' ----->  |   flushed meanwhile: GET the sections of (M, M'] too, and look again
//!     |-- PUT objects ---------------------->  |   crash after: orphans
//!     |-- commit ---------------------------->  |   only if the mark is M'
//! ```
//!
//! So a table to which much is written gets its objects, too: each round reads only what came during the last one.
//! Sections of (M, M'] that were merged with older ones are read as they are; what they repeat does no harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, Moment, StoreTime, Versioned};
use neap_cache::Shape;
use neap_catalog::{Catalog, DatabaseCatalog, Table};
use neap_manifest::{
    CacheCommit, CacheEntry, CacheOutcome, CacheRefused, DrawnObject, JobKind, JobRecord, Manifest,
    ManifestError, ManifestStore, NewCacheEntry, PageRef,
};
use neap_schema::{CacheId, DatabaseId};

use super::{
    CacheObjects,
    advance::{gone, has_had_caches},
    build::{Built, BuiltCache, Stopped, Task},
    objects::{Encoded, ObjectError, worked},
};
use crate::{CompactError, flush::millis, merge::JobLimits};

/// How old the catalog may be by which caches are filled.
const CATALOG_AGE: Duration = Duration::from_secs(5);

/// How often all is read again because a delete, an expiry or a new column came between.
const MAX_ATTEMPTS: usize = 3;

/// How often what came meanwhile is read.
const MAX_ROUNDS: usize = 16;

/// A cache that was too large is tried again after this time.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

/// One that could not be filled for another reason is tried again after this time.
const FAILURE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// One that took too long is tried again after this time, and twice as long with each further failure, up to
/// [`TOO_LARGE_PAUSE`].
const SLOW_PAUSE: Duration = Duration::from_secs(60);

/// The most caches of which it is remembered that they could not be filled.
const MAX_PAUSES: usize = 10_000;

/// How long a cache that could not be filled is left alone.
#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: StoreTime,
}

/// What a backfill has done.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// Caches that have an object now.
    pub(crate) caches: usize,
    /// Whether the time was over before all was done.
    pub(crate) unfinished: bool,
    /// Whether others kept changing the sections.
    pub(crate) postponed: bool,
    /// What went wrong first with a table, damaged or missing sections by their names. The others were filled.
    pub(crate) failed: Option<CompactError>,
}

/// Fills caches that have no object.
#[derive(Clone, Debug)]
pub struct CacheBackfill {
    pub(super) bucket: Bucket,
    catalog: Arc<Catalog>,
    pub(super) manifests: ManifestStore,
    objects: CacheObjects,
    /// Caches that could not be filled, and until when they are left alone.
    pauses: Arc<Mutex<BTreeMap<(DatabaseId, CacheId), Pause>>>,
}

impl CacheBackfill {
    /// A backfill for the databases of a bucket.
    pub fn new(bucket: Bucket, catalog: Arc<Catalog>, manifests: ManifestStore) -> Self {
        Self {
            // What is written here is read by flushes.
            objects: CacheObjects::new(bucket.clone(), 0),
            bucket,
            catalog,
            manifests,
            pauses: Arc::default(),
        }
    }

    /// Whether a database ever had a cache. If not, there is nothing to fill.
    ///
    /// # Errors
    /// What the store answers about the catalog.
    pub(crate) async fn has_had_caches(&self, database: DatabaseId) -> Result<bool, CompactError> {
        let catalog = self.catalog.database(database, CATALOG_AGE).await?;
        Ok(has_had_caches(&catalog.value))
    }

    /// Fills the caches of a database that have no object, and lets entries of caches go that are no more. Costs no
    /// request but that for the catalog in a database that never had a cache.
    ///
    /// # Errors
    /// What the store answers about the manifest and the catalog.
    pub(crate) async fn run(
        &self,
        database: DatabaseId,
        limits: &JobLimits,
    ) -> Result<Filled, CompactError> {
        let begun = self.bucket.world().moment();
        let mut filled = Filled::default();
        for _ in 0..MAX_ATTEMPTS {
            filled.postponed = false;
            self.attempt(database, begun, limits, &mut filled).await?;
            if !filled.postponed || filled.unfinished {
                break;
            }
        }
        Ok(filled)
    }

    async fn attempt(
        &self,
        database: DatabaseId,
        begun: Moment,
        limits: &JobLimits,
        filled: &mut Filled,
    ) -> Result<(), CompactError> {
        let mut catalog = self.catalog.database(database, CATALOG_AGE).await?;
        if !has_had_caches(&catalog.value) {
            return Ok(());
        }
        let mut manifest = self.manifests.read(database, None).await?;
        if catalog.version < manifest.value.needs_catalog {
            catalog = self.catalog.database(database, Duration::ZERO).await?;
        }
        // The catalog of a bucket that is being restored may lack columns.
        let is_behind = catalog.version < manifest.value.needs_catalog;
        let Some(now) = manifest
            .proven
            .filter(|_| manifest.version > 0 && !is_behind)
        else {
            return Ok(());
        };
        let gone = gone(&manifest.value, &catalog.value);
        if !gone.is_empty() {
            manifest = self.forget(database, manifest, gone).await?;
        }
        let mut tasks = self.tasks(database, &manifest.value, &catalog, now);
        // What is quickly done does not wait for what is not.
        tasks.sort_by_key(|(size, _)| *size);
        let mut tasks = tasks.into_iter().map(|(_, task)| task);
        while let Some(mut task) = tasks.next() {
            let spent = self.bucket.world().elapsed(&begun);
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
            task.begun = self.bucket.world().moment();
            let outcome = self.fill(&task, &manifest).await;
            self.note(&task, outcome, filled);
        }
        Ok(())
    }

    /// The tables whose caches are to be filled, each with about the number of rows to read.
    fn tasks(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        catalog: &Versioned<DatabaseCatalog>,
        now: StoreTime,
    ) -> Vec<(u64, Task)> {
        let tables = catalog.value.tables();
        let tasks = tables.filter_map(|table| {
            let cutoff = catalog.value.cutoff_of(table.id(), now);
            let task = Task {
                database,
                table: Arc::clone(table),
                catalog_version: catalog.version,
                layers: self.missing(database, manifest, table, cutoff, now),
                begun: self.bucket.world().moment(),
                limits: JobLimits::default(),
            };
            (!task.layers.is_empty()).then(|| (rows_of(manifest, &task), task))
        });
        tasks.collect()
    }

    /// Takes down what became of the caches of a table.
    fn note(
        &self,
        task: &Task,
        outcome: Result<Result<usize, Stopped>, CompactError>,
        filled: &mut Filled,
    ) {
        match outcome {
            Ok(Ok(caches)) => filled.caches += caches,
            Ok(Err(Stopped::OutOfTime)) => {
                filled.unfinished = true;
                self.back_off(task);
            }
            Ok(Err(Stopped::Stale)) => filled.postponed = true,
            Ok(Err(Stopped::GivenUp(reason))) => {
                let (database, table) = (task.database, task.table.name());
                tracing::warn!(%database, table, reason, "caches are not filled");
                self.pause_all(task, FAILURE_PAUSE);
            }
            Err(error) => {
                if !error.is_unsettled() {
                    let (database, table) = (task.database, task.table.name());
                    tracing::warn!(%database, table, %error, "caches are not filled");
                    self.pause_all(task, FAILURE_PAUSE);
                }
                filled.failed.get_or_insert(error);
            }
        }
    }

    /// The caches of a table that have no object, or one that does not reach back to where it should, and are not to
    /// be left alone. Rows before the cutoff are not to be had.
    fn missing(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        table: &Table,
        cutoff: Option<i64>,
        now: StoreTime,
    ) -> Vec<(CacheId, Shape, i64)> {
        let pauses = self.pauses();
        let is_paused = |cache: CacheId| {
            let pause = pauses.get(&(database, cache));
            pause.is_some_and(|pause| now < pause.until)
        };
        let is_missing = |cache: CacheId, shape: &Shape| {
            let needed = shape.needed_from(now).max(cutoff.unwrap_or(i64::MIN));
            let entry = manifest.cache(cache);
            entry.is_none_or(|entry| entry.reaches_back_to() > needed)
        };
        Shape::all_of(table)
            .filter(|(cache, shape)| !is_paused(*cache) && is_missing(*cache, shape))
            .map(|(cache, shape)| {
                let from = shape.complete_from(now);
                (cache, shape, from)
            })
            .collect()
    }

    fn pauses(&self) -> MutexGuard<'_, BTreeMap<(DatabaseId, CacheId), Pause>> {
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
            pauses.insert((database, cache), Pause { length, until });
        }
    }

    fn pause_all(&self, task: &Task, length: Duration) {
        for (cache, _, _) in &task.layers {
            self.pause(task.database, *cache, length);
        }
    }

    /// Leaves the caches of a table alone for longer than the last time.
    fn back_off(&self, task: &Task) {
        for (cache, _, _) in &task.layers {
            let last = self.pauses().get(&(task.database, *cache)).copied();
            let longer = last.map_or(SLOW_PAUSE, |pause| pause.length * 2);
            self.pause(task.database, *cache, longer.min(TOO_LARGE_PAUSE));
        }
    }

    /// Lets entries go.
    async fn forget(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        gone: BTreeSet<CacheId>,
    ) -> Result<Versioned<Manifest>, CompactError> {
        let commit = CacheCommit::forgetting(&base, gone);
        match self
            .manifests
            .commit_caches(database, base.clone(), &commit)
            .await?
        {
            CacheOutcome::Committed(current) => Ok(current),
            CacheOutcome::GivenUp(_) => Ok(base),
            CacheOutcome::Unknown { reason } => Err(ManifestError::Unsettled { reason }.into()),
        }
    }

    /// Fills caches of one table; their number.
    async fn fill(
        &self,
        task: &Task,
        base: &Versioned<Manifest>,
    ) -> Result<Result<usize, Stopped>, CompactError> {
        match self.build(task, base).await? {
            Ok(built) => self.settle(task, built, base).await,
            Err(stopped) => Ok(Err(stopped)),
        }
    }

    /// What a cache holds; `None` if that is not to be had.
    pub(super) fn taken<T>(
        &self,
        database: DatabaseId,
        cache: CacheId,
        contents: Result<T, impl Into<ObjectError>>,
    ) -> Option<T> {
        let error = match contents {
            Ok(contents) => return Some(contents),
            Err(error) => error.into(),
        };
        tracing::warn!(%database, %cache, %error, "a cache is not filled");
        let pause = match error.is_too_large() {
            true => TOO_LARGE_PAUSE,
            false => FAILURE_PAUSE,
        };
        self.pause(database, cache, pause);
        None
    }

    /// Brings what was built to the present mark and commits it.
    async fn settle(
        &self,
        task: &Task,
        mut built: Built,
        base: &Versioned<Manifest>,
    ) -> Result<Result<usize, Stopped>, CompactError> {
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
            let outcome = self
                .manifests
                .commit_caches(task.database, current.clone(), &commit);
            match outcome.await? {
                CacheOutcome::Committed(_) => {
                    let (database, table) = (task.database, task.table.name());
                    tracing::info!(%database, table, caches, "caches are filled");
                    return Ok(Ok(caches));
                }
                CacheOutcome::GivenUp(CacheRefused::MarkMoved { .. }) => {}
                CacheOutcome::GivenUp(CacheRefused::Expired | CacheRefused::ObjectTooOld) => {
                    return Ok(Err(Stopped::Stale));
                }
                CacheOutcome::Unknown { reason } => {
                    return Err(ManifestError::Unsettled { reason }.into());
                }
            }
        }
        Ok(Err(Stopped::Stale))
    }

    /// Writes the objects; `None` if there is none.
    async fn write(&self, task: &Task, built: &mut Built) -> Option<CacheCommit> {
        let object = DrawnObject::draw(&self.bucket)?;
        let mut add = Vec::new();
        for layer in &built.layers {
            let written = self.put(task, layer, object).await;
            if let Some(entry) = self.taken(task.database, layer.cache, written) {
                let drawn = object.drawn;
                add.push(NewCacheEntry { entry, drawn });
            }
        }
        built.layers.retain(|layer| {
            let mut written = add.iter();
            written.any(|new| new.entry.cache == layer.cache)
        });
        let entries = || add.iter().map(|new| &new.entry);
        let job = JobRecord {
            id: object.ulid,
            kind: JobKind::Cache,
            table: Some(task.table.id()),
            inputs: built.inputs,
            outputs: u32::try_from(add.len()).unwrap_or(u32::MAX),
            rows: entries().map(|entry| entry.rows).sum(),
            bytes_in: built.bytes_in,
            bytes_out: entries().map(|entry| entry.length).sum(),
            duration_ms: millis(self.bucket.world().elapsed(&task.begun)),
            finished: self.bucket.clock().now().unwrap_or_default(),
            version: 0,
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
        task: &Task,
        layer: &BuiltCache,
        object: DrawnObject,
    ) -> Result<CacheEntry, ObjectError> {
        let (cache, put_id) = (layer.cache, self.objects.put_id());
        let contents = layer.contents.clone();
        let size = contents.size_bytes() as u64;
        let encoded = worked(size, move || Encoded::of(cache, put_id, contents)).await?;
        let place = (cache, task.table.id());
        self.objects
            .write(task.database, place, object, encoded)
            .await
    }
}

/// About how many rows a task reads.
fn rows_of(manifest: &Manifest, task: &Task) -> u64 {
    let (table, from) = (task.table.id(), task.from());
    let sections = manifest.sections.iter();
    let inline = sections.filter(|section| section.table == table && section.max_time >= from);
    let pages = manifest.pages.iter();
    let paged = pages.filter(|page| page.may_hold(table) && page.max_time >= from);
    let rows = inline
        .map(|section| section.rows)
        .chain(paged.map(PageRef::rows_per_table));
    rows.fold(0, u64::saturating_add)
}
