//! The reasons why answers could not be encoded.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

/// The reason why an answer could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A column's type has no text form.
    #[error("cannot write the result: {0}")]
    Arrow(#[from] ArrowError),
    /// A column's type has no Parquet form.
    #[error("cannot write the result as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// A batch does not have the columns of the result's schema.
    #[error("the result has {expected} columns, but a batch has {found}")]
    Columns {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch.
        found: usize,
    },
}
