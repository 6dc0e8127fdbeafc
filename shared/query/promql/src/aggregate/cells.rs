//! The accumulators of aggregations.

use super::cell::{Cell, CellContext};
use crate::{
    histogram::FloatHistogram,
    kahan::{KahanSum, Mean},
    quantile,
    value::SampleValue,
};

/// The sum of the histograms of a group.
#[derive(Debug, Default)]
struct HistogramSum {
    sum: Option<Box<FloatHistogram>>,
    count: f64,
    is_incompatible: bool,
}

impl HistogramSum {
    /// Adds a histogram. Returns the bytes that it takes more than before.
    fn add(&mut self, histogram: &FloatHistogram, context: CellContext<'_>) -> usize {
        self.count += 1.0;
        let Some(sum) = &mut self.sum else {
            self.sum = Some(Box::new(histogram.clone()));
            return histogram.memory_size();
        };
        if self.is_incompatible {
            return 0;
        }
        let before = sum.memory_size();
        match sum.add(histogram) {
            Ok(combination) => {
                if combination.conflicting_resets {
                    let text = "conflicting counter resets during histogram aggregation";
                    context.annotations.warn(text);
                }
                if combination.reconciled_bounds {
                    context.annotations.inform_reconciled_bounds("aggregation");
                }
            }
            Err(_) => {
                context.annotations.warn_mixed_schemas(context.metric);
                self.is_incompatible = true;
            }
        }
        sum.memory_size().saturating_sub(before)
    }

    /// Returns the sum or the mean; `None` if the histograms cannot be added.
    fn finish(self, is_mean: bool) -> Option<SampleValue> {
        let mut sum = *self.sum.filter(|_| !self.is_incompatible)?;
        if is_mean {
            sum.divide(self.count);
        }
        sum.compact();
        Some(sum.into())
    }
}

