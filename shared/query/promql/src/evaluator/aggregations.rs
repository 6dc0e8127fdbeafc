//! Evaluates aggregations.

use promql_parser::parser::{
    AggregateExpr, Expr,
    token::{T_BOTTOMK, T_COUNT_VALUES, T_LIMIT_RATIO, T_LIMITK, T_QUANTILE, T_TOPK},
};

use super::{Evaluator, Value, text_of, unexpected_type};
use crate::{
    aggregate::{Aggregation, Grouping},
    chosen_series::{Choice, ChosenSeries, limits},
    count_values::ValueCounts,
    error::PromqlError,
    limit_ratio::{choose, ratios},
    series::mapped,
    steps::Steps,
};

/// Returns the parameter of an aggregation.
fn parameter(aggregate: &AggregateExpr) -> Result<&Expr, PromqlError> {
    let parameter = aggregate.param.as_deref();
    parameter.ok_or_else(|| unexpected_type(&aggregate.expr, "parameter"))
}

impl Evaluator<'_> {
    pub(super) async fn evaluate_aggregate<'b>(
        &'b self,
        aggregate: &'b AggregateExpr,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        let grouping = Grouping::new(aggregate.modifier.as_ref());
        let budget = self.budget.new_empty();
        let operator = aggregate.op.id();
        let choice = match operator {
            T_TOPK => Some(Choice::Greatest),
            T_BOTTOMK => Some(Choice::Least),
            T_LIMITK => Some(Choice::First),
            _ => None,
        };
        if let Some(choice) = choice {
            let limits = limits(&self.scalars(parameter(aggregate)?, steps).await?)?;
            let input = self.series(&aggregate.expr, steps).await?;
            let chosen =
                ChosenSeries::new(choice, grouping, input, limits, &self.annotations, budget);
            return Ok(Value::Vector(Box::new(chosen)));
        }
        if operator == T_LIMIT_RATIO {
            let parameters = self.scalars(parameter(aggregate)?, steps).await?;
            let ratios = ratios(&parameters, &self.annotations)?;
            let input = self.series(&aggregate.expr, steps).await?;
            let chosen = mapped(input, move |series| Ok(choose(series, &ratios)));
            return Ok(Value::Vector(chosen));
        }
        if operator == T_COUNT_VALUES {
            let label = text_of(parameter(aggregate)?)?;
            if label.is_empty() {
                let text = format!("invalid label name {label:?}");
                return Err(PromqlError::Execution(text));
            }
            let input = self.series(&aggregate.expr, steps).await?;
            let counts = ValueCounts::new(input, grouping, label.to_owned(), steps.count, budget);
            return Ok(Value::Vector(Box::new(counts)));
        }
        let parameters = if operator == T_QUANTILE {
            self.scalars(parameter(aggregate)?, steps).await?
        } else {
            Vec::new()
        };
        let aggregation = Aggregation {
            operator,
            grouping,
            input: self.series(&aggregate.expr, steps).await?,
            parameters,
            steps: steps.count,
            annotations: &self.annotations,
            budget,
        };
        let aggregated = aggregation.aggregate();
        aggregated.map(Value::Vector).ok_or_else(|| {
            PromqlError::BadData(format!("the aggregation {} is not supported", aggregate.op))
        })
    }
}
