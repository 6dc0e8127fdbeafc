//! Executes changes for the interfaces that have no transactions.

use std::sync::Arc;

use arrow::datatypes::Schema;
use futures::TryStreamExt;
use neap_bucket::Stamp;
use neap_catalog::origin;
use neap_query::{ClientQuery, Parameters, QueryEngine, QueryRequest, StatementDescription};
use neap_write::{WriteService, authorize_write};

use crate::{
    catalog_changes::{ChangeContext, define},
    change::{Change, WriteTarget},
    change_error::ChangeError,
    placeholder_types::placeholder_types,
    row_store::{PendingRows, WrittenColumns},
    sql_error::{SqlError, SqlState},
    statement::StatementText,
};

/// Maximum bytes of the rows of a statement, which are stored in one request.
const MAX_INSERT_BYTES: usize = 16 << 20;

/// Executes changes with the functions of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct ChangeExecutor {
    queries: Arc<QueryEngine>,
    writes: Option<Arc<WriteService>>,
}

/// The effect of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// The number of stored rows; `None` if the statement stores none, or if the number is not known.
    pub rows: Option<usize>,
    /// The stamp of the write or of the delete.
    pub stamp: Option<Stamp>,
}

impl ChangeExecutor {
    /// Creates an executor; without the write function, it executes only what the query function executes.
    pub fn new(queries: Arc<QueryEngine>, writes: Option<Arc<WriteService>>) -> Self {
        Self { queries, writes }
    }

    /// The query function.
    pub fn queries(&self) -> &Arc<QueryEngine> {
        &self.queries
    }

    fn writes(&self) -> Result<&WriteService, SqlError> {
        let message = "this server does not accept writes";
        self.writes
            .as_deref()
            .ok_or_else(|| SqlError::new(SqlState::READ_ONLY, message))
    }

    /// Executes a change. The query has its text, its sender and its database.
    ///
    /// # Errors
    /// The sender lacks a permission, even if the database does not exist. The statement does not fit what exists, or it can't be
    /// executed.
    pub async fn execute(
        &self,
        change: &Change,
        query: ClientQuery,
    ) -> Result<ChangeOutcome, ChangeError> {
        match change {
            Change::Insert { target, source } => self.insert(target, source, query).await,
            Change::Define(definition) => {
                let context = ChangeContext {
                    caller: &query.caller,
                    database: query.database.as_deref().unwrap_or_default(),
                };
                let defined = define(self.writes()?, context, definition);
                origin::scope(query.origin.clone(), defined).await?;
                Ok(ChangeOutcome::default())
            }
            Change::Delete | Change::Engine(_) => {
                let request = QueryRequest { may_delete: true, ..query.request };
                let rows = self.queries.query_as(ClientQuery { request, ..query }).await?;
                let stamp = rows.deleted_at;
                rows.batches.try_for_each(async |_| Ok(())).await?;
                Ok(ChangeOutcome { rows: None, stamp })
            }
        }
    }

    /// Stores the rows of an `INSERT`, all or none.
    async fn insert(
        &self,
        target: &WriteTarget,
        source: &str,
        query: ClientQuery,
    ) -> Result<ChangeOutcome, ChangeError> {
        let writes = self.writes()?;
        let database = query.database.clone().unwrap_or_default();
        let only = authorize_write(writes, &query.caller, &database).await?;
        let columns = self.written_columns(target, &query).await?;
        let (origin, after) = (query.origin.clone(), query.request.after);
        let request = QueryRequest { text: source.to_owned(), ..query.request };
        let rows = self.queries.query_as(ClientQuery { request, ..query }).await?;
        let mut batches = rows.batches;
        let mut pending = PendingRows::default();
        while let Some(batch) = batches.try_next().await? {
            let typed = columns.batch(batch.columns())?;
            pending.add(writes, &columns.table, typed, MAX_INSERT_BYTES, only).await?;
        }
        let count = pending.rows();
        let stored = pending.store(writes, &database, after);
        let stamp = origin::scope(origin, stored).await?;
        Ok(ChangeOutcome { rows: Some(count), stamp })
    }

    /// Returns the columns of the table that a statement writes.
    async fn written_columns(
        &self,
        target: &WriteTarget,
        query: &ClientQuery,
    ) -> Result<WrittenColumns, ChangeError> {
        let request = QueryRequest {
            text: WrittenColumns::query(target),
            parameters: Parameters::default(),
            ..query.request.clone()
        };
        let described = ClientQuery { request, ..query.clone() };
        WrittenColumns::describe(&self.queries, described, target).await
    }

    /// Returns the placeholders of a change, and its columns: none.
    ///
    /// # Errors
    /// The statement is invalid, or the sender lacks a permission.
    pub async fn describe(
        &self,
        change: &Change,
        query: ClientQuery,
    ) -> Result<StatementDescription, ChangeError> {
        let types = match change {
            Change::Delete => return Ok(self.queries.describe_as(query).await?),
            Change::Define(_) | Change::Engine(_) => Vec::new(),
            Change::Insert { target, source } => {
                let columns = self.written_columns(target, &query).await?;
                let sources = StatementText::split(source)?;
                let types = sources.first().map(|source| placeholder_types(source, &columns));
                types.transpose()?.unwrap_or_default()
            }
        };
        let numbered = types.into_iter().enumerate();
        let placeholders = numbered
            .map(|(index, data_type)| ((index + 1).to_string(), data_type))
            .collect();
        Ok(StatementDescription { columns: Arc::new(Schema::empty()), placeholders })
    }
}
