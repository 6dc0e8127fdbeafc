//! The tails of tables without duplicates, kept between queries.
//!
//! ```text
//!   segments   1 2 3 4 5 6 7 | 8 9 10 11 12 13 | 14 15 16
//!              run 1           run 2             image, in memory
//!              in a spill file, sorted: a source like a section
//! ```
//!
//! A tail that outgrows its memory becomes a [`TailRun`], and the next segments begin a new image. A query reads all of
//! them, and folds them where they overlap. A run stays until a flush has taken in all of its segments: rows of it that are
//! in sections as well are versions of the same points with the same values.

mod run;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, PoisonError, RwLock},
};

use datafusion::{error::DataFusionError, execution::runtime_env::RuntimeEnv};
use moka::sync::Cache;
use neap_bucket::{SegmentName, Stamp};
use neap_cache::{CacheError, KeyFilter, Layer, Shape, TailIndex};
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_points::{PointsError, TailImage, TailImageBuilder};
use neap_schema::{CacheId, DatabaseId, TableId};
use neap_wal::SegmentError;

use crate::caches::is_lookup;

pub(crate) use run::TailRun;
pub(super) use streams::{LiveRows, SortedTail};

/// An index up to this size is looked through without moving to another thread.
const SMALL_INDEX_BYTES: usize = 128 << 10;

/// Why the tail of a table could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailError {
    /// A segment is damaged.
    #[error("table '{table}' can't be read: {source}")]
    Segment {
        /// The table.
        table: String,
        /// The damage.
        source: SegmentError,
    },
    /// The rows are not those of the table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// The tail does not fit into its memory, and the folder for spilling takes no more of it.
    #[error(
        "the tail of table '{table}' needs more than {limit} bytes of memory and can't be spilled: {source}; wait for \
         the next flush"
    )]
    NotSpilled {
        /// The table.
        table: String,
        /// The memory that it may hold, in bytes.
        limit: usize,
        /// Why it can't be spilled.
        source: DataFusionError,
    },
    /// The layer of a cache can't be made.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What is kept has writes that the snapshot does not have.
    #[error("the tail of table '{table}' is ahead of the query")]
    Overtaken {
        /// The table.
        table: String,
    },
}

/// Whether a query failed because what is kept of a tail is ahead of its snapshot: with a newer one, which is
/// there already, it succeeds.
pub(crate) fn is_overtaken(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(TailError::Overtaken { .. })) {
            return true;
        }
        next = error.source();
    }
    false
}

fn damaged(table: &Table, source: SegmentError) -> TailError {
    let table = table.name().to_owned();
    TailError::Segment { table, source }
}

/// Whether the error is that the index of a cache has no room beside the tail.
fn has_no_room(error: &TailError) -> bool {
    matches!(error, TailError::Cache(CacheError::TooLarge { .. }))
}

/// What is done when what is kept of a tail is ahead of the snapshot of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// The query fails, and is tried again with a newer snapshot.
    Fail,
    /// The tail is folded once more, for this query alone.
    FoldAnew,
}

/// The images of the tails that were asked for lately.
#[derive(Debug)]
pub(crate) struct TailImages {
    tails: Cache<(DatabaseId, TableId), Arc<RwLock<Tail>>>,
    limits: TailLimits,
}

/// What the images of tails may use up.
#[derive(Clone, Debug)]
struct TailLimits {
    /// The memory of an image and the indexes of caches over it, beyond which these go, and then the image is spilled.
    image_bytes: usize,
    /// Where it is spilled.
    runtime: Arc<RuntimeEnv>,
}

/// The tail of a table as a query reads it.
#[derive(Clone, Debug)]
pub(crate) struct FoldedTail {
    /// What is in spill files, from the oldest to the newest.
    pub(crate) runs: Vec<Arc<TailRun>>,
    /// What is in memory, and newer than all runs.
    pub(crate) image: Arc<TailImage>,
}

