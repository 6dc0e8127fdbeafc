//! Evaluates calls of functions of series.

use promql_parser::parser::Expr;

use super::{Evaluator, text_of, unexpected_type};
use crate::{
    error::{PromqlError, unsupported_function},
    expr_properties::{first_selector, unwrapped},
    histogram_estimates::{Estimate, EstimatedSeries, histogram_function},
    info_series::{EnrichedSeries, InfoRules, info_selector},
    label_functions::{LabelJoin, LabelReplacement, label_order},
    labels::Labels,
    number::{max, min, seconds},
    number_functions::{apply_to_seconds, number_function, round, time_function},
    selection::SelectedPart,
    series::{BoxStream, Series, mapped},
    steps::Steps,
    unique_series::distinct,
    value::SampleValue,
    vector_summaries::{number_order, sorted},
};

/// Returns the number of a step.
fn at(values: &[f64], step: usize) -> f64 {
    values.get(step).copied().unwrap_or(f64::NAN)
}

/// Limits a number to a range. `None` if the range is empty.
fn clamped(value: f64, least: f64, greatest: f64) -> Option<f64> {
    if greatest < least {
        return None;
    }
    Some(max(least, min(greatest, value)))
}

impl Evaluator<'_> {
    /// Maps the series of an argument, and removes the name of the metric.
    async fn map_unnamed<'b>(
        &'b self,
        argument: &'b Expr,
        steps: Steps,
        map: impl Fn(Series) -> Series + Send + 'b,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let input = self.series(argument, steps).await?;
        let results = mapped(input, move |series| Ok(map(series).without_metadata()));
        Ok(self.unique(results, argument, steps))
    }

    /// Evaluates a function of series.
    pub(super) async fn call_of_vector<'b>(
        &'b self,
        name: &'b str,
        arguments: &[&'b Expr],
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        match (name, arguments) {
            ("timestamp", [argument]) => self.timestamps(argument, steps).await,
            ("clamp", [argument, least, greatest]) => {
                let least = self.scalars(least, steps).await?;
                let greatest = self.scalars(greatest, steps).await?;
                self.clamp(argument, least, greatest, steps).await
            }
            ("clamp_min", [argument, least]) => {
                let least = self.scalars(least, steps).await?;
                self.clamp(argument, least, vec![f64::INFINITY; steps.count], steps).await
            }
            ("clamp_max", [argument, greatest]) => {
                let least = vec![f64::NEG_INFINITY; steps.count];
                let greatest = self.scalars(greatest, steps).await?;
                self.clamp(argument, least, greatest, steps).await
            }
            ("round", [argument, multiple @ ..]) => {
                let multiples = match multiple.first() {
                    Some(multiple) => self.scalars(multiple, steps).await?,
                    None => vec![1.0; steps.count],
                };
                self.map_unnamed(argument, steps, move |series| {
                    series.map_floats(|step, value| round(value, at(&multiples, step)))
                })
                .await
            }
            ("label_replace" | "label_join", [argument, texts @ ..]) => {
                self.change_labels(name, argument, texts, steps).await
            }
            ("histogram_quantile" | "histogram_fraction", [scalars @ .., argument]) => {
                self.estimate(name, scalars, argument, steps).await
            }
            (
                "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc",
                [argument, labels @ ..],
            ) => self.sort(name, argument, labels, steps).await,
            ("info", [argument, conditions @ ..]) => {
                self.info(argument, conditions.first().copied(), steps).await
            }
            (_, [argument]) => self.map_numbers(name, argument, steps).await,
            _ => Err(unsupported_function(name)),
        }
    }

    /// Adds the labels of info series.
    async fn info<'b>(
        &'b self,
        argument: &'b Expr,
        conditions: Option<&'b Expr>,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let selector = match conditions {
            Some(Expr::VectorSelector(selector)) => Some(selector),
            Some(other) => return Err(unexpected_type(other, "label selectors")),
            None => None,
        };
        let rules = InfoRules::new(selector)?;
        let of_infos = info_selector(selector, first_selector(argument));
        let times = self.newest_samples(&of_infos, steps, SelectedPart::Time).await?;
        let input = self.series(argument, steps).await?;
        let budget = self.budget.new_empty();
        let enriched = EnrichedSeries::new(input, times, rules, budget).await?;
        Ok(distinct(Box::new(enriched), self.budget.new_empty()))
    }

    /// Evaluates a function of each number, time or histogram.
    async fn map_numbers<'b>(
        &'b self,
        name: &str,
        argument: &'b Expr,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        if let Some(function) = number_function(name) {
            return self
                .map_unnamed(argument, steps, move |series| {
                    series.map_floats(|_, value| function(value))
                })
                .await;
        }
        if let Some(function) = time_function(name) {
            return self
                .map_unnamed(argument, steps, move |series| {
                    series.map_floats(|_, value| apply_to_seconds(function, value))
                })
                .await;
        }
        let Some(function) = histogram_function(name) else {
            return Err(unsupported_function(name));
        };
        self.map_unnamed(argument, steps, move |series| {
            series.map(|_, value| match value {
                SampleValue::Histogram(histogram) => Some(SampleValue::Float(function(&histogram))),
                SampleValue::Float(_) => None,
            })
        })
        .await
    }

    async fn clamp<'b>(
        &'b self,
        argument: &'b Expr,
        least: Vec<f64>,
        greatest: Vec<f64>,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        self.map_unnamed(argument, steps, move |series| {
            series.map(|step, value| {
                let limited = clamped(value.float()?, at(&least, step), at(&greatest, step));
                limited.map(SampleValue::Float)
            })
        })
        .await
    }

    /// Returns the times of the samples of a selector, or those of the steps at which another vector has samples.
    async fn timestamps<'b>(
        &'b self,
        argument: &'b Expr,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let Expr::VectorSelector(selector) = unwrapped(argument) else {
            return self
                .map_unnamed(argument, steps, move |series| {
                    series.map(|step, _| Some(SampleValue::Float(seconds(steps.time(step)))))
                })
                .await;
        };
        let times = self.newest_samples(selector, steps, SelectedPart::Time).await?;
        let unnamed = mapped(times, |series| Ok(series.without_metadata()));
        Ok(self.unique(unnamed, argument, steps))
    }

    async fn change_labels<'b>(
        &'b self,
        name: &str,
        argument: &'b Expr,
        texts: &[&Expr],
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let values = texts.iter().map(|text| text_of(text)).collect::<Result<Vec<_>, _>>()?;
        let changed = match (name, values.as_slice()) {
            ("label_replace", [target, replacement, source, pattern]) => {
                let change = LabelReplacement::new(target, replacement, source, pattern)?;
                let input = self.series(argument, steps).await?;
                relabelled(input, move |labels| change.apply(labels))
            }
            ("label_join", [target, separator, sources @ ..]) => {
                let names = sources.iter().map(|source| (*source).to_owned()).collect();
                let (target, separator) = ((*target).to_owned(), (*separator).to_owned());
                let change = LabelJoin::new(target, separator, names)?;
                let input = self.series(argument, steps).await?;
                relabelled(input, move |labels| change.apply(labels))
            }
            _ => return Err(unsupported_function(name)),
        };
        Ok(distinct(changed, self.budget.new_empty()))
    }

    async fn estimate<'b>(
        &'b self,
        name: &str,
        scalars: &[&'b Expr],
        argument: &'b Expr,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let estimate = match (name, scalars) {
            ("histogram_quantile", [quantile]) => {
                Estimate::Quantile(self.scalars(quantile, steps).await?)
            }
            ("histogram_fraction", [lower, upper]) => Estimate::Fraction {
                lower: self.scalars(lower, steps).await?,
                upper: self.scalars(upper, steps).await?,
            },
            _ => return Err(unsupported_function(name)),
        };
        let input = self.series(argument, steps).await?;
        let budget = self.budget.new_empty();
        let annotations = &self.annotations;
        let estimated = EstimatedSeries::new(estimate, input, steps.count, annotations, budget);
        Ok(self.unique(Box::new(estimated), argument, steps))
    }

    /// Sorts the series of an instant query. Those of a range query are sorted by their labels at its end.
    async fn sort<'b>(
        &'b self,
        name: &str,
        argument: &'b Expr,
        labels: &[&Expr],
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let names = labels
            .iter()
            .map(|label| text_of(label).map(str::to_owned))
            .collect::<Result<Vec<String>, _>>()?;
        let by_label = name.starts_with("sort_by_label");
        let descending = name.ends_with("_desc");
        let series = self.series(argument, steps).await?;
        let input = if by_label {
            series
        } else {
            mapped(series, |series| Ok(series.map_floats(|_, value| value)))
        };
        if steps.count > 1 {
            return Ok(input);
        }
        let compare = move |one: &Series, other: &Series| {
            if !by_label {
                return number_order(one, other, descending);
            }
            let order = label_order(&names, &one.labels, &other.labels);
            if descending { order.reverse() } else { order }
        };
        sorted(input, compare, self.budget.new_empty()).await
    }
}

/// Changes the labels of series.
fn relabelled<'a>(
    input: BoxStream<'a>,
    change: impl Fn(&Labels) -> Result<Labels, PromqlError> + Send + 'a,
) -> BoxStream<'a> {
    mapped(input, move |series| {
        Ok(Series { labels: change(&series.labels)?, values: series.values })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_limited() {
        assert_eq!(clamped(5.0, 1.0, 3.0), Some(3.0));
        assert_eq!(clamped(0.0, 1.0, 3.0), Some(1.0));
        assert_eq!(clamped(0.0, 3.0, 1.0), None);
        assert!(clamped(f64::NAN, 1.0, 3.0).is_some_and(f64::is_nan));
    }
}
