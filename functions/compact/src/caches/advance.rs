//! Advances the caches of the tables that a flush touches.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use arrow_array::RecordBatch;
use futures::{StreamExt, stream};
use neap_bucket::{Bucket, Moment, Stamp, StoreTime, Versioned};
use neap_cache::{CacheError, Layer, LayerBuilder, Shape};
use neap_catalog::{DatabaseCatalog, Table};
use neap_manifest::{CacheEntry, CacheUpdate, DrawnObject, Manifest, NewCacheEntry};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{CacheId, DatabaseId, TableId};
use tokio::sync::Semaphore;

use super::{
    CacheObjects,
    contents::{MAX_CONTENT_BYTES, advanced},
    objects::{Encoded, ObjectError, worked},
};
use crate::removal::is_being_removed;

/// Maximum number of caches processed in parallel.
const PARALLEL_CACHES: usize = 4;

/// Time that a flush spends on caches. Caches that are not done by then leave the manifest, and are filled again later.
const TIME: Duration = Duration::from_secs(20);

/// Memory for caches that are processed in parallel, in bytes. A cache that needs more is processed alone.
const MEMORY_BYTES: u64 = 128 << 20;

/// Ratio of the memory for decoding, changing and encoding an object to its length.
const UNPACKED: u64 = 4;

/// Memory for the contents of all caches from one interval, in bytes.
const INTERVAL_BYTES: usize = 128 << 20;

/// A cache that has an object.
#[derive(Clone, Debug)]
pub(crate) struct KeptCache {
    entry: CacheEntry,
    shape: Shape,
    /// Rows before this time are dropped.
    from: i64,
}

/// The caches of a database that have objects, and the dropped caches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    by_table: BTreeMap<TableId, Vec<KeptCache>>,
    pub(crate) gone: BTreeSet<CacheId>,
}

impl Kept {
    /// Returns the caches of some tables in a manifest, according to the catalog of a flush. If the catalog is older
    /// than the manifest requires, returns no caches.
    pub(crate) fn of(
        manifest: &Manifest,
        catalog: &Versioned<DatabaseCatalog>,
        tables: &BTreeSet<TableId>,
        now: StoreTime,
    ) -> Self {
        let mut kept = Self {
            gone: gone(manifest, &catalog.value),
            ..Self::default()
        };
        if catalog.version < manifest.needs_catalog {
            return kept;
        }
        let mut entries: BTreeMap<TableId, BTreeMap<CacheId, &CacheEntry>> = BTreeMap::new();
        for entry in &manifest.caches {
            if tables.contains(&entry.table) {
                let of_table = entries.entry(entry.table).or_default();
                of_table.insert(entry.cache, entry);
            }
        }
        for (table, entries) in entries {
            let Some(found) = catalog.value.table_by_id(table) else {
                continue;
            };
            let caches = Shape::all_of(found).filter_map(|(cache, shape)| {
                let entry = CacheEntry::clone(entries.get(&cache)?);
                Some(KeptCache {
                    from: shape.complete_from(now),
                    entry,
                    shape,
                })
            });
            kept.by_table.insert(table, caches.collect());
        }
        kept
    }
}

/// Returns whether a database has or had a cache.
pub(crate) fn has_had_caches(catalog: &DatabaseCatalog) -> bool {
    catalog.next_cache() != DatabaseCatalog::default().next_cache()
}

/// Returns the entries of dropped caches, and of tables whose data is being removed.
pub(crate) fn gone(manifest: &Manifest, catalog: &DatabaseCatalog) -> BTreeSet<CacheId> {
    if manifest.caches.is_empty() {
        return BTreeSet::new();
    }
    let there: BTreeSet<CacheId> = catalog.cache_ids().collect();
    let is_gone = |entry: &&CacheEntry| {
        let is_dropped = entry.cache < catalog.next_cache() && !there.contains(&entry.cache);
        let table = catalog.table_by_id(entry.table);
        is_dropped || table.is_some_and(|table| is_being_removed(table.deletion()))
    };
    let entries = manifest.caches.iter().filter(is_gone);
    entries.map(|entry| entry.cache).collect()
}

/// Cache contents from the rows of an interval.
#[derive(Debug)]
pub(crate) struct Interval {
    by_cache: BTreeMap<CacheId, Result<Layer, CacheError>>,
    /// Remaining memory, in bytes.
    left: usize,
}

impl Default for Interval {
    /// Creates an empty interval with the memory limit of a flush.
    fn default() -> Self {
        Self {
            by_cache: BTreeMap::new(),
            left: INTERVAL_BYTES,
        }
    }
}

impl Interval {
    /// Adds the rows of a table to the contents of its caches.
    pub(crate) fn take_in(&mut self, kept: &Kept, table: &Table, rows: &RecordBatch) {
        let caches = kept.by_table.get(&table.id());
        for cache in caches.into_iter().flatten() {
            let limit = self.left.min(MAX_CONTENT_BYTES);
            let mut builder = LayerBuilder::new(&cache.shape, cache.from, limit);
            let contents = builder.push(rows).and_then(|()| builder.finish());
            if let Ok(contents) = &contents {
                self.left = self.left.saturating_sub(contents.size_bytes());
            }
            self.by_cache.insert(cache.entry.cache, contents);
        }
    }
}

