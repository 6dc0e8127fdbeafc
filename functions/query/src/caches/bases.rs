//! Bases: what caches hold of the sections, in memory.
//!
//! ```text
//!   object that the manifest names --GET--> base --less expired rows, deletes in the tail--> base
//!                                                        | can't be told what moves up
//!   sections --------------------scan, with all deletes--v----------------------------> base
//! ```
//!
//! A base never changes: what it is made of is its name. Queries that come while one is made wait for it.

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
use neap_cache::{CLOCK_SLACK, CacheError, Layer, Shape};
use neap_manifest::CacheEntry;
use neap_row_delete::Condition;
use neap_schema::{CacheId, DatabaseId, TableId};
use tokio::sync::Semaphore;
use ulid::Ulid;

use super::build::{Build, NotBuilt};
use crate::{
    executor::Home,
    scan::{self, DataError, SnapshotTable, external},
};

/// How long a cache is kept up to date after it was asked for.
const WARM_FOR: Duration = Duration::from_secs(120);

/// The most caches that are kept up to date, and of which it is known that they are too large.
const MAX_WARM: usize = 1_000;

/// How long a cache that proved too large is not built again by a scan.
const TOO_LARGE_FOR: Duration = Duration::from_secs(600);

/// How long contents stay that nobody asks for.
const IDLE_FOR: Duration = Duration::from_secs(600);

/// What an entry takes beside its contents: its name, and its places in maps and queues.
const ENTRY_BYTES: usize = 256;

/// The part of the memory for all bases that one may take which is built by a scan.
const BUILT_PART: usize = 4;

/// How often an object is read that does not arrive as it was written.
const READS: usize = 2;

/// What a base is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BaseId {
    database: DatabaseId,
    cache: CacheId,
    origin: Origin,
    /// The number of the table's columns, none of which ever leaves or changes.
    columns: usize,
    /// Rows before this time have expired.
    floor: Option<i64>,
    /// The segments with deletes that are applied.
    deletes: Vec<SegmentName>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// An object.
    Object(Ulid),
    /// The sections at a mark, of which rows were left out for the last time in this version of the manifest.
    Sections { mark: Stamp, expired: Option<u64> },
}

/// What is kept: a base, or that there can't be one since it is too large, damaged, or misses what would move up.
type Kept = Option<Layer>;

/// What a query needs a base for.
pub(super) struct BaseWanted<'a> {
    /// The rows of the table.
    pub(super) rows: &'a SnapshotTable,
    /// The cache.
    pub(super) cache: CacheId,
    /// What it is to hold.
    pub(super) shape: &'a Shape,
    /// The time from which on all rows must be known.
    pub(super) from: i64,
    /// Whether a query asks, rather than somebody who prepares for one.
    pub(super) is_counted: bool,
    /// Whether it is worth a scan of the sections.
    pub(super) may_scan: MayScan,
    /// Makes a session to scan with.
    pub(super) session: &'a (dyn Fn() -> SessionState + Send + Sync),
}

/// Whether a base is worth a scan of the sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayScan {
    /// Yes.
    Always,
    /// Not if the tail has deletes: each would be followed by a scan, although nobody has asked since.
    UnlessRowsAreDeleted,
    /// No.
    Never,
}

/// The bases that were asked for lately.
pub(crate) struct Bases {
    bucket: Bucket,
    home: Home,
    kept: future::Cache<BaseId, Kept>,
    limit_bytes: usize,
    /// One base is built by a scan at a time.
    building: Semaphore,
    /// The longest that this takes.
    timeout: Duration,
    counts: Counts,
    /// The caches that were asked for lately, and when, by the clock that never goes back.
    asked: Mutex<BTreeMap<(DatabaseId, TableId, CacheId), Duration>>,
    /// The caches that proved too large for a scan, and when.
    too_large: Mutex<BTreeMap<(DatabaseId, CacheId), Duration>>,
}

impl std::fmt::Debug for Bases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bases").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    loads: AtomicU64,
    scans: AtomicU64,
    nanos: AtomicU64,
}

