//! The interface for storing rows of record batches.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp};
use neap_schema::DatabaseId;

use crate::columnar::ColumnarRows;

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

    /// Like [`store_rows`](Self::store_rows), for a request that arrived at `arrived`. The rows get no stamp that is
    /// later than this time by more than rule W1 allows.
    ///
    /// # Errors
    /// As of [`store_rows`](Self::store_rows), or the writer does not support it. An error without a time to wait means
    /// that no row is stored.
    async fn store_arrived_rows(
        &self,
        name: &str,
        database: DatabaseId,
        rows: &ColumnarRows,
        after: Option<Stamp>,
        arrived: ClockReading,
    ) -> Result<StoredRows, RowWriteError> {
        let _ = (name, database, rows, after, arrived);
        Err(RowWriteError {
            message: "this server does not accept such writes".to_owned(),
            retry_after: None,
        })
    }
}
