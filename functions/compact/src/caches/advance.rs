//! Advances the caches of the tables that a flush touches.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use arrow_array::RecordBatch;
use futures::{StreamExt, stream};
use neap_bucket::{Bucket, ClockReading, Stamp, StoreTime, VersionedValue};
use neap_cache::{CacheError, CacheLayer, CacheLayerBuilder, CacheShape};
use neap_catalog::{DatabaseCatalog, Table};
use neap_manifest::{CacheEntry, CacheUpdate, Manifest, NewCacheEntry, PendingObject};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{CacheId, DatabaseId, TableId};
use tokio::sync::Semaphore;

use super::{
    CacheObjects,
    contents::{MAX_CONTENT_BYTES, advanced},
    objects::{EncodedCacheObject, ObjectError, run_blocking},
};
use crate::removal::is_being_removed;

/// Maximum number of caches processed in parallel.
const PARALLEL_CACHES: usize = 4;

/// Time that a flush spends on caches. Caches that are not done by then leave the manifest, and are filled again later.
const ADVANCE_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Memory for caches that are processed in parallel, in bytes. A cache that needs more is processed alone.
const ADVANCE_MEMORY_BYTES: u64 = 128 << 20;

/// Ratio of the memory for decoding, changing and encoding an object to its length.
const DECODE_MEMORY_FACTOR: u64 = 4;

/// Memory for the contents of all caches from one interval, in bytes.
const INTERVAL_BYTES: usize = 128 << 20;

/// A cache that has an object.
#[derive(Clone, Debug)]
pub(crate) struct MaterializedCache {
    entry: CacheEntry,
    shape: CacheShape,
    /// Rows before this time are dropped.
    from: i64,
}

/// The caches of a database that have objects, and the dropped caches.
#[derive(Clone, Debug, Default)]
pub(crate) struct MaterializedCaches {
    by_table: BTreeMap<TableId, Vec<MaterializedCache>>,
    pub(crate) gone: BTreeSet<CacheId>,
}

impl MaterializedCaches {
    /// Returns the caches of some tables in a manifest, according to the catalog of a flush. If the catalog is older
    /// than the manifest requires, returns no caches.
    pub(crate) fn new(
        manifest: &Manifest,
        catalog: &VersionedValue<DatabaseCatalog>,
        tables: &BTreeSet<TableId>,
        now: StoreTime,
    ) -> Self {
        let mut kept = Self { gone: gone(manifest, &catalog.value), ..Self::default() };
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
            let stored = found.stored();
            let caches = CacheShape::all_of(&stored).filter_map(|(cache, shape)| {
                let entry = CacheEntry::clone(entries.get(&cache)?);
                Some(MaterializedCache { from: shape.complete_from(now), entry, shape })
            });
            kept.by_table.insert(table, caches.collect());
        }
        kept
    }

    /// Returns whether a table has such caches.
    pub(crate) fn has_any_of(&self, table: &Table) -> bool {
        let caches = self.by_table.get(&table.id());
        caches.is_some_and(|caches| !caches.is_empty())
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
pub(crate) struct IntervalLayers {
    by_cache: BTreeMap<CacheId, Result<CacheLayer, CacheError>>,
    /// Remaining memory, in bytes.
    left: usize,
}

impl Default for IntervalLayers {
    /// Creates an empty interval with the memory limit of a flush.
    fn default() -> Self {
        Self { by_cache: BTreeMap::new(), left: INTERVAL_BYTES }
    }
}

impl IntervalLayers {
    /// Adds the rows of a table to the contents of its caches.
    pub(crate) fn take_in<'a>(
        &mut self,
        kept: &MaterializedCaches,
        table: &Table,
        rows: impl Iterator<Item = &'a RecordBatch> + Clone,
    ) {
        let caches = kept.by_table.get(&table.id());
        for cache in caches.into_iter().flatten() {
            let limit = self.left.min(MAX_CONTENT_BYTES);
            let mut builder = CacheLayerBuilder::new(&cache.shape, cache.from, limit);
            let pushed = rows.clone().try_for_each(|rows| builder.push(rows));
            let contents = pushed.and_then(|()| builder.finish());
            if let Ok(contents) = &contents {
                self.left = self.left.saturating_sub(contents.size_bytes());
            }
            self.by_cache.insert(cache.entry.cache, contents);
        }
    }
}

