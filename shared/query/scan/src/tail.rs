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

mod cached_tail;
mod decode;
mod images;
mod live_rows;
mod run;
mod streams;
mod tail_scan;

use std::{error::Error, sync::Arc};

use datafusion::error::DataFusionError;
use neap_bucket::Stamp;
use neap_cache::{CacheError, CacheShape, KeyFilter};
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_points::{PointsError, TailImage};
use neap_schema::{CacheId, DatabaseId};
use neap_wal::{Segment, SegmentError};

pub use images::TailImages;
pub use run::TailRun;
pub(crate) use streams::{ImageRows, SortedTailRows, scan_numbered_rows, streamed};
pub use tail_scan::{NewestRows, TailScanExec};

/// An error of a read of a tail.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum TailImageError {
    #[error("table '{table}' can't be read: {source}")]
    Segment { table: String, source: SegmentError },
    /// The rows do not match the table.
    #[error(transparent)]
    Points(#[from] PointsError),
    #[error(
        "the tail of table '{table}' needs more than {limit} bytes of memory and can't be spilled: {source}; wait for \
         the next flush"
    )]
    NotSpilled {
        table: String,
        limit: usize,
        source: DataFusionError,
    },
    /// The layer of a cache can't be created.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The cached tail image contains writes that are not in the snapshot.
    #[error("the cached tail of table '{table}' is newer than the snapshot of the query")]
    StaleSnapshot { table: String },
}

/// Whether a query failed because a cached tail image is newer than its snapshot. A retry with a newer snapshot, which
/// already exists, succeeds.
pub fn is_stale_snapshot(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(TailImageError::StaleSnapshot { .. })) {
            return true;
        }
        next = error.source();
    }
    false
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

/// The tail of a table as a query reads it.
#[derive(Clone, Debug)]
pub struct TailView {
    /// The runs in spill files, from the oldest to the newest.
    pub runs: Vec<Arc<TailRun>>,
    /// The image in memory. It is newer than all runs.
    pub image: Arc<TailImage>,
}

impl TailView {
    /// Whether a row may have no value of one of these tags, given by their stored names.
    pub(crate) fn lacks(&self, tags: &[&str]) -> bool {
        let in_memory = tags.iter().any(|tag| self.image.lacks_tag(tag));
        in_memory || self.runs.iter().any(|run| run.lacks(tags))
    }
}

/// A request for the overlay of a cache: its layer over a tail.
#[derive(Debug)]
pub struct OverlayRequest<'a> {
    /// The cache.
    pub cache: CacheId,
    /// The columns and keys of the cache.
    pub shape: &'a CacheShape,
    /// The filters on keys.
    pub filters: &'a [KeyFilter],
    /// The minimum time of rows, in nanoseconds since the Unix epoch.
    pub from: i64,
}

/// Returns the columns of a table whose values the layer of a cache needs. The tags are in the index of series.
fn columns_of(shape: &CacheShape, table: &Table) -> Vec<usize> {
    let schema = table.arrow_schema();
    let columns = shape.columns().into_iter().filter(|name| !table.is_tag(name));
    columns.filter_map(|name| schema.index_of(name).ok()).collect()
}
