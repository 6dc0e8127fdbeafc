//! PromQL queries of clients.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use futures::TryStreamExt;
use neap_bucket::Stamp;
use neap_http::Caller;
use neap_promql::{Evaluation, PromqlError, QueryResult};
use neap_schema::DatabaseId;

use super::planner::ExpressionPlanner;
use crate::{ClientQueryError, QueryEngine, QueryError, QueryRequest};

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
}

/// The answer to a PromQL query.
#[derive(Debug)]
pub struct PromqlAnswer {
    /// The result.
    pub result: QueryResult,
    /// The number of samples that were read for it.
    pub samples_read: usize,
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
            QueryError::Planning(DataFusionError::External(cause)) => {
                match cause.downcast::<PromqlError>() {
                    Ok(cause) => Self::Expression(*cause),
                    Err(cause) => {
                        let error = QueryError::Planning(DataFusionError::External(cause));
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
        self.evaluate_promql(database, query.request, query.evaluation).await
    }

    /// Evaluates an expression over a database.
    ///
    /// # Errors
    /// The expression is malformed, or it can't be evaluated.
    pub(crate) async fn evaluate_promql(
        &self,
        database: DatabaseId,
        request: QueryRequest,
        evaluation: Evaluation,
    ) -> Result<PromqlAnswer, PromqlQueryError> {
        let planner = Arc::new(ExpressionPlanner::new(evaluation));
        let rows = self.run(database, request, Arc::clone(&planner) as _).await?;
        let as_of = rows.as_of;
        // There are no rows; their end completes the query in the log.
        rows.batches.try_for_each(async |_| Ok(())).await?;
        let evaluated = planner.take_evaluated().ok_or(QueryError::Stopped)?;
        Ok(PromqlAnswer {
            result: evaluated.result,
            samples_read: evaluated.samples_read,
            as_of,
        })
    }
}
