//! Cached, deduplicated images of the tails of tables. Queries share them.
//!
//! ```text
//!   segments   1 2 3 4 5 6 7 | 8 9 10 11 12 13 | 14 15 16
//!              run 1           run 2             image, in memory
//!              in a spill file, sorted: a source like a section
//! ```
//!
//! An image that exceeds its memory limit is written to a spill file as a [`TailRun`], and the next segments start a
//! new image. A query reads all runs and the image, and deduplicates them where they overlap. A run is dropped when
//! flushes have written all of its segments to sections. Until then, some of its rows may be in sections too: they are
//! versions of the same points with the same values.

mod decode;
mod run;
mod streams;
mod tail_scan;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, PoisonError, RwLock},
};

use datafusion::{error::DataFusionError, execution::runtime_env::RuntimeEnv};
use moka::sync::Cache;
use neap_bucket::{SegmentName, Stamp};
use neap_cache::{CacheError, CacheLayer, CacheShape, CacheTailIndex, KeyFilter};
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_points::{PointsError, TailImage, TailImageBuilder};
use neap_schema::{CacheId, DatabaseId, TableId};
use neap_wal::{Segment, SegmentError};

use super::lookup::is_lookup;
use decode::DecodedSegments;

pub use run::TailRun;
pub(super) use streams::{ImageRows, LiveTailRows, SortedTailRows, scan_numbered_rows, streamed};
pub(crate) use tail_scan::{NewestRows, TailScanExec};

/// Maximum size of an index, in bytes, that is read on the thread of the request.
const MAX_INLINE_INDEX_BYTES: usize = 128 << 10;

/// An error of a read of a tail.
#[derive(Debug, thiserror::Error)]
pub enum TailImageError {
    /// A segment is damaged.
    #[error("table '{table}' can't be read: {source}")]
    Segment {
        /// The table.
        table: String,
        /// The damage.
        source: SegmentError,
    },
    /// The rows do not match the table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// The tail exceeds its memory limit and can't be spilled.
    #[error(
        "the tail of table '{table}' needs more than {limit} bytes of memory and can't be spilled: {source}; wait for \
         the next flush"
    )]
    NotSpilled {
        /// The table.
        table: String,
        /// The memory limit, in bytes.
        limit: usize,
        /// The error of the spill.
        source: DataFusionError,
    },
    /// The layer of a cache can't be created.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The cached tail image contains writes that are not in the snapshot.
    #[error("the cached tail of table '{table}' is newer than the snapshot of the query")]
    StaleSnapshot {
        /// The table.
        table: String,
    },
}

/// Whether a query failed because a cached tail image is newer than its snapshot. A retry with a newer snapshot, which
/// already exists, succeeds.
pub fn is_stale_snapshot(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(
            error.downcast_ref(),
            Some(TailImageError::StaleSnapshot { .. })
        ) {
            return true;
        }
        next = error.source();
    }
    false
}

fn damaged(table: &Table, source: SegmentError) -> TailImageError {
    let table = table.name().to_owned();
    TailImageError::Segment { table, source }
}

/// Whether the error says that the index of a cache does not fit into memory beside the tail.
fn has_no_room(error: &TailImageError) -> bool {
    matches!(error, TailImageError::Cache(CacheError::TooLarge { .. }))
}

/// What to do when the cached tail image is newer than the query's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleTail {
    /// The query fails with a temporary error. The caller retries it with a newer snapshot.
    Fail,
    /// The tail of the snapshot is rebuilt for this query alone.
    Rebuild,
}

/// The segments of a tail, with the state of the database that they belong to.
#[derive(Clone, Debug)]
pub struct TailSnapshot {
    /// The database.
    pub(crate) database: DatabaseId,
    /// The low-water mark. All segments are above it.
    pub(crate) mark: Stamp,
    /// The version of the manifest in which an operator last quarantined damaged objects.
    pub(crate) quarantine: u64,
    /// The requested stamp, if the snapshot is of an earlier state.
    pub(crate) as_of: Option<Stamp>,
    /// The segments, sorted by name.
    pub(crate) segments: Arc<[Arc<Segment>]>,
}

