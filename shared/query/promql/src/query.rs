//! Parses and evaluates queries.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryPool;
use promql_parser::parser::Expr;

use crate::{error::PromqlError, source::MetricSource, value::QueryResult};

/// The times at which an expression is evaluated, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationRange {
    /// One time: an instant query.
    Instant {
        /// The time.
        at_ms: i64,
    },
    /// Steps: a range query.
    Range {
        /// The first step.
        start_ms: i64,
        /// The last time, which may be between steps.
        end_ms: i64,
        /// The time between steps, greater than 0.
        step_ms: i64,
    },
}

/// The limits of an evaluation. To exceed one is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationLimits {
    /// Maximum number of samples kept at the same time, including the result.
    pub samples: usize,
    /// Maximum number of steps, which is the maximum number of points of a series.
    pub steps: usize,
    /// Maximum number of series kept at the same time, including the result.
    pub series: usize,
}

impl Default for EvaluationLimits {
    fn default() -> Self {
        Self {
            samples: 50_000_000,
            steps: 11_000,
            series: 1_000_000,
        }
    }
}

/// The parameters of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The steps.
    pub range: EvaluationRange,
    /// How long a sample is the value of its series. Prometheus has 5 minutes by default.
    pub lookback_ms: i64,
    /// The step of subqueries that name none. Prometheus has 1 minute by default.
    pub subquery_step_ms: i64,
    /// The limits.
    pub limits: EvaluationLimits,
}

/// Parses an expression. [`Expr::value_type`] is its type: the API accepts scalars and instant vectors for a range query.
///
/// # Errors
/// [`PromqlError::BadData`] if the text is no expression.
pub fn parse(_text: &str) -> Result<Expr, PromqlError> {
    Err(PromqlError::BadData(String::new()))
}

/// Evaluates an expression. Dropping the future cancels the evaluation, which yields to other tasks. The caller limits the
/// time.
///
/// # Errors
/// [`PromqlError::BadData`] if the expression is of a type that a range query does not have, [`PromqlError::Execution`] if
/// the values or limits do not permit it, [`PromqlError::Storage`] if samples cannot be read or kept.
pub async fn evaluate(
    _expr: &Expr,
    _evaluation: &Evaluation,
    _source: &dyn MetricSource,
    _memory: &Arc<dyn MemoryPool>,
) -> Result<QueryResult, PromqlError> {
    Err(PromqlError::Timeout)
}
