//! Whoever puts deletes into the order of writes, as those see it who ask for one.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use neap_bucket::{Moment, Stamp};
use neap_schema::DatabaseId;

use crate::RowDelete;

/// What the answer to a refused delete is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRowsErrorKind {
    /// The request is wrong and will always be.
    Invalid,
    /// There is no such database or table.
    NotFound,
    /// It did not happen now and may happen later.
    Unavailable,
    /// It can't be told whether it happened; it can be repeated.
    Unknown,
    /// Stored data can't be read, or a mistake of the server.
    Internal,
}

/// Why rows are not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeleteRowsError {
    /// The message, for people.
    pub message: String,
    /// What it is about.
    pub kind: DeleteRowsErrorKind,
    /// How long to wait before the delete is asked for again; `None` when it does not pass with time.
    pub retry_after: Option<Duration>,
    /// The stamp that was taken for the delete, whether or not it exists.
    pub stamp: Option<Stamp>,
}

/// Deletes rows.
#[async_trait]
pub trait RowDeleter: Debug + Send + Sync {
    /// Deletes rows of tables of a database, all at one place in the order of all writes: after every write
    /// that the same instance acknowledged before, and after the stamp `after` if there is one. Answers with
    /// its stamp; a snapshot that is taken later does not have the rows.
    ///
    /// `arrived` is when the request arrived, before anything was waited for: a delete that waited too long
    /// would remove what was written meanwhile, and is refused (rule W1).
    ///
    /// # Errors
    /// Without deletes there is nothing to do, and no stamp. Else the delete is not promised; it may exist all
    /// the same when the kind is [`Unknown`](DeleteRowsErrorKind::Unknown).
    async fn delete_rows(
        &self,
        database: DatabaseId,
        deletes: Vec<RowDelete>,
        arrived: Moment,
        after: Option<Stamp>,
    ) -> Result<Stamp, DeleteRowsError>;
}
