//! Evaluates selectors and subqueries.

use promql_parser::parser::{Expr, SubqueryExpr, VectorSelector};

use super::{Evaluator, Value};
use crate::{
    error::PromqlError,
    expr_properties::{at_ms, matchers, milliseconds, offset_ms, unwrapped},
    range_series::SubquerySamples,
    sample_stream::{ChunkStream, SampleStream, Selection},
    selection::{InstantSelection, SelectedPart, SelectorRules},
    series::BoxStream,
    steps::{SelectorTimes, Steps},
};

/// The samples of a range selector or a subquery.
pub(crate) struct RangeSamples<'a> {
    pub(crate) samples: Box<dyn ChunkStream + 'a>,
    /// The ends of the ranges.
    pub(crate) times: SelectorTimes,
    /// The length of a range.
    pub(crate) range_ms: i64,
}

impl Evaluator<'_> {
    fn selector_times(&self, selector: &VectorSelector, steps: Steps) -> SelectorTimes {
        SelectorTimes {
            steps,
            offset_ms: offset_ms(selector.offset.as_ref()),
            at_ms: at_ms(selector.at.as_ref(), self.bounds),
        }
    }

    /// Selects the samples from a range before the first time to the last time.
    async fn select<'b>(
        &'b self,
        selector: &VectorSelector,
        times: SelectorTimes,
        range_ms: i64,
    ) -> Result<SampleStream<'b>, PromqlError> {
        let (first_ms, last_ms) = times.bounds();
        let selection = Selection {
            matchers: matchers(selector)?,
            after_ms: first_ms.saturating_sub(range_ms),
            until_ms: last_ms,
        };
        SampleStream::new(self.source, selection).await
    }

    /// Returns the newest sample of each series at each step.
    pub(super) async fn newest_samples<'b>(
        &'b self,
        selector: &VectorSelector,
        steps: Steps,
        part: SelectedPart,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let times = self.selector_times(selector, steps);
        let samples = self.select(selector, times, self.lookback_ms).await?;
        let rules = SelectorRules {
            times,
            lookback_ms: self.lookback_ms,
            part,
            counts: &self.samples,
        };
        let budget = self.budget.new_empty();
        Ok(Box::new(InstantSelection::new(samples, rules, budget)))
    }

    pub(super) async fn evaluate_selector<'b>(
        &'b self,
        selector: &VectorSelector,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        let series = self.newest_samples(selector, steps, SelectedPart::Value).await?;
        Ok(Value::Vector(series))
    }

    /// Returns the samples of a range selector or a subquery; `None` if the expression is of another type.
    pub(crate) async fn range_samples<'b>(
        &'b self,
        expr: &'b Expr,
        steps: Steps,
    ) -> Result<Option<RangeSamples<'b>>, PromqlError> {
        match unwrapped(expr) {
            Expr::MatrixSelector(selector) => {
                let times = self.selector_times(&selector.vs, steps);
                let range_ms = milliseconds(selector.range);
                let samples = self.select(&selector.vs, times, range_ms).await?;
                Ok(Some(RangeSamples { samples: Box::new(samples), times, range_ms }))
            }
            Expr::Subquery(subquery) => self.subquery_samples(subquery, steps).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn subquery_samples<'b>(
        &'b self,
        subquery: &'b SubqueryExpr,
        steps: Steps,
    ) -> Result<RangeSamples<'b>, PromqlError> {
        let range_ms = milliseconds(subquery.range);
        let times = SelectorTimes {
            steps,
            offset_ms: offset_ms(subquery.offset.as_ref()),
            at_ms: at_ms(subquery.at.as_ref(), self.bounds),
        };
        let step_ms = subquery.step.map_or(self.subquery_step_ms, milliseconds);
        let outer = times.at_ms.map_or(steps, Steps::one);
        let inner = outer.of_subquery(range_ms, times.offset_ms, step_ms);
        let budget = self.reserve_steps(&subquery.expr, inner.count)?;
        Ok(RangeSamples {
            samples: Box::new(SubquerySamples {
                series: self.series(&subquery.expr, inner).await?,
                steps: inner,
                _budget: budget,
            }),
            times,
            range_ms,
        })
    }
}
