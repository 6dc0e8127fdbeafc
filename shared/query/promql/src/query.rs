//! Evaluates queries.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryPool;
use promql_parser::parser::{Expr, value::ValueType};

use crate::{
    annotations::Annotations,
    budget::{Budget, EvaluationLimits},
    error::{PromqlError, bad_data},
    evaluator::{Evaluator, Value},
    labels::Labels,
    sample_counts::{SampleCounts, sample_size},
    sample_stream::ChunkStream,
    series::{BoxStream, one},
    source::MetricSource,
    steps::Steps,
    value::{MatrixSeries, QueryResult, QueryValue, SampleStats, SampleValue, VectorSample},
};

/// How long a sample is the value of its series by default, in milliseconds, as in Prometheus.
pub const DEFAULT_LOOKBACK_MS: i64 = 5 * 60_000;

/// The step of subqueries that name none by default, in milliseconds, as in Prometheus.
pub const DEFAULT_SUBQUERY_STEP_MS: i64 = 60_000;

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

/// The parameters of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The steps.
    pub range: EvaluationRange,
    /// How long a sample is the value of its series.
    pub lookback_ms: i64,
    /// The step of subqueries that name none.
    pub subquery_step_ms: i64,
    /// The limits.
    pub limits: EvaluationLimits,
    /// Whether the result has the number of samples that were read at each step.
    pub counts_samples: bool,
}

fn with_thousands(number: usize) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", with_thousands(number / 1_000), number % 1_000)
}

/// The reason why the times of a range query are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The end is before the start.
    #[error("end timestamp must not be before start time")]
    EndBeforeStart,
    /// The step is not greater than 0.
    #[error(
        "zero or negative query resolution step widths are not accepted. Try a positive integer"
    )]
    Step,
    /// There are more steps than the limit.
    #[error(
        "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
        with_thousands(*.0)
    )]
    TooManyPoints(usize),
}

impl From<RangeError> for PromqlError {
    fn from(error: RangeError) -> Self {
        bad_data(error.to_string())
    }
}

impl Evaluation {
    /// Checks the times of a range.
    ///
    /// # Errors
    /// The end is before the start, the step is not greater than 0, or there are too many steps.
    pub fn check_range(&self) -> Result<(), RangeError> {
        self.steps().map(|_| ())
    }

    /// Returns the steps, and the last time of the query.
    fn steps(&self) -> Result<(Steps, i64), RangeError> {
        let (start_ms, end_ms, step_ms) = match self.range {
            EvaluationRange::Instant { at_ms } => return Ok((Steps::one(at_ms), at_ms)),
            EvaluationRange::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        };
        if end_ms < start_ms {
            return Err(RangeError::EndBeforeStart);
        }
        if step_ms <= 0 {
            return Err(RangeError::Step);
        }
        let steps = Steps::between(start_ms, end_ms, step_ms);
        if steps.count.saturating_sub(1) > self.limits.steps {
            return Err(RangeError::TooManyPoints(self.limits.steps));
        }
        Ok((steps, end_ms))
    }

    fn is_instant(&self) -> bool {
        matches!(self.range, EvaluationRange::Instant { .. })
    }
}

/// Collects the samples of series.
async fn matrix(
    mut series: BoxStream<'_>,
    steps: Steps,
    budget: &mut Budget,
) -> Result<QueryValue, PromqlError> {
    let mut matrix = Vec::new();
    while let Some(series) = series.next().await? {
        let present = steps.times().zip(series.values);
        let samples: Vec<_> = present.filter_map(|(time, value)| Some((time, value?))).collect();
        matrix.push(kept_series(series.labels, samples, budget)?);
    }
    Ok(sorted(matrix))
}

/// Returns a series whose memory is reserved.
fn kept_series(
    labels: Labels,
    samples: Vec<(i64, SampleValue)>,
    budget: &mut Budget,
) -> Result<MatrixSeries, PromqlError> {
    let histograms = samples.iter().map(|(_, value)| value.heap_size());
    let bytes = samples.capacity() * size_of::<(i64, SampleValue)>()
        + labels.memory_size()
        + histograms.sum::<usize>();
    budget.keep_series_of(samples.len(), bytes)?;
    Ok(MatrixSeries { labels, samples })
}

fn sorted(mut matrix: Vec<MatrixSeries>) -> QueryValue {
    matrix.sort_by(|one, other| one.labels.cmp(&other.labels));
    QueryValue::Matrix(matrix)
}

/// Collects the samples of a range selector.
async fn raw_matrix(
    mut chunks: Box<dyn ChunkStream + '_>,
    steps: Steps,
    counts: &SampleCounts,
    budget: &mut Budget,
) -> Result<QueryValue, PromqlError> {
    let mut matrix: Vec<MatrixSeries> = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        if let Some(labels) = chunk.labels {
            matrix.push(kept_series(labels, Vec::new(), budget)?);
        }
        let Some(series) = matrix.last_mut() else {
            continue;
        };
        let samples = chunk.samples.into_iter().filter(|(_, value)| !value.is_stale());
        let before = series.samples.len();
        let mut histograms = 0;
        for (time, value) in samples {
            histograms += value.heap_size();
            match series.samples.last_mut() {
                Some(last) if last.0 == time => last.1 = value,
                _ => series.samples.push((time, value)),
            }
        }
        let added = series.samples.len() - before;
        let bytes = added * 2 * size_of::<(i64, SampleValue)>() + histograms;
        budget.keep_samples(added, bytes)?;
    }
    matrix.retain(|series| !series.samples.is_empty());
    counts.add(steps, 0, || {
        let samples = matrix.iter().flat_map(|series| &series.samples);
        samples.map(|(_, value)| sample_size(value)).sum()
    });
    Ok(sorted(matrix))
}

