//! Limits of parts and of files.

use crate::ReadError;

/// Maximum number of rows of a part.
pub const MAX_BATCH_ROWS: usize = 8192;

/// Maximum number of columns of a file. A column takes memory, even if it has few values.
pub const MAX_COLUMNS: usize = 10_000;

/// Maximum size of the rows of a part of text or Parquet, in bytes; one more row may exceed it.
pub(crate) const MAX_PART_BYTES: usize = 8 << 20;

pub(crate) fn check_columns(columns: usize) -> Result<(), ReadError> {
    let limit = MAX_COLUMNS;
    if columns > limit {
        return Err(ReadError::TooManyColumns { columns, limit });
    }
    Ok(())
}
