//! Adapts the evaluation of PromQL to the query engine.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::RecordBatch, datatypes::Schema};
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use neap_promql::{Evaluation, PromqlError, QueryResult, evaluate, parse};
use neap_tables::QueryContext;

use super::source::TableSource;
use crate::{
    QueryRequest,
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// A result with the number of samples that were read for it.
#[derive(Debug)]
pub(super) struct EvaluatedExpression {
    pub(super) result: QueryResult,
    pub(super) samples_read: usize,
}

/// Parses and evaluates an expression, on the query threads. The planned statement has no rows: series of a result have
/// different labels.
#[derive(Debug)]
pub(super) struct ExpressionPlanner {
    evaluation: Evaluation,
    /// The result of the latest evaluation.
    evaluated: Mutex<Option<EvaluatedExpression>>,
}

impl ExpressionPlanner {
    pub(super) fn new(evaluation: Evaluation) -> Self {
        Self {
            evaluation,
            evaluated: Mutex::default(),
        }
    }

    async fn evaluate(
        &self,
        context: &QueryContext,
        text: &str,
    ) -> Result<EvaluatedExpression, PromqlError> {
        let expression = parse(text)?;
        let source = TableSource::new(context);
        let memory = context.memory_pool();
        let result = evaluate(&expression, &self.evaluation, &source, memory).await?;
        Ok(EvaluatedExpression {
            result,
            samples_read: source.samples_read(),
        })
    }

    /// Takes the result. Valid once the expression is planned.
    pub(super) fn take_evaluated(&self) -> Option<EvaluatedExpression> {
        self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        let evaluated =
            self.evaluate(context, &request.text).await.map_err(|error| match error {
                PromqlError::Storage(error) => error,
                other => DataFusionError::External(Box::new(other)),
            })?;
        *self.evaluated.lock().unwrap_or_else(PoisonError::into_inner) = Some(evaluated);
        let no_rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Ok(PlannedStatement::Rows(no_rows))
    }
}
