//! Errors of deduplication and images.

use arrow_schema::ArrowError;
use neap_row_delete::MaskError;

/// The rows do not match their table, or there are too many.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum PointsError {
    #[error("column '{column}' has type {found} where the table has {expected}")]
    ColumnType {
        column: String,
        found: String,
        expected: String,
    },
    #[error("the rows have no time column")]
    MissingTimeColumn,
    #[error("the values of column '{column}' are not in memory")]
    NotLoaded { column: String },
    /// The rows whose columns are loaded are not those of the image, or not those that were sorted.
    #[error("the rows of the tail have changed")]
    OtherRows,
    /// There are more rows than one deduplication or one image can number.
    #[error("there are more than {limit} rows")]
    TooManyRows { limit: usize },
    /// The condition of a row delete can't be evaluated on the rows.
    #[error(transparent)]
    Delete(#[from] MaskError),
    /// Arrow refused an operation on the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