/// What became of the questions to last and distinct value caches, and what is kept for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// The bytes of their contents in memory, beside those of tails.
    pub bytes: u64,
    /// The number of contents in memory.
    pub entries: u64,
    /// Questions that were answered with contents in memory.
    pub hits: u64,
    /// Questions for which contents had to be loaded or built, or that were answered from the table.
    pub misses: u64,
    /// Contents that were read from the bucket.
    pub loads: u64,
    /// Contents that were built by a scan of the table.
    pub scans: u64,
    /// The time that this took.
    pub time: Duration,
}

impl Bases {
    /// None yet; together at most `limit_bytes`. The bucket is asked at `home`. To build one takes no longer than `timeout`.
    pub(crate) fn new(bucket: Bucket, home: Home, limit_bytes: u64, timeout: Duration) -> Self {
        let kept = future::Cache::builder()
            .max_capacity(limit_bytes)
            // What was made last is asked for next, however often others were.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|id: &BaseId, kept: &Kept| {
                let bytes =
                    ENTRY_BYTES + id.names_bytes() + kept.as_ref().map_or(0, Layer::size_bytes);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            // Those without contents would stay long, small as they are.
            .time_to_idle(IDLE_FOR)
            .build();
        Self {
            bucket,
            home,
            kept,
            limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            building: Semaphore::new(1),
            timeout,
            counts: Counts::default(),
            asked: Mutex::default(),
            too_large: Mutex::default(),
        }
    }

    /// Notes that a query asks for a cache.
    pub(super) fn note(&self, rows: &SnapshotTable, cache: CacheId) {
        let now = self.bucket.world().clock.monotonic();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (rows.snapshot().database, rows.table().id(), cache);
        if asked.len() < MAX_WARM || asked.contains_key(&id) {
            asked.insert(id, now);
        }
    }

