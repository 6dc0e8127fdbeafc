//! The caches of one table to fill, and their new contents.

use std::sync::Arc;

use neap_bucket::{ClockReading, Stamp};
use neap_cache::{CacheLayer, CacheShape};
use neap_catalog::Table;
use neap_schema::{CacheId, DatabaseId};

use crate::merge::JobLimits;

/// The caches of one table to fill.
pub(super) struct BackfillTask {
    pub(super) database: DatabaseId,
    pub(super) table: Arc<Table>,
    /// The catalog version of the table.
    pub(super) catalog_version: u64,
    pub(super) layers: Vec<(CacheId, CacheShape, i64)>,
    pub(super) started_at: ClockReading,
    pub(super) limits: JobLimits,
}

impl BackfillTask {
    /// Returns the earliest time that any of the caches needs.
    pub(super) fn from(&self) -> i64 {
        let from = self.layers.iter().map(|(_, _, from)| *from);
        from.min().unwrap_or(i64::MAX)
    }
}

/// Contents of the caches of a table at a mark.
pub(super) struct BuiltLayers {
    pub(super) mark: Stamp,
    pub(super) version: u64,
    pub(super) layers: Vec<BuiltLayer>,
    pub(super) inputs: u32,
    pub(super) bytes_in: u64,
}

/// Contents of one cache.
pub(super) struct BuiltLayer {
    pub(super) cache: CacheId,
    pub(super) shape: CacheShape,
    pub(super) from: i64,
    pub(super) contents: CacheLayer,
}

/// Reason why nothing was built.
pub(super) enum BackfillStop {
    /// Rows that were read have left the sections.
    Stale,
    /// The time was over.
    OutOfTime,
    /// The build would take too much memory, or lost every race.
    Abandoned(&'static str),
}
