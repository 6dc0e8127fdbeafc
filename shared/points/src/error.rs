//! What can go wrong with rows that were read.

use arrow_schema::ArrowError;
use neap_row_delete::MaskError;

/// Rows that are not those of the table that they are said to be of, or too many of them.
#[derive(Debug, thiserror::Error)]
pub enum PointsError {
    /// A column has another type than the table gives it.
    #[error("column '{column}' has type {found} where the table has {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// The type in the rows.
        found: String,
        /// The type in the table.
        expected: String,
    },
    /// The rows have no time column.
    #[error("rows without a time column")]
    NoTime,
    /// There are more rows than one fold or image can number.
    #[error("more than {limit} rows at once")]
    TooManyRows {
        /// The largest number.
        limit: usize,
    },
    /// A row delete can't be asked of the rows.
    #[error(transparent)]
    Delete(#[from] MaskError),
    /// Arrow refused an operation on the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
