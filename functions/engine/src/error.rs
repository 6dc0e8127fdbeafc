//! Errors of the engine itself, as opposed to errors of plugins.

use neap_bucket::{RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_wal::{SegmentError, TailError};

/// An error of the engine. No segment is lost by it: a segment that is not recorded as processed is delivered later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A checkpoint could not be read.
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Tail(#[from] TailError),
    /// A segment is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error("it is not known whether a checkpoint was saved: {reason}")]
    Unsettled { reason: String },
    /// A segment names a version of the catalog that the store does not show.
    #[error(
        "a segment needs version {needed} of the catalog of database {database}, which has version {version}"
    )]
    CatalogBehind {
        database: neap_schema::DatabaseId,
        /// The version that the segment needs.
        needed: u64,
        version: u64,
    },
}
