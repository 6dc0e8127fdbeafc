//! PromQL queries of clients.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use futures::TryStreamExt;
use neap_bucket::Stamp;
use neap_http::Caller;
use neap_promql::{Evaluation, PromqlError, QueryResult};
use neap_schema::DatabaseId;

use super::planner::{ExpressionPlanner, ResultFormat};
use crate::{
    ClientQueryError, PieceStream, QueryEngine, QueryError, QueryRequest, text_pieces::pieces_of,
};

/// A PromQL query of a client.
#[derive(Clone, Debug)]
pub struct PromqlQuery {
    /// The sender.
    pub caller: Caller,
    /// The name of the database.
    pub database: String,
    /// The expression and its options.
    pub request: QueryRequest,
    /// The times and limits.
    pub evaluation: Evaluation,
    /// The format of the answer.
    pub format: Arc<dyn ResultFormat>,
}

/// The answer to a PromQL query.
#[derive(derive_more::Debug)]
pub struct PromqlAnswer {
    /// The text. The query ends with it.
    #[debug(skip)]
    pub text: PieceStream,
    /// The stamp up to which the answer includes writes.
    pub as_of: Option<Stamp>,
}

/// The reason why a PromQL query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PromqlQueryError {
    /// The expression is malformed, or can't be evaluated.
    #[error(transparent)]
    Expression(#[from] PromqlError),
    /// The caller lacks a permission, or the query failed.
    #[error(transparent)]
    Query(#[from] ClientQueryError),
}

impl From<QueryError> for PromqlQueryError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Execution(DataFusionError::External(cause)) => {
                match cause.downcast::<PromqlError>() {
                    Ok(cause) => Self::Expression(*cause),
                    Err(cause) => {
                        let error = QueryError::Execution(DataFusionError::External(cause));
                        Self::Query(error.into())
                    }
                }
            }
            error => Self::Query(error.into()),
        }
    }
}

impl QueryEngine {
    /// Answers a PromQL query of a client.
    ///
    /// # Errors
    /// `Forbidden` if the caller may not read the database, even if it does not exist. The expression is malformed, or it can't
    /// be evaluated.
    pub async fn query_promql(&self, query: PromqlQuery) -> Result<PromqlAnswer, PromqlQueryError> {
        let database = self.resolve_for_read(&query.caller, &query.database).await?;
        let plans = Arc::clone(self.plan_cache());
        let planner = ExpressionPlanner::new(query.evaluation, Some(query.format), plans);
        let rows = self.run(database, query.request, Arc::new(planner)).await?;
        Ok(PromqlAnswer { text: pieces_of(rows.batches), as_of: rows.as_of })
    }

    /// Evaluates an expression over a database, and returns its result.
    /// Fails if the expression is malformed, or it can't be evaluated.
    pub(crate) async fn evaluate_promql(
        &self,
        database: DatabaseId,
        request: QueryRequest,
        evaluation: Evaluation,
    ) -> Result<QueryResult, PromqlQueryError> {
        let plans = Arc::clone(self.plan_cache());
        let planner = Arc::new(ExpressionPlanner::new(evaluation, None, plans));
        let rows = self.run(database, request, Arc::clone(&planner) as _).await?;
        // There are no rows; their end completes the query in the log.
        rows.batches.try_for_each(async |_| Ok(())).await?;
        Ok(planner.take_result().ok_or(QueryError::Stopped)?)
    }
}
