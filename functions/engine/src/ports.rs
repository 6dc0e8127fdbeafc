//! What the engine needs of the rest of the database: queries for plugins, and a place for the lines that they write.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use neap_bucket::Stamp;
use neap_schema::DatabaseId;

/// Why something that a plugin asked for was not done, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// The rows of a query, as they come.
pub struct QueryRows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: BoxStream<'static, Result<RecordBatch, PortError>>,
}

impl fmt::Debug for QueryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRows").finish_non_exhaustive()
    }
}

/// How lines of a plugin are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginWrite {
    /// How many plugins in a row have led to these lines: 1 when a client's write, a schedule or a request made the
    /// plugin run.
    pub depth: u8,
    /// Whether to answer before the rows are put, where the settings allow it.
    pub no_sync: bool,
    /// The only database that may be written to, whatever its name means by now; `None`: any of the name, and a
    /// missing one is created. What a plugin writes to the database of its trigger must not create it again when it
    /// was dropped.
    pub only: Option<DatabaseId>,
}

/// The database, as plugins have it.
#[async_trait]
pub trait Database: fmt::Debug + Send + Sync + 'static {
    /// Answers one statement in SQL.
    ///
    /// # Errors
    /// There is no such database, or the query fails.
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, PortError>;

    /// Writes lines with times in nanoseconds, all of them or none. `None`: they are put after the answer.
    ///
    /// # Errors
    /// A line is refused, or the rows are not acknowledged.
    async fn write(
        &self,
        database: &str,
        lines: Bytes,
        options: PluginWrite,
    ) -> Result<Option<Stamp>, PortError>;
}