/// Collects the series at one time.
async fn vector(
    mut series: BoxStream<'_>,
    at_ms: i64,
    budget: &mut Budget,
) -> Result<QueryValue, PromqlError> {
    let mut vector = Vec::new();
    while let Some(series) = series.next().await? {
        budget.keep(&series)?;
        if let Some(value) = series.values.into_iter().next().flatten() {
            vector.push(VectorSample { labels: series.labels, at_ms, value });
        }
    }
    Ok(QueryValue::Vector(vector))
}

/// Returns the value of an instant query.
async fn instant_value(
    evaluator: &Evaluator<'_>,
    expr: &Expr,
    at_ms: i64,
    budget: &mut Budget,
) -> Result<QueryValue, PromqlError> {
    let steps = Steps::one(at_ms);
    if let Some(range) = evaluator.range_samples(expr, steps).await? {
        return raw_matrix(range.samples, steps, &evaluator.samples, budget).await;
    }
    match evaluator.evaluate(expr, steps).await? {
        Value::Scalar(values) => {
            Ok(QueryValue::Scalar { at_ms, value: values.first().copied().unwrap_or(f64::NAN) })
        }
        Value::Text(value) => Ok(QueryValue::Text { at_ms, value }),
        Value::Vector(series) => vector(series, at_ms, budget).await,
    }
}

/// Returns the value of a range query.
async fn range_value(
    evaluator: &Evaluator<'_>,
    expr: &Expr,
    steps: Steps,
    budget: &mut Budget,
) -> Result<QueryValue, PromqlError> {
    let series = match evaluator.evaluate(expr, steps).await? {
        Value::Vector(series) => series,
        Value::Scalar(values) => {
            let samples = values.into_iter().map(|value| Some(SampleValue::Float(value)));
            one(Labels::default(), samples.collect())
        }
        Value::Text(_) => return Err(bad_data("the expression is a string")),
    };
    matrix(series, steps, budget).await
}

/// Evaluates an expression. Dropping the future cancels the evaluation, which yields to other tasks. The caller limits the
/// time.
///
/// # Errors
/// [`PromqlError::BadData`] if the expression is of a type that a range query does not have, [`PromqlError::Execution`] if
/// the values or limits do not permit it, [`PromqlError::Storage`] if samples cannot be read or kept.
pub async fn evaluate(
    expr: &Expr,
    evaluation: &Evaluation,
    source: &dyn MetricSource,
    memory: &Arc<dyn MemoryPool>,
) -> Result<QueryResult, PromqlError> {
    let (steps, end_ms) = evaluation.steps()?;
    let kind = match expr.value_type() {
        ValueType::Matrix => Some("range vector"),
        ValueType::String => Some("string"),
        ValueType::Scalar | ValueType::Vector => None,
    };
    if let Some(kind) = kind.filter(|_| !evaluation.is_instant()) {
        return Err(bad_data(format!(
            "invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
        )));
    }
    let evaluator = Evaluator {
        source,
        bounds: (steps.start_ms, end_ms),
        lookback_ms: evaluation.lookback_ms,
        subquery_step_ms: evaluation.subquery_step_ms,
        budget: Budget::new(evaluation.limits, memory),
        annotations: Annotations::default(),
        samples: SampleCounts::new(steps, evaluation.counts_samples),
    };
    let _operations = evaluator.reserve_steps(expr, steps.count)?;
    let mut budget = evaluator.budget.new_empty();
    let value = if evaluation.is_instant() {
        instant_value(&evaluator, expr, steps.start_ms, &mut budget).await?
    } else {
        range_value(&evaluator, expr, steps, &mut budget).await?
    };
    let samples = SampleStats {
        per_step: evaluator.samples.into_per_step(),
        peak: budget.peak_samples(),
    };
    let (warnings, infos) = evaluator.annotations.into_texts();
    Ok(QueryResult {
        value,
        warnings,
        infos,
        samples,
        reservation: budget.into_reservation(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::evaluation;

    fn steps(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<usize, RangeError> {
        let range = EvaluationRange::Range { start_ms, end_ms, step_ms };
        evaluation(range).steps().map(|(steps, _)| steps.count)
    }

    #[test]
    fn steps_are_limited() {
        assert_eq!(steps(0, 11_000_000, 1_000), Ok(11_001));
        let too_many = RangeError::TooManyPoints(11_000);
        assert_eq!(steps(0, 11_001_000, 1_000), Err(too_many));
        assert_eq!(
            too_many.to_string(),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
        );
        assert_eq!(steps(1, 0, 1), Err(RangeError::EndBeforeStart));
        assert_eq!(steps(0, 1, 0), Err(RangeError::Step));
    }

    #[test]
    fn numbers_have_thousands() {
        assert_eq!(with_thousands(999), "999");
        assert_eq!(with_thousands(1_234_005), "1,234,005");
    }
}
