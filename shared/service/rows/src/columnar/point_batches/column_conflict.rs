//! Conflicts of a value with its column or its row.

use neap_schema::ColumnType;
use thiserror::Error;

/// Reasons why a value cannot be added to a row. The row has the values that it had before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ColumnConflict {
    /// Other rows of the request have a value of another type in the column.
    #[error("invalid column type for column '{column}', expected {expected}, got {got}")]
    Type {
        /// The name of the column.
        column: String,
        /// The type of the other values.
        expected: ColumnType,
        /// The type of the value.
        got: ColumnType,
    },
    /// The row has a value in the column.
    #[error("column '{0}' occurs several times in a row")]
    Repeated(String),
    /// The name of the column is empty.
    #[error("a column needs a name")]
    Unnamed,
    /// The value belongs to other points.
    #[error("a tag has a value of other points")]
    ForeignTag,
    /// No row was begun, or it was discarded.
    #[error("a value needs a row")]
    NoRow,
}
