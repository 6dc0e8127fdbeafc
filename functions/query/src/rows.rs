//! The rows of an answer, as a stream.

use std::{pin::Pin, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, stream};
use neap_bucket::Stamp;

use crate::{QueryError, answer_cache::AnswerReuse, query_log::LoggedQuery};

/// A stream of rows.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, QueryError>> + Send>>;

/// The rows of an answer, as a stream.
#[derive(derive_more::Debug)]
#[debug("Rows {{ schema: {schema:?}, .. }}")]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows. An error ends the stream.
    pub batches: BatchStream,
    /// The stamp up to which the answer includes writes; `None` if it does not come from a snapshot.
    pub as_of: Option<Stamp>,
    /// The stamp of the delete, if the statement was one. Queries as of later stamps do not see the rows.
    pub deleted_at: Option<Stamp>,
    /// The number of workers that the query was distributed over; zero if it ran in this process.
    pub workers: usize,
    /// The query in the log; `None` if the rows are not from a query.
    pub(crate) logged: Option<Arc<LoggedQuery>>,
    /// What the encoder does with the answer cache.
    pub(crate) reuse: AnswerReuse,
}

impl Rows {
    /// Creates rows without stamps and log entry.
    pub(crate) fn new(schema: SchemaRef, batches: BatchStream) -> Self {
        Self {
            schema,
            batches,
            as_of: None,
            deleted_at: None,
            workers: 0,
            logged: None,
            reuse: AnswerReuse::None,
        }
    }

    /// Creates an answer from rows in memory.
    pub(crate) fn from_batch(rows: RecordBatch) -> Self {
        Self::new(rows.schema(), Box::pin(stream::iter([Ok(rows)])))
    }
}
