//! The error of this crate.

use arrow_schema::ArrowError;
use neap_bucket::FormatError;
use neap_points::PointsError;
use neap_row_delete::MaskError;

/// Error of an update or a read of a cache.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum CacheError {
    /// A delete removed rows whose successors the layer does not know. The layer must be rebuilt from the table.
    #[error("a delete removed rows that the cache cannot replace; it must be rebuilt")]
    Incomplete,
    #[error("the cache needs more than {limit} bytes of memory")]
    TooLarge { limit: usize },
    #[error("column '{column}' is not a key column of the cache")]
    NotAKey { column: String },
    /// The rows do not match the cache's table, or are too many.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// A delete cannot be evaluated on the rows.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The object is not a cache, or is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Arrow refused an operation on the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
