//! Base layers of last and distinct value caches: the part of a cache that comes from sections, in memory.
//!
//! ```text
//!   object that the manifest names --GET--> base layer --less expired rows, deletes in the tail--> base layer
//!                                                        | the rows that move up are not in the layer
//!   sections --------------------scan, with all deletes--v---------------------------------------> base layer
//! ```
//!
//! A base layer is immutable: its id lists its inputs. Queries that need a layer while it is built wait for it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use datafusion::{common::Result, error::DataFusionError, execution::SessionState};
use moka::{future, policy::EvictionPolicy};
use neap_bucket::{Bucket, FormatError, Get, GetOptions, Key, SegmentName, Stamp};
use neap_cache::{CLOCK_SLACK, CacheError, CacheLayer, CacheShape};
use neap_manifest::CacheEntry;
use neap_row_delete::Condition;
use neap_scan::{IoRuntime, SectionDataError, SnapshotTable, external, is_temporary};
use neap_schema::{CacheId, DatabaseId, TableId};
use tokio::sync::Semaphore;
use ulid::Ulid;

mod build;

use build::{BaseLayerBuild, BaseLayerBuildError};

use crate::background::in_background;

/// The time for which a cache is refreshed after its last use.
const REFRESH_AFTER_USE: Duration = Duration::from_secs(120);

/// Maximum number of caches that are refreshed, and maximum number of caches that are remembered as too large.
const MAX_TRACKED_CACHES: usize = 1_000;

/// The time after which a cache that was too large may be built by a scan again.
const TOO_LARGE_RETRY_DELAY: Duration = Duration::from_secs(600);

/// The time after which an unused layer is evicted.
const MAX_IDLE_TIME: Duration = Duration::from_secs(600);

/// Memory of a cache entry besides its layer, in bytes: its id, and its slots in maps and queues.
const ENTRY_BYTES: usize = 256;

/// A base layer that is built by a scan may take the memory limit of all base layers divided by this.
const BUILD_MEMORY_DIVISOR: usize = 4;

/// Maximum number of reads of an object whose length or checksum does not match.
const READ_ATTEMPTS: usize = 2;

/// The id of a base layer: everything that its rows depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BaseLayerId {
    database: DatabaseId,
    cache: CacheId,
    origin: LayerOrigin,
    /// The version of the table's columns.
    columns: u32,
    /// The layer has no rows before this time because they have expired. In nanoseconds since the Unix epoch.
    floor: Option<i64>,
    /// The segments whose deletes are applied to the layer.
    deletes: Vec<SegmentName>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LayerOrigin {
    /// The object of a cache entry in the manifest.
    Object(Ulid),
    /// A scan of the sections at a low-water mark. `expired` is the manifest version in which rows of the table last
    /// expired.
    Sections { mark: Stamp, expired: Option<u64> },
}

/// A base layer, or `None` if there is no usable one because it is too large or damaged, or lacks the rows that would
/// replace hidden ones.
type CachedLayer = Option<CacheLayer>;

pub(crate) struct BaseLayerRequest<'a> {
    pub(crate) rows: &'a SnapshotTable,
    pub(crate) cache: CacheId,
    /// The columns and keys of the layer.
    pub(crate) shape: &'a CacheShape,
    /// The layer must have all rows from this time on. In nanoseconds since the Unix epoch.
    pub(crate) from: i64,
    /// Whether the request counts as a hit or miss: true for queries, false for refreshes.
    pub(crate) is_counted: bool,
    /// Whether the layer may be built by a scan of the sections.
    pub(crate) may_scan: ScanPolicy,
    /// Creates the session that executes the scan.
    pub(crate) session: &'a (dyn Fn() -> SessionState + Send + Sync),
}

/// Whether a base layer may be built by a scan of the sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanPolicy {
    /// A scan is allowed.
    Always,
    /// A scan is allowed unless the tail has deletes, because otherwise each delete would cause a scan even without
    /// queries.
    UnlessRowsAreDeleted,
    /// A scan is not allowed.
    Never,
}