impl FoldedTail {
    /// Whether a row may lack one of these tags.
    pub(super) fn lacks(&self, tags: &[&String]) -> bool {
        let in_memory = self.image.chunks.iter().any(|chunk| {
            let mut columns = tags.iter().map(|tag| chunk.rows.column_by_name(tag));
            columns.any(|column| column.is_none_or(|column| column.null_count() > 0))
        });
        in_memory || self.runs.iter().any(|run| run.lacks(tags))
    }
}

/// The segments that were folded.
#[derive(Debug)]
struct Tail {
    /// The oldest of them, in spill files.
    runs: Vec<Arc<TailRun>>,
    /// Those after the runs.
    builder: TailImageBuilder,
    /// The low-water mark above which they are. Of runs, only the last segments may be.
    mark: Stamp,
    /// The version of the manifest in which an operator had last set damaged objects aside.
    quarantine: u64,
    /// What the builder has taken in.
    taken: Vec<SegmentName>,
    /// The indexes of caches that were asked for since the builder began.
    overlays: BTreeMap<CacheId, TailIndex>,
    /// The caches for whose indexes there was no room. It only gets less.
    without_room: BTreeSet<CacheId>,
}

/// What a query asks of a tail for a cache.
#[derive(Debug)]
pub(crate) struct OverlayWanted<'a> {
    /// The cache.
    pub(crate) cache: CacheId,
    /// What it holds.
    pub(crate) shape: &'a Shape,
    /// Which keys are wanted.
    pub(crate) filters: &'a [KeyFilter],
    /// The time of the first rows.
    pub(crate) from: i64,
}

impl Tail {
    fn new(snapshot: &Snapshot, table: &Table) -> Self {
        Self {
            runs: Vec::new(),
            builder: TailImageBuilder::new(&table.tag_names(), table.arrow_schema()),
            mark: snapshot.mark(),
            quarantine: snapshot.manifest.value.last_quarantine(),
            taken: Vec::new(),
            overlays: BTreeMap::new(),
            without_room: BTreeSet::new(),
        }
    }

    fn size_bytes(&self) -> usize {
        let overlays = self.overlays.values().map(TailIndex::size_bytes);
        self.builder.size_bytes() + overlays.sum::<usize>()
    }

    /// Brings the index of a cache up to date. If it can't be, it goes, and nothing else does.
    fn update(&mut self, cache: CacheId, shape: &Shape, limit: usize) -> Result<(), CacheError> {
        // An index is over what is in memory.
        if self.without_room.contains(&cache) || !self.runs.is_empty() {
            return Err(CacheError::TooLarge { limit });
        }
        let overlay = self.overlays.remove(&cache);
        let mut overlay = overlay.unwrap_or_else(|| TailIndex::new(shape));
        overlay.update(&self.builder)?;
        if self.size_bytes() + overlay.size_bytes() > limit {
            self.without_room.insert(cache);
            return Err(CacheError::TooLarge { limit });
        }
        self.overlays.insert(cache, overlay);
        Ok(())
    }

    /// The layer of a cache.
    fn layer(&mut self, wanted: &OverlayWanted<'_>, limit: usize) -> Result<Layer, TailError> {
        self.update(wanted.cache, wanted.shape, limit)?;
        match self.overlays.get(&wanted.cache) {
            Some(overlay) => Ok(overlay.layer(&self.builder, wanted.filters, wanted.from)?),
            None => Ok(Layer::empty(wanted.shape, i64::MIN)),
        }
    }

    /// The layer of a cache, if there is nothing to do for it but a look.
    fn layer_at_hand(&self, wanted: &OverlayWanted<'_>) -> Option<Result<Layer, TailError>> {
        let overlay = self.overlays.get(&wanted.cache)?;
        let is_small =
            overlay.size_bytes() <= SMALL_INDEX_BYTES || is_lookup(wanted.shape, wanted.filters);
        if !overlay.is_up_to_date(&self.builder) || !is_small {
            return None;
        }
        let layer = overlay.layer(&self.builder, wanted.filters, wanted.from);
        Some(layer.map_err(TailError::from))
    }

