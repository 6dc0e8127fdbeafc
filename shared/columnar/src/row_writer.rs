//! The interface for storing rows of record batches.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use neap_bucket::Stamp;
use neap_schema::DatabaseId;

use crate::ColumnarRows;

/// Rows that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRows {
    /// The number of rows.
    pub rows: usize,
    /// Their position in the order of all writes; `None` if there are no rows.
    pub stamp: Option<Stamp>,
}

/// The reason why rows are not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowWriteError {
    /// The message for users.
    pub message: String,
    /// Time to wait before a retry; `None` if the error is permanent.
    pub retry_after: Option<Duration>,
}

/// Stores rows of record batches.
#[async_trait]
pub trait RowWriter: Debug + Send + Sync {
    /// Stores rows in the database of this name and id, after the stamp `after` if it is given. Missing tables and
    /// columns are created.
    ///
    /// # Errors
    /// No row is acknowledged: a row does not fit its table, the database does not exist any more, a limit is reached,
    /// or the store does not answer. If the outcome of a request to the store is unknown, the rows may be stored.
    async fn store_rows(
        &self,
        name: &str,
        database: DatabaseId,
        rows: &ColumnarRows,
        after: Option<Stamp>,
    ) -> Result<StoredRows, RowWriteError>;
}