/// A cache of recently used base layers.
#[derive(derive_more::Debug)]
#[debug("CacheLayers {{ .. }}")]
pub struct CacheLayers {
    bucket: Bucket,
    io_runtime: IoRuntime,
    kept: future::Cache<BaseLayerId, CachedLayer>,
    limit_bytes: usize,
    /// Limits builds by a scan to one at a time.
    building: Semaphore,
    /// Maximum duration of a build.
    timeout: Duration,
    counts: CacheCounters,
    /// The recently used caches, with the time of the last use by the monotonic clock.
    asked: Mutex<BTreeMap<(DatabaseId, TableId, CacheId), Duration>>,
    /// The caches that were too large to be built by a scan, with the time of the attempt by the monotonic clock.
    too_large: Mutex<BTreeMap<(DatabaseId, CacheId), Duration>>,
}

#[derive(Debug, Default)]
struct CacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    loads: AtomicU64,
    scans: AtomicU64,
    nanos: AtomicU64,
}

/// Statistics of last and distinct value caches: their base layers in memory, and how requests were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes of base layers in memory. Overlays over tails are not included.
    pub bytes: u64,
    /// The number of base layers in memory.
    pub entries: u64,
    /// Requests that were answered with a base layer in memory.
    pub hits: u64,
    /// Requests that loaded or built a base layer, or that were answered from the table.
    pub misses: u64,
    /// Objects that were read from the bucket.
    pub loads: u64,
    /// Base layers that were built by a scan of the table.
    pub scans: u64,
    /// The total time of loads and builds.
    pub time: Duration,
}

impl CacheLayers {
    /// Creates an empty cache of at most `limit_bytes`. Requests to the bucket run on `io_runtime`. A build is
    /// cancelled after `timeout`.
    pub fn new(bucket: Bucket, io_runtime: IoRuntime, limit_bytes: u64, timeout: Duration) -> Self {
        let kept = future::Cache::builder()
            .max_capacity(limit_bytes)
            // LRU, because the newest layer of a cache is used next, however often older ones were used.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|id: &BaseLayerId, kept: &CachedLayer| {
                let bytes = ENTRY_BYTES
                    + id.names_bytes()
                    + kept.as_ref().map_or(0, CacheLayer::size_bytes);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            // Entries without a layer are small, so the capacity alone would evict them too late.
            .time_to_idle(MAX_IDLE_TIME)
            .build();
        Self {
            bucket,
            io_runtime,
            kept,
            limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            building: Semaphore::new(1),
            timeout,
            counts: CacheCounters::default(),
            asked: Mutex::default(),
            too_large: Mutex::default(),
        }
    }

    /// Records that a query uses a cache.
    pub(crate) fn note(&self, rows: &SnapshotTable, cache: CacheId) {
        let now = self.bucket.world().clock.monotonic();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (rows.snapshot().database, rows.table().id(), cache);
        if asked.len() < MAX_TRACKED_CACHES || asked.contains_key(&id) {
            asked.insert(id, now);
        }
    }