/// A cache to advance to the cut of a flush.
struct Step {
    cache: KeptCache,
    newer: Result<Layer, CacheError>,
    deletes: Vec<Condition>,
}

impl Step {
    /// Returns the approximate memory of this work in bytes.
    fn size_bytes(&self) -> u64 {
        let newer = self.newer.as_ref().map_or(0, Layer::size_bytes) as u64;
        let base = self.cache.entry.length.saturating_mul(UNPACKED);
        base.saturating_add(newer)
    }
}

/// Time and memory of a flush for its caches.
struct Budget<'a> {
    bucket: &'a Bucket,
    begun: Moment,
    /// Permits of 1 MiB.
    memory: Semaphore,
}

impl Budget<'_> {
    fn left(&self) -> Duration {
        let spent = self.bucket.world().elapsed(&self.begun);
        TIME.saturating_sub(spent)
    }

    /// Waits until `bytes` bytes of memory are free, and runs `work` within the remaining time.
    async fn spend<T>(
        &self,
        bytes: u64,
        work: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let share = mebibytes(bytes).clamp(1, mebibytes(MEMORY_BYTES));
        let work = async {
            let room = self.memory.acquire_many(share).await;
            let _room = room.map_err(|_| ObjectError::Stopped)?;
            work.await
        };
        let left = self.left();
        if left.is_zero() {
            return Err(ObjectError::OutOfTime);
        }
        let done = self.bucket.world().timeout(left, work).await;
        done.unwrap_or(Err(ObjectError::OutOfTime))
    }
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
}

/// Writes new objects for the caches of tables with rows or deletes in an interval. Removes the entry of a cache that
/// cannot be advanced quickly, because the flush must not wait for it.
pub(crate) async fn advance(
    objects: &CacheObjects,
    database: DatabaseId,
    kept: Kept,
    mut interval: Interval,
    deletes: &[(Stamp, RowDelete)],
    object: DrawnObject,
) -> Vec<CacheUpdate> {
    let mut steps = Vec::new();
    for (table, caches) in kept.by_table {
        let of_table = deletes.iter().filter(|(_, delete)| delete.table == table);
        let conditions: Vec<_> = of_table
            .map(|(_, delete)| delete.condition.clone())
            .collect();
        for cache in caches {
            let newer = interval.by_cache.remove(&cache.entry.cache);
            if newer.is_some() || !conditions.is_empty() {
                let nothing = || Ok(Layer::empty(&cache.shape, cache.from));
                steps.push(Step {
                    newer: newer.unwrap_or_else(nothing),
                    deletes: conditions.clone(),
                    cache,
                });
            }
        }
    }
    let bucket = objects.bucket();
    let permits = usize::try_from(mebibytes(MEMORY_BYTES)).unwrap_or(1);
    let budget = Budget {
        bucket,
        begun: bucket.world().moment(),
        memory: Semaphore::new(permits),
    };
    stream::iter(steps)
        .map(|step| update(objects, database, step, object, &budget))
        .buffered(PARALLEL_CACHES)
        .collect()
        .await
}

async fn update(
    objects: &CacheObjects,
    database: DatabaseId,
    step: Step,
    object: DrawnObject,
    budget: &Budget<'_>,
) -> CacheUpdate {
    let from = step.cache.entry.clone();
    let bytes = step.size_bytes();
    let written = write(objects, database, step, object);
    let written = budget.spend(bytes, written).await;
    let to = match written {
        Ok(entry) => Some(NewCacheEntry {
            entry,
            drawn: object.drawn,
        }),
        Err(error) => {
            let (cache, table) = (from.cache, from.table);
            tracing::info!(%database, %table, %cache, %error, "a cache has to be filled again");
            None
        }
    };
    objects.forget(database, &from).await;
    CacheUpdate { from, to }
}

async fn write(
    objects: &CacheObjects,
    database: DatabaseId,
    step: Step,
    object: DrawnObject,
) -> Result<CacheEntry, ObjectError> {
    let bytes = step.size_bytes();
    let Step {
        cache: KeptCache { entry, shape, from },
        newer,
        deletes,
    } = step;
    let newer = newer?;
    let base = objects.fetch(database, &entry).await?;
    let (place, put_id) = ((entry.cache, entry.table), objects.put_id());
    let work = move || {
        let deletes: Vec<_> = deletes.iter().collect();
        let base = base.decoded(&entry, &shape)?;
        let contents = advanced(&base, &shape, &deletes, entry.floor, &newer, from)?;
        Encoded::of(entry.cache, put_id, contents)
    };
    let encoded = worked(bytes, work).await?;
    objects.write(database, place, object, encoded).await
}
