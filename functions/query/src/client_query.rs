//! Statements of a client, with the permissions that they need.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Schema};
use futures::TryStreamExt;
use neap_catalog::{DatabaseAction, origin};
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;

use crate::{
    ClientQuery, CopyError, Language, QueryEngine, QueryError, QueryRequest, Rows,
    StatementDescription,
    alter::parse_alter_statement,
    influxql::{InfluxqlError, InfluxqlSession},
    schema_planner::SchemaPlanner,
    sql_planner::SqlPlanner,
    views::parse_view_statement,
};

/// The reason why a statement of a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientQueryError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The caller lacks a permission, or the request is invalid.
    #[error(transparent)]
    Request(#[from] ApiError),
}

impl From<InfluxqlError> for ClientQueryError {
    fn from(error: InfluxqlError) -> Self {
        match error {
            InfluxqlError::Query(error) => Self::Query(error),
            other => Self::Request(other.into()),
        }
    }
}

impl From<ClientQueryError> for ApiError {
    fn from(error: ClientQueryError) -> Self {
        match error {
            ClientQueryError::Query(error) => error.into(),
            ClientQueryError::Request(error) => error,
        }
    }
}

impl QueryEngine {
    /// Answers one statement of a client.
    ///
    /// # Errors
    /// `Forbidden` if the caller lacks a permission, even if the database does not exist. The statement is invalid, or
    /// it can't be executed.
    pub async fn query_as(self: &Arc<Self>, query: ClientQuery) -> Result<Rows, ClientQueryError> {
        // Callers hold one of these futures in each of theirs, which would be as large.
        match query.language {
            Language::Sql => Box::pin(self.query_sql_as(query)).await,
            Language::InfluxQl => Ok(Box::pin(InfluxqlSession::run_single(self, query)).await?),
        }
    }

    /// Plans one statement of a client without executing it. Placeholders need no values.
    ///
    /// # Errors
    /// Same as [`query_as`](Self::query_as).
    pub async fn describe_as(
        self: &Arc<Self>,
        query: ClientQuery,
    ) -> Result<StatementDescription, ClientQueryError> {
        match query.language {
            Language::Sql => {
                let database = self.resolve_query_database(&query).await?;
                Ok(self.describe(database, query.request, Arc::new(SqlPlanner)).await?)
            }
            Language::InfluxQl => Ok(InfluxqlSession::describe_single(self, query).await?),
        }
    }

    async fn query_sql_as(&self, query: ClientQuery) -> Result<Rows, ClientQueryError> {
        let database = self.resolve_query_database(&query).await?;
        if let Some(statement) = parse_view_statement(&query.request.text) {
            let statement = statement.map_err(QueryError::Planning)?;
            if !query.request.may_delete {
                return Err(QueryError::ReadOnlyDefinition.into());
            }
            let change = Box::pin(self.change_view(&query.caller, database, statement));
            origin::scope(query.origin, change).await?;
            return Ok(no_rows());
        }
        if let Some(statement) = parse_alter_statement(&query.request.text) {
            let statement = statement.map_err(QueryError::Planning)?;
            if !query.request.may_delete {
                return Err(QueryError::ReadOnlyDefinition.into());
            }
            let change = Box::pin(self.alter(&query.caller, database, statement));
            origin::scope(query.origin, change).await?;
            return Ok(no_rows());
        }
        let (wants_delete, wants_copy) = (query.request.may_delete, query.request.may_copy);
        let caller = &query.caller;
        let may_write = caller.may(DatabaseAction::Write, Some(database));
        let request = QueryRequest {
            may_delete: wants_delete && may_write,
            may_copy: wants_copy && may_write,
            ..query.request
        };
        let rows = self.query(database, request).await;
        let is_refused = match &rows {
            Err(QueryError::ReadOnly) => wants_delete,
            Err(QueryError::Copy(CopyError::ReadOnly)) => wants_copy,
            _ => false,
        };
        if is_refused {
            // The statement was rejected only because the caller lacks the permission.
            caller.require(DatabaseAction::Write, Some(database))?;
        }
        Ok(rows?)
    }

    async fn resolve_query_database(
        &self,
        query: &ClientQuery,
    ) -> Result<DatabaseId, ClientQueryError> {
        let name = query.database.as_deref().unwrap_or_default();
        self.resolve_for_read(&query.caller, name).await
    }

    /// Resolves a database name for a caller who may query it. A caller without permission gets the same error whether
    /// or not the database exists.
    ///
    /// # Errors
    /// `Forbidden`, `DatabaseNotFound`, or the catalog can't be read.
    pub async fn resolve_for_read(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<DatabaseId, ClientQueryError> {
        let found = self.find_database(name).await;
        if let Ok(_) | Err(QueryError::DatabaseNotFound(_)) = found {
            caller.require(DatabaseAction::Read, found.as_ref().ok().copied())?;
        }
        Ok(found?)
    }

    /// Plans a statement and returns its columns and placeholders.
    pub(crate) async fn describe(
        &self,
        database: DatabaseId,
        request: QueryRequest,
        planner: Arc<dyn crate::request::Planner>,
    ) -> Result<StatementDescription, QueryError> {
        let planner = Arc::new(SchemaPlanner::new(planner));
        // A kept answer has no columns.
        let request = QueryRequest { encoding: None, ..request };
        let rows = self.run(database, request, Arc::clone(&planner) as _).await?;
        let columns = Arc::clone(&rows.schema);
        // There are no rows; their end completes the query in the log.
        rows.batches.try_for_each(async |_| Ok(())).await?;
        Ok(StatementDescription { columns, placeholders: planner.placeholders() })
    }
}

/// Returns the answer to a statement that changed a definition.
fn no_rows() -> Rows {
    Rows::from_batch(RecordBatch::new_empty(Arc::new(Schema::empty())))
}