    /// Whether the rows are those of the table as it is in the snapshot, damaged ones left out.
    fn is_of(&self, snapshot: &Snapshot, table: &Table) -> bool {
        self.quarantine == snapshot.manifest.value.last_quarantine()
            && *self.builder.schema() == table.arrow_schema()
            && self
                .builder
                .tags()
                .iter()
                .eq(table.tags().map(|tag| &tag.name))
    }

    /// The segments above a mark that were folded.
    fn folded(&self, mark: Stamp) -> impl Iterator<Item = SegmentName> {
        let of_runs = self.runs.iter().flat_map(|run| run.segments()).copied();
        let of_runs = of_runs.filter(move |name| name.stamp > mark);
        of_runs.chain(self.taken.iter().copied())
    }

    /// Whether the snapshot's tail is what was taken in, or goes on from there.
    fn is_start_of(&self, snapshot: &Snapshot, table: &Table) -> bool {
        let mut tail = snapshot.tail.iter().map(|segment| segment.name());
        self.is_of(snapshot, table)
            && self
                .folded(snapshot.mark())
                .all(|name| tail.next() == Some(name))
    }

    /// Whether it was made for a later state of the database than the snapshot.
    fn is_ahead_of(&self, snapshot: &Snapshot) -> bool {
        let quarantine = snapshot.manifest.value.last_quarantine();
        snapshot.as_of.is_some()
            || snapshot.mark() < self.mark
            || quarantine < self.quarantine
            || quarantine == self.quarantine
                && snapshot.mark() == self.mark
                && snapshot.tail.len() < self.folded(self.mark).count()
    }

