//! What can go wrong with a cache.

use arrow_schema::ArrowError;
use neap_bucket::FormatError;
use neap_points::PointsError;
use neap_row_delete::MaskError;

/// Why a cache can't be brought up to date or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A delete took away rows whose successors the layer does not know: it has to be built again from the
    /// table.
    #[error("a delete left gaps in the cache")]
    Incomplete,
    /// The cache needs more memory than it may have.
    #[error("the cache needs more than {limit} bytes of memory")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A filter on a column that is not one of the key.
    #[error("column '{column}' is not a key column of the cache")]
    NotAKey {
        /// The column.
        column: String,
    },
    /// Rows that are not those of the cache's table, or too many.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// A delete can't be asked of the rows.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// An object that is no cache, or is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Arrow refused an operation on the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