/// A cache to advance to the cut of a flush.
struct CacheAdvance {
    cache: MaterializedCache,
    newer: Result<CacheLayer, CacheError>,
    deletes: Vec<Condition>,
}

impl CacheAdvance {
    /// Returns the approximate memory of this work in bytes.
    fn size_bytes(&self) -> u64 {
        let newer = self.newer.as_ref().map_or(0, CacheLayer::size_bytes) as u64;
        let base = self.cache.entry.length.saturating_mul(DECODE_MEMORY_FACTOR);
        base.saturating_add(newer)
    }
}

/// Time and memory of a flush for its caches.
struct AdvanceBudget<'a> {
    bucket: &'a Bucket,
    started_at: ClockReading,
    /// Permits of 1 MiB.
    memory: Semaphore,
}

impl AdvanceBudget<'_> {
    fn left(&self) -> Duration {
        let spent = self.bucket.world().elapsed(&self.started_at);
        ADVANCE_TIME_LIMIT.saturating_sub(spent)
    }

    /// Waits until `bytes` bytes of memory are free, and runs `work` within the remaining time.
    async fn run_within<T>(
        &self,
        bytes: u64,
        work: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let share = mebibytes(bytes).clamp(1, mebibytes(ADVANCE_MEMORY_BYTES));
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
    kept: MaterializedCaches,
    mut interval: IntervalLayers,
    deletes: &[(Stamp, RowDelete)],
    object: PendingObject,
) -> Vec<CacheUpdate> {
    let mut steps = Vec::new();
    for (table, caches) in kept.by_table {
        let of_table = deletes.iter().filter(|(_, delete)| delete.table == table);
        let conditions: Vec<_> = of_table.map(|(_, delete)| delete.condition.clone()).collect();
        for cache in caches {
            let newer = interval.by_cache.remove(&cache.entry.cache);
            if newer.is_some() || !conditions.is_empty() {
                let nothing = || Ok(CacheLayer::empty(&cache.shape, cache.from));
                steps.push(CacheAdvance {
                    newer: newer.unwrap_or_else(nothing),
                    deletes: conditions.clone(),
                    cache,
                });
            }
        }
    }
    let bucket = objects.bucket();
    let permits = usize::try_from(mebibytes(ADVANCE_MEMORY_BYTES)).unwrap_or(1);
    let budget = AdvanceBudget {
        bucket,
        started_at: bucket.world().clock_reading(),
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
    step: CacheAdvance,
    object: PendingObject,
    budget: &AdvanceBudget<'_>,
) -> CacheUpdate {
    let from = step.cache.entry.clone();
    let bytes = step.size_bytes();
    let written = write(objects, database, step, object);
    let written = budget.run_within(bytes, written).await;
    let to = match written {
        Ok(entry) => Some(NewCacheEntry { entry, drawn: object.drawn }),
        Err(error) => {
            let (cache, table) = (from.cache, from.table);
            tracing::info!(%database, %table, %cache, %error, "dropped a cache object, which will be rebuilt");
            None
        }
    };
    objects.forget(database, &from).await;
    CacheUpdate { from, to }
}

async fn write(
    objects: &CacheObjects,
    database: DatabaseId,
    step: CacheAdvance,
    object: PendingObject,
) -> Result<CacheEntry, ObjectError> {
    let bytes = step.size_bytes();
    let CacheAdvance {
        cache: MaterializedCache { entry, shape, from },
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
        EncodedCacheObject::encode(entry.cache, put_id, contents)
    };
    let encoded = run_blocking(bytes, work).await?;
    objects.write(database, place, object, encoded).await
}