impl From<&Snapshot> for TailSnapshot {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            database: snapshot.database,
            mark: snapshot.mark(),
            quarantine: snapshot.manifest.value.last_quarantine(),
            as_of: snapshot.as_of,
            segments: Arc::clone(&snapshot.tail),
        }
    }
}

/// A cache of the images of recently used tails.
#[derive(Debug)]
pub struct TailImages {
    tails: Cache<(DatabaseId, TableId), Arc<RwLock<CachedTail>>>,
    limits: TailLimits,
}

/// The limits of a tail image.
#[derive(Clone, Debug)]
struct TailLimits {
    /// Maximum memory of an image and the indexes of caches over it, in bytes. Above it, the indexes are dropped, then
    /// the image is spilled.
    image_bytes: usize,
    /// Provides the folder for spill files.
    runtime: Arc<RuntimeEnv>,
}

/// The tail of a table as a query reads it.
#[derive(Clone, Debug)]
pub struct TailView {
    /// The runs in spill files, from the oldest to the newest.
    pub runs: Vec<Arc<TailRun>>,
    /// The image in memory. It is newer than all runs.
    pub image: Arc<TailImage>,
}

impl TailView {
    /// Whether a row may have no value of one of these tags.
    pub(super) fn lacks(&self, tags: &[&String]) -> bool {
        let in_memory = self.image.chunks.iter().any(|chunk| {
            let mut columns = tags.iter().map(|tag| chunk.rows.column_by_name(tag));
            columns.any(|column| column.is_none_or(|column| column.null_count() > 0))
        });
        in_memory || self.runs.iter().any(|run| run.lacks(tags))
    }
}

/// The cached tail of a table: its deduplicated segments, with indexes for caches.
#[derive(Debug)]
struct CachedTail {
    /// The oldest segments, in spill files.
    runs: Vec<Arc<TailRun>>,
    /// The image of the segments after the runs.
    builder: TailImageBuilder,
    /// The low-water mark. The segments of the image are above it; of a run, only the last segments may be above it.
    mark: Stamp,
    /// The version of the manifest in which an operator last quarantined damaged objects.
    quarantine: u64,
    /// The segments in the builder.
    taken: Vec<SegmentName>,
    /// The indexes of the caches that were used since the builder started.
    overlays: BTreeMap<CacheId, CacheTailIndex>,
    /// The caches whose indexes did not fit into memory. They are not retried, because the room only shrinks.
    without_room: BTreeSet<CacheId>,
}

/// A request for the overlay of a cache: its layer over a tail.
#[derive(Debug)]
pub(crate) struct OverlayRequest<'a> {
    /// The cache.
    pub(crate) cache: CacheId,
    /// The columns and keys of the cache.
    pub(crate) shape: &'a CacheShape,
    /// The filters on keys.
    pub(crate) filters: &'a [KeyFilter],
    /// The minimum time of rows, in nanoseconds since the Unix epoch.
    pub(crate) from: i64,
}

impl CachedTail {
    fn new(snapshot: &TailSnapshot, table: &Table) -> Self {
        Self {
            runs: Vec::new(),
            builder: TailImageBuilder::new(&table.tag_names(), table.arrow_schema()),
            mark: snapshot.mark,
            quarantine: snapshot.quarantine,
            taken: Vec::new(),
            overlays: BTreeMap::new(),
            without_room: BTreeSet::new(),
        }
    }

    fn size_bytes(&self) -> usize {
        let overlays = self.overlays.values().map(CacheTailIndex::size_bytes);
        self.builder.size_bytes() + overlays.sum::<usize>()
    }