/// Returns the aggregate of the numbers or of the histograms of a group; `None`, with a warning, if it has both.
fn aggregate_of(
    floats: Option<f64>,
    histograms: Option<Box<HistogramSum>>,
    is_mean: bool,
    context: CellContext<'_>,
) -> Option<SampleValue> {
    match histograms {
        None => floats.map(SampleValue::Float),
        Some(histograms) if floats.is_none() => histograms.finish(is_mean),
        Some(_) => {
            let text = "encountered a mix of histograms and floats for aggregation";
            context.annotations.warn(text);
            None
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Sum {
    floats: Option<KahanSum>,
    histograms: Option<Box<HistogramSum>>,
}

impl Cell for Sum {
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize {
        match value {
            SampleValue::Float(value) => {
                match &mut self.floats {
                    Some(sum) => sum.add(value),
                    None => self.floats = Some(KahanSum::new(value)),
                }
                0
            }
            SampleValue::Histogram(histogram) => {
                self.histograms.get_or_insert_default().add(&histogram, context)
            }
        }
    }

    fn finish(self, _: f64, context: CellContext<'_>) -> Option<SampleValue> {
        let sum = self.floats.map(KahanSum::total);
        aggregate_of(sum, self.histograms, false, context)
    }
}

#[derive(Debug, Default)]
pub(super) struct Average {
    floats: Option<Mean>,
    histograms: Option<Box<HistogramSum>>,
}

impl Cell for Average {
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize {
        match value {
            SampleValue::Float(value) => {
                self.floats.get_or_insert_default().add(value);
                0
            }
            SampleValue::Histogram(histogram) => {
                self.histograms.get_or_insert_default().add(&histogram, context)
            }
        }
    }

    fn finish(self, _: f64, context: CellContext<'_>) -> Option<SampleValue> {
        let mean = self.floats.map(Mean::value);
        aggregate_of(mean, self.histograms, true, context)
    }
}

/// Returns the number; `None`, with a hint, if the value is a histogram.
fn number(value: &SampleValue, context: CellContext<'_>) -> Option<f64> {
    let number = value.float();
    if number.is_none() {
        context.annotations.inform_ignored_histogram(context.aggregation);
    }
    number
}

/// The least or the greatest number.
#[derive(Debug, Default)]
pub(super) struct Extreme<const IS_GREATEST: bool>(Option<f64>);

impl<const IS_GREATEST: bool> Cell for Extreme<IS_GREATEST> {
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize {
        if let Some(value) = number(&value, context) {
            let replaces = |kept: f64| {
                kept.is_nan()
                    || if IS_GREATEST {
                        value > kept
                    } else {
                        value < kept
                    }
            };
            if self.0.is_none_or(replaces) {
                self.0 = Some(value);
            }
        }
        0
    }

    fn finish(self, _: f64, _: CellContext<'_>) -> Option<SampleValue> {
        self.0.map(SampleValue::Float)
    }
}

#[derive(Debug, Default)]
pub(super) struct Count(f64);

impl Cell for Count {
    fn add(&mut self, _: SampleValue, _: CellContext<'_>) -> usize {
        self.0 += 1.0;
        0
    }

    fn finish(self, _: f64, _: CellContext<'_>) -> Option<SampleValue> {
        (self.0 > 0.0).then_some(SampleValue::Float(self.0))
    }
}

/// 1 if the group has a sample.
#[derive(Debug, Default)]
pub(super) struct Group(bool);

impl Cell for Group {
    fn add(&mut self, _: SampleValue, _: CellContext<'_>) -> usize {
        self.0 = true;
        0
    }

    fn finish(self, _: f64, _: CellContext<'_>) -> Option<SampleValue> {
        self.0.then_some(SampleValue::Float(1.0))
    }
}

/// The variance, or its root.
#[derive(Debug, Default)]
pub(super) struct Variance<const IS_ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const IS_ROOT: bool> Cell for Variance<IS_ROOT> {
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize {
        if let Some(value) = number(&value, context) {
            self.count += 1.0;
            if self.count == 1.0 {
                self.mean = value;
                self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            } else {
                let difference = value - self.mean;
                self.mean += difference / self.count;
                self.squares += difference * (value - self.mean);
            }
        }
        0
    }

    fn finish(self, _: f64, _: CellContext<'_>) -> Option<SampleValue> {
        let variance = self.squares / self.count;
        let value = if IS_ROOT { variance.sqrt() } else { variance };
        (self.count > 0.0).then_some(SampleValue::Float(value))
    }
}

#[derive(Debug, Default)]
pub(super) struct Quantile(Vec<f64>);

impl Cell for Quantile {
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize {
        let before = self.0.capacity();
        self.0.extend(number(&value, context));
        (self.0.capacity() - before) * size_of::<f64>()
    }

    fn kept_values(&self) -> usize {
        self.0.len()
    }

    fn finish(mut self, quantile: f64, _: CellContext<'_>) -> Option<SampleValue> {
        if self.0.is_empty() {
            return None;
        }
        Some(SampleValue::Float(quantile::quantile(quantile, &mut self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::Annotations;

    fn aggregate<C: Cell>(values: &[f64], parameter: f64) -> Option<f64> {
        let annotations = Annotations::default();
        let context = CellContext { annotations: &annotations, aggregation: "x", metric: "m" };
        let mut cell = C::default();
        for value in values {
            cell.add(SampleValue::Float(*value), context);
        }
        cell.finish(parameter, context).and_then(|value| value.float())
    }

    #[test]
    fn numbers_are_aggregated() {
        let values = [4.0, 1.0, 1.0, 2.0];
        assert_eq!(aggregate::<Sum>(&values, 0.0), Some(8.0));
        assert_eq!(aggregate::<Average>(&values, 0.0), Some(2.0));
        assert_eq!(aggregate::<Extreme<false>>(&values, 0.0), Some(1.0));
        assert_eq!(aggregate::<Extreme<true>>(&values, 0.0), Some(4.0));
        assert_eq!(aggregate::<Count>(&values, 0.0), Some(4.0));
        assert_eq!(aggregate::<Group>(&values, 0.0), Some(1.0));
        assert_eq!(aggregate::<Variance<false>>(&values, 0.0), Some(1.5));
        assert_eq!(aggregate::<Variance<true>>(&values, 0.0), Some(1.5_f64.sqrt()));
        assert_eq!(aggregate::<Quantile>(&values, 0.5), Some(1.5));
    }

    #[test]
    fn a_group_without_samples_has_no_value() {
        assert_eq!(aggregate::<Sum>(&[], 0.0), None);
        assert_eq!(aggregate::<Count>(&[], 0.0), None);
        assert_eq!(aggregate::<Variance<true>>(&[], 0.0), None);
        assert_eq!(aggregate::<Quantile>(&[], 0.5), None);
    }

    #[test]
    fn what_is_no_number_is_no_extreme() {
        assert_eq!(aggregate::<Extreme<true>>(&[f64::NAN, 1.0, f64::NAN], 0.0), Some(1.0));
        assert!(aggregate::<Variance<false>>(&[f64::INFINITY, 1.0], 0.0).is_some_and(f64::is_nan));
    }

    #[test]
    fn numbers_and_histograms_have_no_sum() {
        let annotations = Annotations::default();
        let context = CellContext { annotations: &annotations, aggregation: "sum", metric: "m" };
        let mut cell = Sum::default();
        cell.add(SampleValue::Float(1.0), context);
        cell.add(FloatHistogram::default().into(), context);
        assert_eq!(cell.finish(0.0, context), None);
        assert_eq!(annotations.into_texts().0.len(), 1);
    }
}
