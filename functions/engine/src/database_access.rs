//! The engine's interface to the rest of the database: queries of plugins, and writes of their lines.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use neap_bucket::Stamp;
use neap_schema::DatabaseId;

/// An error of a query or a write of a plugin, with a message for the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseAccessError(pub String);

/// The result of a query as a stream.
#[derive(derive_more::Debug)]
#[debug("QueryRows {{ .. }}")]
pub struct QueryRows {
    /// The schema of the rows.
    pub schema: SchemaRef,
    /// The stream of rows.
    pub batches: BoxStream<'static, Result<RecordBatch, DatabaseAccessError>>,
}

/// Options for writing lines of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginWriteOptions {
    /// The number of plugins in a row that led to these lines: 1 if a client's write, a schedule or a request started
    /// the plugin.
    pub depth: u8,
    /// Whether to return before the rows are put, if the settings allow it.
    pub no_sync: bool,
    /// The id that the database must have, even if its name now belongs to another database. `None`: any database of
    /// the name, and a missing database is created. It is set for writes to the database of the trigger, because a
    /// plugin must not recreate its dropped database.
    pub only: Option<DatabaseId>,
}

/// The database as plugins access it.
#[async_trait]
pub trait DatabaseAccess: fmt::Debug + Send + Sync + 'static {
    /// Runs one SQL statement.
    ///
    /// # Errors
    /// There is no such database, or the query fails.
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError>;

    /// Writes lines with timestamps in nanoseconds, all or none. Returns `None` if they are put after the return.
    ///
    /// # Errors
    /// A line is rejected, or the rows are not acknowledged.
    async fn write(
        &self,
        database: &str,
        lines: Bytes,
        options: PluginWriteOptions,
    ) -> Result<Option<Stamp>, DatabaseAccessError>;
}
