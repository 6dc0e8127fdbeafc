//! A source of the rows of a file in parts.

use neap_rows::columnar::TablePart;

use crate::ReadError;

/// A file of one format.
pub(crate) trait PartSource: Send {
    /// Reads the next rows; no parts at the end of the file. A part has at most
    /// [`MAX_BATCH_ROWS`](crate::MAX_BATCH_ROWS) rows.
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError>;

    /// Returns the memory that reading takes besides the parts, in bytes; 0 if parts limit it.
    fn memory_bytes(&self) -> u64 {
        0
    }
}
