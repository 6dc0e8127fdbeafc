//! What can go wrong in the engine itself, plugins aside.

use neap_bucket::{RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_wal::{SegmentError, TailError};

/// Why the engine could not do what it was asked for. Nothing is lost by it: what was not noted as seen is seen later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What a trigger has seen could not be read.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The tail could not be read.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// A segment is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// It can't be told whether what a trigger has seen is saved.
    #[error("it is not known whether a checkpoint was saved: {reason}")]
    Unsettled {
        /// The cause, for people.
        reason: String,
    },
    /// A segment names a version of the catalog that the store does not show.
    #[error(
        "a segment needs version {needed} of the catalog of database {database}, which has version {version}"
    )]
    CatalogBehind {
        /// The database.
        database: neap_schema::DatabaseId,
        /// The version that the segment needs.
        needed: u64,
        /// The version that is there.
        version: u64,
    },
}
