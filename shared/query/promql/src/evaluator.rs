//! Evaluates expressions to streams of series.

mod aggregations;
mod binary;
mod calls;
mod selectors;
mod vector_calls;

use futures::{FutureExt, future::BoxFuture};
use promql_parser::parser::{Expr, value::ValueType};
use tokio::task::coop::consume_budget;

use crate::{
    annotations::Annotations,
    budget::Budget,
    error::PromqlError,
    expr_properties::{count_operations, differs_in_name, is_step_invariant, unwrapped},
    operators::negated,
    sample_counts::SampleCounts,
    series::{BoxStream, Series, known, mapped},
    source::MetricSource,
    steps::Steps,
    unique_series::{distinct, merged},
    value::SampleValue,
};

/// The value of an expression at the steps of an evaluation.
pub(crate) enum Value<'a> {
    /// A number for each step.
    Scalar(Vec<f64>),
    /// Series.
    Vector(BoxStream<'a>),
    Text(String),
}

/// Evaluates the expressions of a query.
pub(crate) struct Evaluator<'a> {
    pub(crate) source: &'a dyn MetricSource,
    /// The first and the last time of the query.
    pub(crate) bounds: (i64, i64),
    pub(crate) lookback_ms: i64,
    pub(crate) subquery_step_ms: i64,
    /// The budget from which those of operations are created.
    pub(crate) budget: Budget,
    pub(crate) annotations: Annotations,
    pub(crate) samples: SampleCounts,
}

/// Returns the error of an expression whose type was not checked.
fn unexpected_type(expr: &Expr, expected: &str) -> PromqlError {
    let found = expr.value_type();
    PromqlError::BadData(format!("expected type {expected}, got {found} in {expr}"))
}

/// Repeats the value of one step at all steps.
fn repeated(value: Value<'_>, steps: usize) -> Value<'_> {
    match value {
        Value::Scalar(values) => {
            let value = values.first().copied().unwrap_or(f64::NAN);
            Value::Scalar(vec![value; steps])
        }
        Value::Vector(input) => Value::Vector(mapped(input, move |series| {
            let value = series.values.into_iter().next().flatten();
            Ok(Series { labels: series.labels, values: vec![value; steps] })
        })),
        text @ Value::Text(_) => text,
    }
}

impl Evaluator<'_> {
    /// Reserves the memory of one series, or of numbers, at the steps of each operation of an expression.
    pub(crate) fn reserve_steps(&self, expr: &Expr, steps: usize) -> Result<Budget, PromqlError> {
        let mut budget = self.budget.new_empty();
        let bytes = steps.saturating_mul(size_of::<Option<SampleValue>>());
        budget.keep_samples(steps, bytes.saturating_mul(count_operations(expr)))?;
        Ok(budget)
    }

    /// Evaluates an expression. One whose value does not depend on the step is evaluated once.
    pub(crate) fn evaluate<'b>(
        &'b self,
        expr: &'b Expr,
        steps: Steps,
    ) -> BoxFuture<'b, Result<Value<'b>, PromqlError>> {
        async move {
            consume_budget().await;
            if steps.count == 0 {
                return Ok(match expr.value_type() {
                    ValueType::Scalar => Value::Scalar(Vec::new()),
                    _ => Value::Vector(known(std::iter::empty())),
                });
            }
            let is_literal = matches!(expr, Expr::NumberLiteral(_) | Expr::StringLiteral(_));
            if steps.count > 1 && !is_literal && is_step_invariant(expr) {
                let value = self.evaluate_node(expr, steps.first()).await?;
                return Ok(repeated(value, steps.count));
            }
            self.evaluate_node(expr, steps).await
        }
        .boxed()
    }

    async fn evaluate_node<'b>(
        &'b self,
        expr: &'b Expr,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        match expr {
            Expr::Paren(paren) => self.evaluate(&paren.expr, steps).await,
            Expr::NumberLiteral(number) => Ok(Value::Scalar(vec![number.val; steps.count])),
            Expr::StringLiteral(text) => Ok(Value::Text(text.val.clone())),
            Expr::Unary(unary) => self.evaluate_negation(&unary.expr, steps).await,
            Expr::Binary(binary) => self.evaluate_binary(binary, steps).await,
            Expr::Aggregate(aggregate) => self.evaluate_aggregate(aggregate, steps).await,
            Expr::Call(call) => self.evaluate_call(call, steps).await,
            Expr::VectorSelector(selector) => self.evaluate_selector(selector, steps).await,
            Expr::MatrixSelector(_) | Expr::Subquery(_) | Expr::Extension(_) => {
                Err(unexpected_type(expr, "instant vector"))
            }
        }
    }

    async fn evaluate_negation<'b>(
        &'b self,
        expr: &'b Expr,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        Ok(match self.evaluate(expr, steps).await? {
            Value::Scalar(values) => {
                Value::Scalar(values.into_iter().map(|value| -value).collect())
            }
            Value::Vector(input) => {
                let negative = mapped(input, |series| {
                    Ok(series.map(|_, value| Some(negated(&value))).without_metadata())
                });
                Value::Vector(if differs_in_name(expr) {
                    distinct(negative, self.budget.new_empty())
                } else {
                    negative
                })
            }
            Value::Text(_) => return Err(unexpected_type(expr, "scalar or instant vector")),
        })
    }

    /// Evaluates an expression to a number for each step.
    async fn scalars(&self, expr: &Expr, steps: Steps) -> Result<Vec<f64>, PromqlError> {
        match self.evaluate(expr, steps).await? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) | Value::Text(_) => Err(unexpected_type(expr, "scalar")),
        }
    }

    /// Evaluates an expression to series.
    async fn series<'b>(
        &'b self,
        expr: &'b Expr,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        match self.evaluate(expr, steps).await? {
            Value::Vector(series) => Ok(series),
            Value::Scalar(_) | Value::Text(_) => Err(unexpected_type(expr, "instant vector")),
        }
    }

    /// Merges the series of a function that removes the name of the metric, if those of its argument may differ in it only.
    fn unique<'b>(&self, series: BoxStream<'b>, argument: &Expr, steps: Steps) -> BoxStream<'b> {
        if differs_in_name(argument) {
            merged(series, steps.count, self.budget.new_empty())
        } else {
            series
        }
    }
}

/// Returns the text of a literal.
fn text_of(expr: &Expr) -> Result<&str, PromqlError> {
    match unwrapped(expr) {
        Expr::StringLiteral(text) => Ok(&text.val),
        other => Err(unexpected_type(other, "string")),
    }
}