    /// The caches of a database that were asked for lately.
    pub(crate) fn warm(&self, database: DatabaseId) -> Vec<(TableId, CacheId)> {
        let now = self.bucket.world().clock.monotonic();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, when| now.saturating_sub(*when) <= WARM_FOR);
        let warm = asked.keys().filter(|(of, ..)| *of == database);
        warm.map(|(_, table, cache)| (*table, *cache)).collect()
    }

    /// Notes that a cache is too large.
    fn note_too_large(&self, id: (DatabaseId, CacheId)) {
        let now = self.bucket.world().clock.monotonic();
        let too_large = self.too_large.lock();
        let mut too_large = too_large.unwrap_or_else(PoisonError::into_inner);
        too_large.retain(|_, when| now.saturating_sub(*when) <= TOO_LARGE_FOR);
        if too_large.len() < MAX_WARM {
            too_large.insert(id, now);
        }
    }

    /// Whether a cache proved too large lately.
    fn is_too_large(&self, id: (DatabaseId, CacheId)) -> bool {
        let now = self.bucket.world().clock.monotonic();
        let too_large = self.too_large.lock();
        let too_large = too_large.unwrap_or_else(PoisonError::into_inner);
        let when = too_large.get(&id);
        when.is_some_and(|when| now.saturating_sub(*when) <= TOO_LARGE_FOR)
    }

    /// What was done so far.
    pub(crate) fn stats(&self) -> CacheStats {
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

    /// The base that is wanted; `None` if there can't be one.
    pub(super) async fn get(&self, wanted: &BaseWanted<'_>) -> Result<Kept> {
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
        let begun = self.bucket.world().moment();
        let made = self.make(wanted, &deletes).await;
        let nanos = self.bucket.world().elapsed(&begun).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.counts.nanos.fetch_add(nanos, Ordering::Relaxed);
        made
    }

    /// The base, if it is in memory.
    async fn at_hand(&self, wanted: &BaseWanted<'_>, deletes: &[(SegmentName, Condition)]) -> Kept {
        if let Some(entry) = wanted.entry() {
            let base = self.kept.get(&wanted.id_of_entry(entry, deletes)).await;
            if let Some(base) = base.flatten()
                && base.complete_from() <= wanted.from
            {
                return Some(base);
            }
        }
        let base = self.kept.get(&wanted.id_of_scan(deletes)).await;
        let base = base.flatten()?;
        (base.complete_from() <= wanted.from).then_some(base)
    }

    async fn make(
        &self,
        wanted: &BaseWanted<'_>,
        deletes: &[(SegmentName, Condition)],
    ) -> Result<Kept> {
        if let Some(entry) = wanted.entry() {
            match self.of_entry(wanted, entry, deletes).await {
                Ok(Some(base)) if base.complete_from() <= wanted.from => return Ok(Some(base)),
                // A scan asks more of a store that does not answer.
                Err(error) if scan::is_temporary(&error) => return Err(error),
                // Whatever else is wrong with the object, the sections have the same.
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
            // Rows are kept for longer since then.
            self.kept.invalidate(&id).await;
        }
        let made = match self.scanned(wanted, id).await {
            // The table is not so busy.
            Err(error) if is_not_built(&error) => return Ok(None),
            made => made?,
        };
        Ok(made.filter(|base| base.complete_from() <= wanted.from))
    }

    fn is_worth_a_scan(
        &self,
        wanted: &BaseWanted<'_>,
        deletes: &[(SegmentName, Condition)],
    ) -> bool {
        let may_scan = match wanted.may_scan {
            MayScan::Always => true,
            MayScan::UnlessRowsAreDeleted => deletes.is_empty(),
            MayScan::Never => false,
        };
        may_scan && !self.is_too_large(wanted.cache_id())
    }

    /// The base that the manifest names.
    async fn of_entry(
        &self,
        wanted: &BaseWanted<'_>,
        entry: &CacheEntry,
        deletes: &[(SegmentName, Condition)],
    ) -> Result<Kept> {
        let load = self.loaded(wanted, entry);
        let as_written = self.kept.try_get_with(
            BaseId {
                floor: None,
                ..wanted.id_of_entry(entry, &[])
            },
            load,
        );
        let as_written = as_written.await.map_err(DataFusionError::Shared)?;
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
            usable(in_background(reduce).await?)
        };
        let reduced = self.kept.try_get_with(id, reduced).await;
        reduced.map_err(DataFusionError::Shared)
    }

    /// Reads an object.
    async fn loaded(&self, wanted: &BaseWanted<'_>, entry: &CacheEntry) -> Result<Kept> {
        let key = entry.key(wanted.rows.snapshot().database);
        if usize::try_from(entry.length).is_ok_and(|length| length > self.limit_bytes) {
            return Ok(None);
        }
        let Some(bytes) = self.read(&key, entry).await? else {
            return Ok(None);
        };
        let (cache, shape, limit) = (wanted.cache, wanted.shape.clone(), self.limit_bytes);
        let decode = move || Layer::decode(cache, &key.to_string(), &bytes, &shape);
        let decoded = usable(in_background(decode).await?)?;
        Ok(decoded.filter(|layer| layer.size_bytes() <= limit))
    }

    /// The bytes of an object; `None` if it is gone.
    async fn read(&self, key: &Key, entry: &CacheEntry) -> Result<Option<Bytes>> {
        for _ in 0..READS {
            let (bucket, name) = (self.bucket.clone(), key.clone());
            let answer = async move { bucket.get(&name, GetOptions::default()).await };
            let answer = self.home.run(answer).await;
            let answer = answer.map_err(|error| external(DataError::Store(error)))?;
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
        // It may have been damaged on its way, so that nothing is remembered.
        Err(external(DataError::Format(FormatError::Damaged {
            key: key.to_string(),
            reason: "it is not what the manifest says".to_owned(),
        })))
    }

    /// A base of the sections. It is built by a task of its own, which goes on if the query that asked for it
    /// first ends; queries that come meanwhile wait for it.
    async fn scanned(&self, wanted: &BaseWanted<'_>, id: BaseId) -> Result<Kept> {
        if !wanted.has_sections() {
            let none = Some(Layer::empty(wanted.shape, i64::MIN));
            self.kept.insert(id, none.clone()).await;
            return Ok(none);
        }
        let first_seen = wanted.rows.first_seen();
        let slack = i64::try_from(CLOCK_SLACK.as_nanos()).unwrap_or(i64::MAX);
        let build = Build {
            sections: wanted.rows.of_sections(),
            shape: wanted.shape.clone(),
            from: wanted.from.saturating_sub(slack).max(first_seen),
            limit_bytes: self.limit_bytes / BUILT_PART,
            session: (wanted.session)(),
        };
        let (shared, cache) = (Arc::clone(wanted.rows.shared()), wanted.cache_id());
        let task = tokio::spawn(async move {
            let bases = &shared.bases;
            bases.kept.try_get_with(id, bases.built(build, cache)).await
        });
        let built = task.await.map_err(external)?;
        built.map_err(DataFusionError::Shared)
    }

    async fn built(&self, build: Build, cache: (DatabaseId, CacheId)) -> Result<Kept> {
        let Ok(_permit) = self.building.try_acquire() else {
            return Err(external(NotBuilt::Busy));
        };
        self.counts.scans.fetch_add(1, Ordering::Relaxed);
        let world = self.bucket.world();
        let built = world.timeout(self.timeout, build.run()).await;
        let built = built.ok_or_else(|| external(NotBuilt::TookTooLong))??;
        if matches!(built, Err(CacheError::TooLarge { .. })) {
            self.note_too_large(cache);
        }
        usable(built)
    }
}

impl BaseId {
    /// The bytes of its names beside itself.
    fn names_bytes(&self) -> usize {
        self.deletes.capacity() * size_of::<SegmentName>()
    }
}

impl BaseWanted<'_> {
    fn cache_id(&self) -> (DatabaseId, CacheId) {
        (self.rows.snapshot().database, self.cache)
    }

    /// The entry of the cache, if it reaches back as far as is wanted.
    fn entry(&self) -> Option<&CacheEntry> {
        let entry = self.rows.snapshot().manifest.value.cache(self.cache);
        entry.filter(|entry| entry.reaches_back_to() <= self.from)
    }

    /// The deletes of the tail.
    fn deletes(&self) -> Vec<(SegmentName, Condition)> {
        let table = self.rows.table().id();
        let segments = self.rows.snapshot().tail.iter();
        let deletes = segments.flat_map(|segment| {
            let ours = segment.deletes().iter();
            let ours = ours.filter(move |delete| delete.table == table);
            ours.map(|delete| (segment.name(), delete.condition.clone()))
        });
        deletes.collect()
    }

    fn has_sections(&self) -> bool {
        let table = self.rows.table().id();
        let manifest = &self.rows.snapshot().manifest.value;
        manifest
            .sections
            .iter()
            .any(|section| section.table == table)
            || manifest.pages.iter().any(|page| page.may_hold(table))
    }

    fn id_of_entry(&self, entry: &CacheEntry, deletes: &[(SegmentName, Condition)]) -> BaseId {
        let origin = Origin::Object(entry.object);
        self.id(origin, entry.floor, deletes)
    }

    fn id_of_scan(&self, deletes: &[(SegmentName, Condition)]) -> BaseId {
        let snapshot = self.rows.snapshot();
        let expiries = &snapshot.manifest.value.expiries;
        let table = self.rows.table().id();
        let ours = expiries.iter().rfind(|expiry| expiry.table == table);
        // Only the last ones are remembered: if it is none of them, it was before the first.
        let last = ours.or(expiries.first());
        let origin = Origin::Sections {
            mark: snapshot.mark(),
            expired: last.map(|expiry| expiry.version),
        };
        self.id(origin, None, deletes)
    }

    fn id(
        &self,
        origin: Origin,
        floor: Option<i64>,
        deletes: &[(SegmentName, Condition)],
    ) -> BaseId {
        BaseId {
            database: self.rows.snapshot().database,
            cache: self.cache,
            origin,
            columns: self.rows.table().columns().len(),
            floor,
            deletes: deletes.iter().map(|(segment, _)| *segment).collect(),
        }
    }
}

/// A layer to be kept, or the fact that there is none.
fn usable(made: Result<Layer, CacheError>) -> Result<Kept> {
    match made {
        Ok(layer) => Ok(Some(layer)),
        Err(CacheError::Incomplete | CacheError::TooLarge { .. } | CacheError::Format(_)) => {
            Ok(None)
        }
        Err(error) => Err(external(error)),
    }
}

/// Work for a while, so not on a thread that serves requests.
pub(super) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(external)
}

/// Whether a base was not built this time.
fn is_not_built(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::External(cause) if cause.is::<NotBuilt>())
}
