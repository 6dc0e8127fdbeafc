//! Adapts the evaluation of PromQL to the query engine.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::Schema};
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use neap_promql::{Evaluation, PromqlError, QueryResult, evaluate, parse};
use neap_tables::QueryContext;

use super::source::TableSource;
use crate::{
    QueryRequest, TextPieces,
    plan_cache::PlanCache,
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// The format of the results of an interface.
pub trait ResultFormat: Debug + Send + Sync {
    /// Returns the text of a result. Its pieces hold the memory of what is not sent.
    fn text(&self, result: QueryResult) -> TextPieces;
}

/// Parses and evaluates an expression, on the query threads. The planned statement is a text, because series of a result have
/// different labels. Without a format, it has no rows, and the result is taken.
#[derive(Debug)]
pub(super) struct ExpressionPlanner {
    evaluation: Evaluation,
    format: Option<Arc<dyn ResultFormat>>,
    /// The kept plans of statements that select samples.
    plans: Arc<PlanCache>,
    /// The result of the latest evaluation without a format.
    result: Mutex<Option<QueryResult>>,
}

impl ExpressionPlanner {
    pub(super) fn new(
        evaluation: Evaluation,
        format: Option<Arc<dyn ResultFormat>>,
        plans: Arc<PlanCache>,
    ) -> Self {
        Self { evaluation, format, plans, result: Mutex::default() }
    }

    async fn evaluate(
        &self,
        context: &QueryContext,
        text: &str,
    ) -> Result<QueryResult, PromqlError> {
        let expression = parse(text)?;
        let source = TableSource::new(context, Arc::clone(&self.plans));
        evaluate(&expression, &self.evaluation, &source, context.memory_pool()).await
    }

    /// Takes the result. Valid once the expression is planned, unless there is a format.
    pub(super) fn take_result(&self) -> Option<QueryResult> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl Planner for ExpressionPlanner {
    fn language(&self) -> StatementLanguage {
        StatementLanguage::PromQl
    }

    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let result = self.evaluate(context, &request.text).await.map_err(|error| match error {
            PromqlError::Storage(error) => error,
            other => DataFusionError::External(Box::new(other)),
        })?;
        if let Some(format) = &self.format {
            return Ok(PlannedStatement::Text(format.text(result)));
        }
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        let no_rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Ok(PlannedStatement::Rows(no_rows))
    }
}
