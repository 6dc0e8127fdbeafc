//! The cache of the images of tails.

use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use datafusion::execution::runtime_env::RuntimeEnv;
use moka::sync::Cache;
use neap_bucket::Stamp;
use neap_cache::{CacheError, CacheLayer, CacheShape};
use neap_catalog::Table;
use neap_schema::{CacheId, DatabaseId, TableId};

use super::{
    OverlayRequest, StaleTail, TailImageError, TailSnapshot, TailView,
    cached_tail::{CachedTail, TailLimits},
    columns_of,
};

/// Number of databases whose tails are not looked at again until their low-water mark moves.
const MAX_EVICTED: u64 = 10_000;

/// A cache of the images of recently used tails.
#[derive(Debug)]
pub struct TailImages {
    tails: Cache<(DatabaseId, TableId), Arc<RwLock<CachedTail>>>,
    /// The low-water mark of each database up to which the rows of flushed tails were dropped.
    evicted: Cache<DatabaseId, Stamp>,
    limits: TailLimits,
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
        Self { tails, evicted: Cache::new(MAX_EVICTED), limits }
    }

    /// Whether flushes have moved the low-water mark of a database since [`evict_flushed`](Self::evict_flushed).
    pub(crate) fn may_have_flushed(&self, database: DatabaseId, mark: Stamp) -> bool {
        self.evicted.get(&database).is_none_or(|last| last < mark)
    }

    /// Drops the rows of tails whose segments are all at or below the low-water mark. A table that gets no more rows would
    /// keep its image, because no query reads its tail. A tail with newer segments drops its flushed rows with the next
    /// query that reads it. Frees much memory, and may wait for a query.
    pub(crate) fn evict_flushed(&self, database: DatabaseId, mark: Stamp) {
        let mut is_complete = true;
        for (id, tail) in &self.tails {
            if id.0 != database {
                continue;
            }
            let mut held = match tail.try_write() {
                Ok(held) => held,
                Err(TryLockError::Poisoned(held)) => held.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    // A query uses it. The next call tries again.
                    is_complete = false;
                    continue;
                }
            };
            if held.drop_flushed(mark) {
                drop(held);
                // The insert updates the weight.
                self.tails.insert(*id, tail);
            }
        }
        if is_complete {
            self.evicted.insert(database, mark);
        }
    }

    /// Returns the bytes of all images.
    pub fn size_bytes(&self) -> u64 {
        // Applies pending changes of weights, so that the sum is current.
        self.tails.run_pending_tasks();
        self.tails.weighted_size()
    }

    /// Returns the tail of a table in a snapshot, with the times and at least those of these columns of the table that
    /// are fields. CPU-bound; the cost is proportional to the segments added since the last call, and to the tail if a column
    /// is new.
    ///
    /// # Errors
    /// The tail is damaged or can't be spilled, or the cached image is newer than the snapshot.
    pub fn image(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
        stale_tail: StaleTail,
    ) -> Result<TailView, TailImageError> {
        self.with(snapshot, table, columns, stale_tail, |tail| Ok(tail.view()))
    }

    /// Returns what [`image`](Self::image) returns if nothing needs to be computed.
    pub(crate) fn image_at_hand(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
    ) -> Option<TailView> {
        let tail = self.tails.get(&(snapshot.database, table.id()))?;
        let held = tail.try_read().ok()?;
        held.view_at_hand(snapshot, table, columns)
    }

    /// Returns the layer of a cache over the tail of a table in a snapshot; `None` if the index of the cache does not
    /// fit into memory. CPU-bound; the cost is proportional to the segments added since the last call and to the
    /// requested keys.
    ///
    /// # Errors
    /// The tail is damaged or can't be spilled, the cached image is newer than the snapshot, or a filter fails.
    pub fn layer(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        stale_tail: StaleTail,
        wanted: &OverlayRequest<'_>,
    ) -> Result<Option<CacheLayer>, TailImageError> {
        let columns = columns_of(wanted.shape, table);
        let layer = self.with(snapshot, table, &columns, stale_tail, |tail| {
            tail.layer(wanted, self.limits.image_bytes)
        });
        match layer {
            Err(error) if has_no_room(&error) => Ok(None),
            layer => layer.map(Some),
        }
    }

    /// Returns the layer if the cached index is up to date and the lookup is cheap enough for the thread of the
    /// request.
    pub fn layer_at_hand(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        wanted: &OverlayRequest<'_>,
    ) -> Option<Result<CacheLayer, TailImageError>> {
        let tail = self.tails.get(&(snapshot.database, table.id()))?;
        let held = tail.try_read().ok()?;
        held.layer_at_hand(snapshot, table, wanted)
    }

    /// Updates the index of a cache ahead of queries.
    ///
    /// # Errors
    /// The tail is damaged or can't be spilled, the cached image is newer than the snapshot, or the index does not fit into
    /// memory.
    pub fn update(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        cache: CacheId,
        shape: &CacheShape,
    ) -> Result<(), TailImageError> {
        let columns = columns_of(shape, table);
        self.with(snapshot, table, &columns, StaleTail::Fail, |tail| {
            Ok(tail.update(cache, shape, self.limits.image_bytes)?)
        })
    }

    /// Calls `read` with the tail of a table in the snapshot, as [`image`](Self::image) loads it.
    fn with<T>(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
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
                return self.with_rebuilt(snapshot, table, columns, stale_tail, read);
            }
            held.restart(snapshot, table);
        }
        let before = (held.state(), held.size_bytes());
        let advanced = held.advance(snapshot, table, columns, &self.limits);
        if advanced.is_err() {
            // A segment or a column may have been added partially.
            *held = CachedTail::new(snapshot, table);
        }
        let read = advanced.and_then(|()| read(&mut held));
        let has_changed = before != (held.state(), held.size_bytes());
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
        columns: &[usize],
        stale_tail: StaleTail,
        read: impl FnOnce(&mut CachedTail) -> Result<T, TailImageError>,
    ) -> Result<T, TailImageError> {
        if stale_tail == StaleTail::Fail {
            return Err(TailImageError::StaleSnapshot { table: table.name().to_owned() });
        }
        let mut tail = CachedTail::new(snapshot, table);
        tail.advance(snapshot, table, columns, &self.limits)?;
        read(&mut tail)
    }
}

/// Whether the error says that the index of a cache does not fit into memory beside the tail.
fn has_no_room(error: &TailImageError) -> bool {
    matches!(error, TailImageError::Cache(CacheError::TooLarge { .. }))
}