    /// Updates the index of a cache. If this fails, the index is dropped and everything else stays unchanged.
    fn update(
        &mut self,
        cache: CacheId,
        shape: &CacheShape,
        limit: usize,
    ) -> Result<(), CacheError> {
        // An index covers only the image in memory.
        if self.without_room.contains(&cache) || !self.runs.is_empty() {
            return Err(CacheError::TooLarge { limit });
        }
        let overlay = self.overlays.remove(&cache);
        let mut overlay = overlay.unwrap_or_else(|| CacheTailIndex::new(shape));
        overlay.update(&self.builder)?;
        if self.size_bytes() + overlay.size_bytes() > limit {
            self.without_room.insert(cache);
            return Err(CacheError::TooLarge { limit });
        }
        self.overlays.insert(cache, overlay);
        Ok(())
    }

    /// Returns the layer of a cache over this tail.
    fn layer(
        &mut self,
        wanted: &OverlayRequest<'_>,
        limit: usize,
    ) -> Result<CacheLayer, TailImageError> {
        self.update(wanted.cache, wanted.shape, limit)?;
        match self.overlays.get(&wanted.cache) {
            Some(overlay) => Ok(overlay.layer(&self.builder, wanted.filters, wanted.from)?),
            None => Ok(CacheLayer::empty(wanted.shape, i64::MIN)),
        }
    }

    /// Returns the layer of a cache if its index is up to date and the lookup is cheap.
    fn layer_at_hand(
        &self,
        wanted: &OverlayRequest<'_>,
    ) -> Option<Result<CacheLayer, TailImageError>> {
        let overlay = self.overlays.get(&wanted.cache)?;
        let is_small = overlay.size_bytes() <= MAX_INLINE_INDEX_BYTES
            || is_lookup(wanted.shape, wanted.filters);
        if !overlay.is_up_to_date(&self.builder) || !is_small {
            return None;
        }
        let layer = overlay.layer(&self.builder, wanted.filters, wanted.from);
        Some(layer.map_err(TailImageError::from))
    }

    /// Whether the tail was built with the table definition and the quarantined objects of the snapshot.
    fn matches_table(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        self.quarantine == snapshot.quarantine
            && *self.builder.schema() == table.arrow_schema()
            && self
                .builder
                .tags()
                .iter()
                .eq(table.tags().map(|tag| &tag.name))
    }

    /// Returns the segments above a mark that the runs and the image contain.
    fn segments_above(&self, mark: Stamp) -> impl Iterator<Item = SegmentName> {
        let of_runs = self.runs.iter().flat_map(|run| run.segments()).copied();
        let of_runs = of_runs.filter(move |name| name.stamp > mark);
        of_runs.chain(self.taken.iter().copied())
    }

    /// Whether the segments of this tail are a prefix of the snapshot's tail.
    fn is_prefix_of(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        let mut tail = snapshot.segments.iter().map(|segment| segment.name());
        self.matches_table(snapshot, table)
            && self
                .segments_above(snapshot.mark)
                .all(|name| tail.next() == Some(name))
    }

    /// Whether this is the tail of the snapshot.
    fn is_of(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        self.segments_above(snapshot.mark).count() == snapshot.segments.len()
            && self.is_prefix_of(snapshot, table)
    }

    /// Whether this tail was built for a newer state of the database than the snapshot.
    fn is_newer_than(&self, snapshot: &TailSnapshot) -> bool {
        let quarantine = snapshot.quarantine;
        snapshot.as_of.is_some()
            || snapshot.mark < self.mark
            || quarantine < self.quarantine
            || quarantine == self.quarantine
                && snapshot.mark == self.mark
                && snapshot.segments.len() < self.segments_above(self.mark).count()
    }

