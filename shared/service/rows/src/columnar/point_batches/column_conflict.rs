//! Conflicts of a value with its column or its row.

use neap_schema::ColumnType;
use thiserror::Error;

/// Reasons why a value cannot be added to a row. The row has the values that it had before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ColumnConflict {
    /// Other rows of the request have a value of another type in the column.
    #[error("invalid column type for column '{column}', expected {expected}, got {got}")]
    Type {
        column: String,
        expected: ColumnType,
        got: ColumnType,
    },
    #[error("column '{0}' occurs several times in a row")]
    Repeated(String),
    #[error("a column needs a name")]
    Unnamed,
    #[error("a tag has a value of other points")]
    ForeignTag,
    /// No row was begun, or it was discarded.
    #[error("a value needs a row")]
    NoRow,
}
