//! The interface for executing row deletes.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp};
use neap_schema::DatabaseId;

use crate::RowDelete;

/// The kind of a failed delete, for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRowsErrorKind {
    /// The request is invalid; a retry fails, too.
    Invalid,
    /// The database or table does not exist.
    NotFound,
    /// The delete was not executed; a retry may succeed.
    Unavailable,
    /// The outcome is unknown; the delete can be retried.
    Unknown,
    /// Stored data can't be read, or the server has an internal error.
    Internal,
}

/// A failed delete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeleteRowsError {
    /// The message for users.
    pub message: String,
    /// The kind of the error.
    pub kind: DeleteRowsErrorKind,
    /// Time to wait before a retry; `None` if the error is permanent.
    pub retry_after: Option<Duration>,
    /// The stamp of the delete, whether or not the delete exists.
    pub stamp: Option<Stamp>,
}

/// Executes row deletes.
#[async_trait]
pub trait RowDeleter: Debug + Send + Sync {
    /// Deletes rows of tables of a database, all with one stamp: after every write that the same instance acknowledged
    /// before, and after the stamp `after` if it is given. Returns the stamp. Snapshots taken later do not contain the
    /// rows.
    ///
    /// `arrived` is the arrival time of the request, before any wait. A delete that has waited too long is refused,
    /// because it would remove rows written meanwhile (rule W1).
    ///
    /// # Errors
    /// An empty list of deletes is an error without a stamp. In all other cases the delete is not acknowledged; it may
    /// still take effect if the kind is [`Unknown`](DeleteRowsErrorKind::Unknown).
    async fn delete_rows(
        &self,
        database: DatabaseId,
        deletes: Vec<RowDelete>,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Stamp, DeleteRowsError>;
}