    /// Returns the recently used caches of a database.
    pub fn warm(&self, database: DatabaseId) -> Vec<(TableId, CacheId)> {
        let now = self.bucket.world().clock.monotonic();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, when| now.saturating_sub(*when) <= REFRESH_AFTER_USE);
        let warm = asked.keys().filter(|(of, ..)| *of == database);
        warm.map(|(_, table, cache)| (*table, *cache)).collect()
    }

    /// Records that a cache is too large to be built by a scan.
    fn record_too_large(&self, id: (DatabaseId, CacheId)) {
        let now = self.bucket.world().clock.monotonic();
        let mut too_large = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        too_large.retain(|_, when| now.saturating_sub(*when) <= TOO_LARGE_RETRY_DELAY);
        if too_large.len() < MAX_TRACKED_CACHES {
            too_large.insert(id, now);
        }
    }

    /// Whether a build of a cache recently failed because the cache is too large.
    fn is_too_large(&self, id: (DatabaseId, CacheId)) -> bool {
        let now = self.bucket.world().clock.monotonic();
        let too_large = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        let when = too_large.get(&id);
        when.is_some_and(|when| now.saturating_sub(*when) <= TOO_LARGE_RETRY_DELAY)
    }

    /// Returns the current statistics.
    pub fn stats(&self) -> CacheStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            bytes: self.kept.weighted_size(),
            entries: self.kept.entry_count(),
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            loads: count(&self.counts.loads),
            scans: count(&self.counts.scans),
            time: Duration::from_nanos(count(&self.counts.nanos)),
        }
    }

    /// Returns the requested base layer: from memory, from the bucket, or built by a scan. `None` if there is no usable
    /// one.
    pub(crate) async fn get(
        self: &Arc<Self>,
        wanted: &BaseLayerRequest<'_>,
    ) -> Result<CachedLayer> {
        let deletes = wanted.deletes();
        let at_hand = self.at_hand(wanted, &deletes).await;
        if wanted.is_counted {
            let counter = match at_hand {
                Some(_) => &self.counts.hits,
                None => &self.counts.misses,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if at_hand.is_some() {
            return Ok(at_hand);
        }
        let started_at = self.bucket.world().clock_reading();
        let made = self.load_or_build(wanted, &deletes).await;
        let elapsed = self.bucket.world().elapsed(&started_at).as_nanos();
        let nanos = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.counts.nanos.fetch_add(nanos, Ordering::Relaxed);
        made
    }

    /// Returns the requested base layer if it is in memory.
    async fn at_hand(
        &self,
        wanted: &BaseLayerRequest<'_>,
        deletes: &[(SegmentName, Condition)],
    ) -> CachedLayer {
        if let Some(entry) = wanted.entry() {
            let base = self.kept.get(&wanted.id_of_entry(entry, deletes)).await;
            if let Some(base) = base.flatten()
                && base.complete_from() <= wanted.from
            {
                return Some(base);
            }
        }
        let base = self.kept.get(&wanted.id_of_scan(deletes)).await.flatten()?;
        (base.complete_from() <= wanted.from).then_some(base)
    }

    async fn load_or_build(
        self: &Arc<Self>,
        wanted: &BaseLayerRequest<'_>,
        deletes: &[(SegmentName, Condition)],
    ) -> Result<CachedLayer> {
        if let Some(entry) = wanted.entry() {
            match self.load_entry(wanted, entry, deletes).await {
                Ok(Some(base)) if base.complete_from() <= wanted.from => return Ok(Some(base)),
                // No scan: it would send more requests to a store that does not answer.
                Err(error) if is_temporary(&error) => return Err(error),
                // If the object is unusable for another reason, the sections have the same rows.
                Ok(_) | Err(_) => {}
            }
        }
        if wanted.has_sections() && !self.is_worth_a_scan(wanted, deletes) {
            return Ok(None);
        }
        let id = wanted.id_of_scan(deletes);
        let kept = self.kept.get(&id).await;
        if let Some(base) = kept.flatten()
            && base.complete_from() > wanted.from
        {
            // The cached layer starts too late, because the retention was extended after it was built.
            self.kept.invalidate(&id).await;
        }
        let made = match self.build_from_sections(wanted, id).await {
            // The table can answer although a build is running or timed out.
            Err(error) if is_not_built(&error) => return Ok(None),
            made => made?,
        };
        Ok(made.filter(|base| base.complete_from() <= wanted.from))
    }

    fn is_worth_a_scan(
        &self,
        wanted: &BaseLayerRequest<'_>,
        deletes: &[(SegmentName, Condition)],
    ) -> bool {
        let may_scan = match wanted.may_scan {
            ScanPolicy::Always => true,
            ScanPolicy::UnlessRowsAreDeleted => deletes.is_empty(),
            ScanPolicy::Never => false,
        };
        may_scan && !self.is_too_large(wanted.cache_id())
    }

    /// Returns the base layer of the manifest's cache entry, less expired rows and the rows deleted in the tail.
    async fn load_entry(
        &self,
        wanted: &BaseLayerRequest<'_>,
        entry: &CacheEntry,
        deletes: &[(SegmentName, Condition)],
    ) -> Result<CachedLayer> {
        let load = self.load_object(wanted, entry);
        let as_written = self
            .kept
            .try_get_with(BaseLayerId { floor: None, ..wanted.id_of_entry(entry, &[]) }, load)
            .await
            .map_err(DataFusionError::Shared)?;
        let Some(base) = as_written else {
            return Ok(None);
        };
        if entry.floor.is_none() && deletes.is_empty() {
            return Ok(Some(base));
        }
        let id = wanted.id_of_entry(entry, deletes);
        let conditions: Vec<Condition> = deletes.iter().map(|(_, what)| what.clone()).collect();
        let (shape, floor) = (wanted.shape.clone(), entry.floor);
        let reduced = async move {
            let reduce = move || {
                let conditions: Vec<&Condition> = conditions.iter().collect();
                base.without(&shape, &conditions, floor)
            };
            layer_if_usable(in_background(reduce).await?)
        };
        let reduced = self.kept.try_get_with(id, reduced).await;
        reduced.map_err(DataFusionError::Shared)
    }

    /// Reads and decodes the object of a cache entry. `None` if it is gone, invalid or larger than the limit.
    async fn load_object(
        &self,
        wanted: &BaseLayerRequest<'_>,
        entry: &CacheEntry,
    ) -> Result<CachedLayer> {
        let key = entry.key(wanted.rows.snapshot().database);
        if usize::try_from(entry.length).is_ok_and(|length| length > self.limit_bytes) {
            return Ok(None);
        }
        let Some(bytes) = self.read(&key, entry).await? else {
            return Ok(None);
        };
        let (cache, shape, limit) = (wanted.cache, wanted.shape.clone(), self.limit_bytes);
        let decode = move || CacheLayer::decode(cache, &key.to_string(), &bytes, &shape);
        let decoded = layer_if_usable(in_background(decode).await?)?;
        Ok(decoded.filter(|layer| layer.size_bytes() <= limit))
    }

    /// Reads the bytes of an object and verifies length and checksum; `None` if the object is gone.
    async fn read(&self, key: &Key, entry: &CacheEntry) -> Result<Option<Bytes>> {
        for _ in 0..READ_ATTEMPTS {
            let (bucket, name) = (self.bucket.clone(), key.clone());
            let request = async move { bucket.get(&name, GetOptions::default()).await };
            let answer = self
                .io_runtime
                .run(request)
                .await
                .map_err(|error| external(SectionDataError::Store(error)))?;
            self.counts.loads.fetch_add(1, Ordering::Relaxed);
            let Get::Found(object) = answer.value else {
                return Ok(None);
            };
            let is_whole = object.bytes.len() as u64 == entry.length
                && crc32c::crc32c(&object.bytes) == entry.crc32c;
            if is_whole {
                return Ok(Some(object.bytes));
            }
        }
        // An error is not cached, because the bytes may have been damaged in transit.
        Err(external(SectionDataError::Format(FormatError::Damaged {
            key: key.to_string(),
            reason: "its length or checksum differs from the manifest".to_owned(),
        })))
    }

    /// Returns the base layer of the sections. A separate task builds it and continues if the query that started it
    /// ends. Concurrent queries for the same layer wait for the task.
    async fn build_from_sections(
        self: &Arc<Self>,
        wanted: &BaseLayerRequest<'_>,
        id: BaseLayerId,
    ) -> Result<CachedLayer> {
        if !wanted.has_sections() {
            let none = Some(CacheLayer::empty(wanted.shape, i64::MIN));
            self.kept.insert(id, none.clone()).await;
            return Ok(none);
        }
        let first_seen = wanted.rows.first_seen();
        let slack = i64::try_from(CLOCK_SLACK.as_nanos()).unwrap_or(i64::MAX);
        let build = BaseLayerBuild {
            sections: wanted.rows.of_sections(),
            shape: wanted.shape.clone(),
            from: wanted.from.saturating_sub(slack).max(first_seen),
            limit_bytes: self.limit_bytes / BUILD_MEMORY_DIVISOR,
            session: (wanted.session)(),
        };
        let (layers, cache) = (Arc::clone(self), wanted.cache_id());
        let task = tokio::spawn(async move {
            let built = layers.run_build(build, cache);
            layers.kept.try_get_with(id, built).await
        });
        let built = task.await.map_err(external)?;
        built.map_err(DataFusionError::Shared)
    }

    async fn run_build(
        &self,
        build: BaseLayerBuild,
        cache: (DatabaseId, CacheId),
    ) -> Result<CachedLayer> {
        let Ok(_permit) = self.building.try_acquire() else {
            return Err(external(BaseLayerBuildError::Busy));
        };
        self.counts.scans.fetch_add(1, Ordering::Relaxed);
        let world = self.bucket.world();
        let built = world
            .timeout(self.timeout, build.run())
            .await
            .ok_or_else(|| external(BaseLayerBuildError::TimedOut))??;
        if matches!(built, Err(CacheError::TooLarge { .. })) {
            self.record_too_large(cache);
        }
        layer_if_usable(built)
    }
}

impl BaseLayerId {
    /// Heap memory of the id, in bytes.
    fn names_bytes(&self) -> usize {
        self.deletes.capacity() * size_of::<SegmentName>()
    }
}

impl BaseLayerRequest<'_> {
    fn cache_id(&self) -> (DatabaseId, CacheId) {
        (self.rows.snapshot().database, self.cache)
    }

    /// Returns the manifest's entry of the cache if it reaches back to `from`.
    fn entry(&self) -> Option<&CacheEntry> {
        let entry = self.rows.snapshot().manifest.value.cache(self.cache);
        entry.filter(|entry| entry.reaches_back_to() <= self.from)
    }

    /// Returns the deletes of this table in the tail.
    fn deletes(&self) -> Vec<(SegmentName, Condition)> {
        let table = self.rows.table().id();
        let segments = self.rows.snapshot().tail.iter();
        let deletes = segments.flat_map(|segment| {
            let ours = segment.deletes().iter().filter(move |delete| delete.table == table);
            ours.map(|delete| (segment.name(), delete.condition.clone()))
        });
        deletes.collect()
    }

    fn has_sections(&self) -> bool {
        let table = self.rows.table().id();
        let manifest = &self.rows.snapshot().manifest.value;
        manifest.sections.iter().any(|section| section.table == table)
            || manifest.pages.iter().any(|page| page.may_hold(table))
    }

    fn id_of_entry(&self, entry: &CacheEntry, deletes: &[(SegmentName, Condition)]) -> BaseLayerId {
        let origin = LayerOrigin::Object(entry.object);
        self.id(origin, entry.floor, deletes)
    }

    fn id_of_scan(&self, deletes: &[(SegmentName, Condition)]) -> BaseLayerId {
        let snapshot = self.rows.snapshot();
        let expiries = &snapshot.manifest.value.expiries;
        let table = self.rows.table().id();
        let ours = expiries.iter().rfind(|expiry| expiry.table == table);
        // The manifest lists only the latest expiries. An expiry that is not listed is older than the first of them.
        let last = ours.or(expiries.first());
        let origin = LayerOrigin::Sections {
            mark: snapshot.mark(),
            expired: last.map(|expiry| expiry.version),
        };
        self.id(origin, None, deletes)
    }

    fn id(
        &self,
        origin: LayerOrigin,
        floor: Option<i64>,
        deletes: &[(SegmentName, Condition)],
    ) -> BaseLayerId {
        BaseLayerId {
            database: self.rows.snapshot().database,
            cache: self.cache,
            origin,
            columns: self.rows.table().columns_version(),
            floor,
            deletes: deletes.iter().map(|(segment, _)| *segment).collect(),
        }
    }
}

/// Maps errors that mean "there is no usable layer" to `None`, so that the absence is cached.
fn layer_if_usable(made: Result<CacheLayer, CacheError>) -> Result<CachedLayer> {
    match made {
        Ok(layer) => Ok(Some(layer)),
        Err(CacheError::Incomplete | CacheError::TooLarge { .. } | CacheError::Format(_)) => {
            Ok(None)
        }
        Err(error) => Err(external(error)),
    }
}

/// Whether an error says that a base layer was not built this time and may be built later.
fn is_not_built(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::External(cause) if cause.is::<BaseLayerBuildError>())
}