    /// Starts a new image. Keeps the runs that are a prefix of the snapshot's tail.
    fn restart(&mut self, snapshot: &TailSnapshot, table: &Table) {
        let mut runs = match self.matches_table(snapshot, table) {
            true => std::mem::take(&mut self.runs),
            false => Vec::new(),
        };
        let mark = snapshot.mark;
        runs.retain(|run| run.last().stamp > mark);
        let mut tail = snapshot.segments.iter().map(|segment| segment.name());
        let is_there = |run: &&Arc<TailRun>| {
            let mut above = run.segments().iter().filter(|name| name.stamp > mark);
            above.all(|name| tail.next() == Some(*name))
        };
        let usable = runs.iter().take_while(is_there).count();
        runs.truncate(usable);
        *self = Self {
            runs,
            ..Self::new(snapshot, table)
        };
    }

    /// Writes the image to a spill file and starts a new image.
    fn spill(&mut self, table: &Table, limits: &TailLimits) -> Result<(), TailImageError> {
        let tags = self.builder.tags().to_vec();
        let schema = Arc::clone(self.builder.schema());
        let builder = TailImageBuilder::new(&tags, schema);
        let mut builder = std::mem::replace(&mut self.builder, builder);
        self.overlays.clear();
        let segments = std::mem::take(&mut self.taken);
        let run = TailRun::write(&limits.runtime, builder.image(), segments);
        self.runs
            .extend(run.map_err(|source| TailImageError::NotSpilled {
                table: table.name().to_owned(),
                limit: limits.image_bytes,
                source,
            })?);
        Ok(())
    }

    /// Adds the segments of the snapshot that this tail does not contain yet. If memory is short, the indexes of caches
    /// are dropped, and the image is spilled.
    fn append_segments(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        limits: &TailLimits,
    ) -> Result<(), TailImageError> {
        self.runs.retain(|run| run.last().stamp > snapshot.mark);
        let folded = self.segments_above(snapshot.mark).count();
        let added = snapshot.segments.get(folded..).unwrap_or(&[]);
        for (segment, rows) in DecodedSegments::new(added, table.id()) {
            for batch in rows.map_err(|source| damaged(table, source))? {
                self.builder.push(&batch)?;
            }
            for delete in segment.deletes() {
                if delete.table == table.id() {
                    self.builder.delete(&delete.condition)?;
                }
            }
            self.taken.push(segment.name());
            if self.builder.size_bytes() > limits.image_bytes {
                self.spill(table, limits)?;
            }
            if self.size_bytes() > limits.image_bytes {
                self.overlays.clear();
            }
        }
        // Segments that are a prefix of the tails of two snapshots are above the marks of both.
        let is_empty = self.runs.is_empty() && self.taken.is_empty();
        self.mark = match is_empty {
            true => snapshot.mark,
            false => self.mark.max(snapshot.mark),
        };
        Ok(())
    }
}