    /// Begins anew, with those runs that the tail of the snapshot still begins with.
    fn restart(&mut self, snapshot: &Snapshot, table: &Table) {
        let mut runs = match self.is_of(snapshot, table) {
            true => std::mem::take(&mut self.runs),
            false => Vec::new(),
        };
        let mark = snapshot.mark();
        runs.retain(|run| run.last().stamp > mark);
        let mut tail = snapshot.tail.iter().map(|segment| segment.name());
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

    /// Moves what is in memory to a spill file.
    fn spill(&mut self, table: &Table, limits: &TailLimits) -> Result<(), TailError> {
        let tags = self.builder.tags().to_vec();
        let schema = Arc::clone(self.builder.schema());
        let builder = TailImageBuilder::new(&tags, schema);
        let mut builder = std::mem::replace(&mut self.builder, builder);
        self.overlays.clear();
        let segments = std::mem::take(&mut self.taken);
        let run = TailRun::write(&limits.runtime, builder.image(), segments);
        self.runs
            .extend(run.map_err(|source| TailError::NotSpilled {
                table: table.name().to_owned(),
                limit: limits.image_bytes,
                source,
            })?);
        Ok(())
    }

    /// Takes in what the snapshot has beyond what was taken in. For want of room the indexes of caches go, and then what
    /// is in memory.
    fn take_in(
        &mut self,
        snapshot: &Snapshot,
        table: &Table,
        limits: &TailLimits,
    ) -> Result<(), TailError> {
        self.runs.retain(|run| run.last().stamp > snapshot.mark());
        let folded = self.folded(snapshot.mark()).count();
        for segment in snapshot.tail.iter().skip(folded) {
            let rows = segment.rows(table.id());
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
        // What starts the tails of two snapshots is above the marks of both.
        let is_empty = self.runs.is_empty() && self.taken.is_empty();
        self.mark = match is_empty {
            true => snapshot.mark(),
            false => self.mark.max(snapshot.mark()),
        };
        Ok(())
    }
}

impl TailImages {
    /// No images yet; together they hold at most about `limit_bytes`. What does not fit is spilled by `runtime`.
    pub(crate) fn new(limit_bytes: usize, runtime: Arc<RuntimeEnv>) -> Self {
        let tails = Cache::builder()
            .max_capacity(limit_bytes as u64)
            .weigher(|_, tail: &Arc<RwLock<Tail>>| {
                let tail = tail.read().unwrap_or_else(PoisonError::into_inner);
                u32::try_from(tail.size_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        let limits = TailLimits {
            // While one is sorted and written, others are not given up for it.
            image_bytes: limit_bytes / 2,
            runtime,
        };
        Self { tails, limits }
    }

    /// The bytes that all images hold.
    pub(crate) fn size_bytes(&self) -> u64 {
        // What was weighed anew counts from then on.
        self.tails.run_pending_tasks();
        self.tails.weighted_size()
    }

    /// The tail of a table in a snapshot. Costs what is new in it since the last call; CPU only.
    pub(crate) fn image(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        behind: Behind,
    ) -> Result<FoldedTail, TailError> {
        self.with(snapshot, table, behind, |tail| {
            Ok(FoldedTail {
                runs: tail.runs.clone(),
                image: tail.builder.image(),
            })
        })
    }

    /// The layer of a cache over the tail of a table in a snapshot. Costs what is new in it since the last
    /// call, and the keys that are wanted; CPU only. `None` if there is no room for the index of the cache.
    pub(crate) fn layer(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        behind: Behind,
        wanted: &OverlayWanted<'_>,
    ) -> Result<Option<Layer>, TailError> {
        let layer = self.with(snapshot, table, behind, |tail| {
            tail.layer(wanted, self.limits.image_bytes)
        });
        match layer {
            Err(error) if has_no_room(&error) => Ok(None),
            layer => layer.map(Some),
        }
    }

    /// The same, if that takes no more than a look at some keys.
    pub(crate) fn layer_at_hand(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        wanted: &OverlayWanted<'_>,
    ) -> Option<Result<Layer, TailError>> {
        let tail = self.tails.get(&(snapshot.database, table.id()))?;
        let held = tail.try_read().ok()?;
        let is_current =
            held.taken.len() == snapshot.tail.len() && held.is_start_of(snapshot, table);
        match is_current && held.runs.is_empty() {
            true => held.layer_at_hand(wanted),
            false => None,
        }
    }

    /// Brings the index of a cache up to date, so that a query finds it so.
    pub(crate) fn update(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        cache: CacheId,
        shape: &Shape,
    ) -> Result<(), TailError> {
        self.with(snapshot, table, Behind::Fail, |tail| {
            Ok(tail.update(cache, shape, self.limits.image_bytes)?)
        })
    }

    /// What `read` makes of the tail of a table, as it is in the snapshot.
    fn with<T>(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        behind: Behind,
        read: impl FnOnce(&mut Tail) -> Result<T, TailError>,
    ) -> Result<T, TailError> {
        let id = (snapshot.database, table.id());
        let kept = self.tails.get(&id);
        let tail = kept.unwrap_or_else(|| Arc::new(RwLock::new(Tail::new(snapshot, table))));
        let mut held = tail.write().unwrap_or_else(PoisonError::into_inner);
        if !held.is_start_of(snapshot, table) {
            if held.is_ahead_of(snapshot) {
                drop(held);
                return self.apart(snapshot, table, behind, read);
            }
            held.restart(snapshot, table);
        }
        let before = (held.runs.len(), held.taken.len(), held.size_bytes());
        let taken = held.take_in(snapshot, table, &self.limits);
        if taken.is_err() {
            // Rows of a segment may have been taken in by half.
            *held = Tail::new(snapshot, table);
        }
        let read = taken.and_then(|()| read(&mut held));
        let has_changed = before != (held.runs.len(), held.taken.len(), held.size_bytes());
        drop(held);
        if has_changed {
            // Weighed anew.
            self.tails.insert(id, tail);
        }
        read
    }

    /// The same for a snapshot that was overtaken by what is kept, which stays as it is.
    fn apart<T>(
        &self,
        snapshot: &Snapshot,
        table: &Table,
        behind: Behind,
        read: impl FnOnce(&mut Tail) -> Result<T, TailError>,
    ) -> Result<T, TailError> {
        if behind == Behind::Fail {
            return Err(TailError::Overtaken {
                table: table.name().to_owned(),
            });
        }
        let mut tail = Tail::new(snapshot, table);
        tail.take_in(snapshot, table, &self.limits)?;
        read(&mut tail)
    }
}
