//! Errors of encoding rows.

use arrow_schema::ArrowError;
use neap_schema::TableId;

/// Reasons why rows can't be encoded. Each is a programming error of the caller.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum EncodeError {
    #[error("the batch for table {0} has no rows")]
    Empty(TableId),
    /// The batch has no column `time`, or the column has nulls.
    #[error("the batch for table {0} has rows without a time")]
    Time(TableId),
    /// The metadata of a column does not name its type, or the column is not of that type.
    #[error("column '{column}' of table {table} has a type that segments do not support")]
    Column { table: TableId, column: String },
    #[error("the rows of table {table} cannot be encoded: {source}")]
    Arrow { table: TableId, source: ArrowError },
}