impl TailImages {
    /// Creates an empty cache of images, which together take at most about `limit_bytes`. `runtime` provides the folder
    /// for spill files.
    pub fn new(limit_bytes: usize, runtime: Arc<RuntimeEnv>) -> Self {
        let tails = Cache::builder()
            .max_capacity(limit_bytes as u64)
            .weigher(|_, tail: &Arc<RwLock<CachedTail>>| {
                let tail = tail.read().unwrap_or_else(PoisonError::into_inner);
                u32::try_from(tail.size_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        let limits = TailLimits {
            // Half, so that an image that is sorted and written does not evict others.
            image_bytes: limit_bytes / 2,
            runtime,
        };
        Self { tails, limits }
    }

    /// Returns the bytes of all images.
    pub fn size_bytes(&self) -> u64 {
        // Applies pending changes of weights, so that the sum is current.
        self.tails.run_pending_tasks();
        self.tails.weighted_size()
    }

    /// Returns the tail of a table in a snapshot. CPU-bound; the cost is proportional to the segments added since the
    /// last call.
    ///
    /// # Errors
    /// The tail is damaged or can't be spilled, or the cached image is newer than the snapshot.
    pub fn image(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        stale_tail: StaleTail,
    ) -> Result<TailView, TailImageError> {
        self.with(snapshot, table, stale_tail, |tail| {
            Ok(TailView {
                runs: tail.runs.clone(),
                image: tail.builder.image(),
            })
        })
    }

    /// Returns the tail of a table in a snapshot if nothing needs to be computed.
    pub(super) fn image_at_hand(&self, snapshot: &TailSnapshot, table: &Table) -> Option<TailView> {
        let tail = self.tails.get(&(snapshot.database, table.id()))?;
        let held = tail.try_read().ok()?;
        if !held.is_of(snapshot, table) {
            return None;
        }
        Some(TailView {
            runs: held.runs.clone(),
            image: held.builder.kept_image()?,
        })
    }

    /// Returns the layer of a cache over the tail of a table in a snapshot; `None` if the index of the cache does not
    /// fit into memory. CPU-bound; the cost is proportional to the segments added since the last call and to the
    /// requested keys.
    pub(crate) fn layer(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        stale_tail: StaleTail,
        wanted: &OverlayRequest<'_>,
    ) -> Result<Option<CacheLayer>, TailImageError> {
        let layer = self.with(snapshot, table, stale_tail, |tail| {
            tail.layer(wanted, self.limits.image_bytes)
        });
        match layer {
            Err(error) if has_no_room(&error) => Ok(None),
            layer => layer.map(Some),
        }
    }

    /// Returns the layer if the cached index is up to date and the lookup is cheap enough for the thread of the
    /// request.
    pub(crate) fn layer_at_hand(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        wanted: &OverlayRequest<'_>,
    ) -> Option<Result<CacheLayer, TailImageError>> {
        let tail = self.tails.get(&(snapshot.database, table.id()))?;
        let held = tail.try_read().ok()?;
        match held.runs.is_empty() && held.is_of(snapshot, table) {
            true => held.layer_at_hand(wanted),
            false => None,
        }
    }

    /// Updates the index of a cache ahead of queries.
    pub(crate) fn update(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        cache: CacheId,
        shape: &CacheShape,
    ) -> Result<(), TailImageError> {
        self.with(snapshot, table, StaleTail::Fail, |tail| {
            Ok(tail.update(cache, shape, self.limits.image_bytes)?)
        })
    }

    /// Calls `read` with the tail of a table in the snapshot.
    fn with<T>(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        stale_tail: StaleTail,
        read: impl FnOnce(&mut CachedTail) -> Result<T, TailImageError>,
    ) -> Result<T, TailImageError> {
        let id = (snapshot.database, table.id());
        let kept = self.tails.get(&id);
        let tail = kept.unwrap_or_else(|| Arc::new(RwLock::new(CachedTail::new(snapshot, table))));
        let mut held = tail.write().unwrap_or_else(PoisonError::into_inner);
        if !held.is_prefix_of(snapshot, table) {
            if held.is_newer_than(snapshot) {
                drop(held);
                return self.with_rebuilt(snapshot, table, stale_tail, read);
            }
            held.restart(snapshot, table);
        }
        let before = (held.runs.len(), held.taken.len(), held.size_bytes());
        let taken = held.append_segments(snapshot, table, &self.limits);
        if taken.is_err() {
            // A segment may have been added partially.
            *held = CachedTail::new(snapshot, table);
        }
        let read = taken.and_then(|()| read(&mut held));
        let has_changed = before != (held.runs.len(), held.taken.len(), held.size_bytes());
        drop(held);
        if has_changed {
            // The insert updates the weight.
            self.tails.insert(id, tail);
        }
        read
    }

    /// Calls `read` for a snapshot that is older than the cached tail. The cached tail does not change.
    fn with_rebuilt<T>(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        stale_tail: StaleTail,
        read: impl FnOnce(&mut CachedTail) -> Result<T, TailImageError>,
    ) -> Result<T, TailImageError> {
        if stale_tail == StaleTail::Fail {
            return Err(TailImageError::StaleSnapshot {
                table: table.name().to_owned(),
            });
        }
        let mut tail = CachedTail::new(snapshot, table);
        tail.append_segments(snapshot, table, &self.limits)?;
        read(&mut tail)
    }
}
