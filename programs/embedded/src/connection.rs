//! Statements and writes over one database.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use bytes::Bytes;
use neap_catalog::ChangeOrigin;
use neap_http::Caller;
use neap_query::{ClientQuery, Language, Parameters, QueryEngine, QueryRequest, Rows};
use neap_write::{AcceptedWrite, LineProtocolBody, WriteOptions, WriteService};

use crate::{
    Error,
    table_write::{RETRY_LIMIT, TableWrite, WrittenRows, write_table},
};

/// A database in a store, with the functions of this process. Clones share caches and threads.
#[derive(Clone, Debug)]
pub struct Connection {
    queries: Arc<QueryEngine>,
    writes: Arc<WriteService>,
    database: String,
}

impl Connection {
    pub(crate) fn new(
        queries: Arc<QueryEngine>,
        writes: Arc<WriteService>,
        database: String,
    ) -> Self {
        Self { queries, writes, database }
    }

    /// Returns another database of the same store.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Answers one SQL statement: a query, or a `DELETE`, `ALTER` or `COPY` statement.
    ///
    /// # Errors
    /// The statement is invalid, or the database can't be read. The stream of rows may end with an error.
    pub async fn sql(&self, statement: &str) -> Result<Rows, Error> {
        self.sql_with(statement, Parameters::default()).await
    }

    /// Answers one SQL statement with values for its placeholders, such as `$bed`.
    ///
    /// # Errors
    /// See [`sql`](Self::sql).
    pub async fn sql_with(&self, statement: &str, parameters: Parameters) -> Result<Rows, Error> {
        let query = ClientQuery {
            // Access to the store is access to all of its databases.
            caller: Caller::unrestricted(),
            origin: ChangeOrigin::local(),
            database: Some(self.database.clone()),
            language: Language::Sql,
            request: QueryRequest {
                text: statement.to_owned(),
                parameters,
                may_delete: true,
                may_copy: true,
                ..QueryRequest::default()
            },
        };
        Ok(self.queries.query_as(query).await?)
    }

    /// Stores lines of line protocol, all or none. Returns when they are in the store. A line without a timestamp gets
    /// the current time.
    ///
    /// # Errors
    /// A line is refused, or the lines are not acknowledged. They may be stored if the outcome of a request to the
    /// store is unknown.
    pub async fn write_lines(&self, lines: impl Into<Bytes>) -> Result<AcceptedWrite, Error> {
        let lines: Bytes = lines.into();
        let options = WriteOptions { accept_partial: false, ..WriteOptions::default() };
        let written = async {
            let reservation = self.writes.reserve(lines.len()).await?;
            let body = LineProtocolBody(&lines);
            self.writes
                .write_with_retries(reservation, &self.database, &body, options, RETRY_LIMIT)
                .await
        };
        written.await.map_err(|failure| Error::Lines(Box::new(failure)))
    }

    /// Stores record batches as rows of a table, in parts of some MiB. Returns when all are in the store.
    ///
    /// # Errors
    /// A batch can't be read, a row is refused, or a part is not acknowledged. Parts before it stay stored, as the error
    /// says.
    pub async fn write(
        &self,
        write: &TableWrite,
        batches: impl IntoIterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<WrittenRows, Error> {
        write_table(&self.writes, &self.database, write, batches).await
    }
}
