//! Aggregates of the samples in a range.

use super::input::{RangeInput, RangeResult, float};
use crate::{
    histogram::FloatHistogram,
    kahan::{KahanSum, Mean},
    number::{from_count, seconds},
    quantile,
    value::SampleValue,
};

/// Returns the sum of the histograms; `None`, with a warning, if they cannot be added.
fn histogram_sum(input: &RangeInput<'_>) -> Option<FloatHistogram> {
    let ((_, first), others) = input.histograms.split_first()?;
    let mut sum = FloatHistogram::clone(first);
    for (_, histogram) in others {
        let Ok(combination) = sum.add(histogram) else {
            input.annotations.warn_mixed_schemas(input.metric);
            return None;
        };
        if combination.conflicting_resets {
            let text = "conflicting counter resets during histogram aggregation";
            input.annotations.warn(text);
        }
        if combination.reconciled_bounds {
            input.annotations.inform_reconciled_bounds("aggregation");
        }
    }
    Some(sum)
}

pub(super) fn sum(input: &RangeInput<'_>) -> Option<SampleValue> {
    if input.is_mixed() {
        return None;
    }
    if input.floats.is_empty() {
        return histogram_sum(input).map(SampleValue::from);
    }
    let sum: KahanSum = input.values().collect();
    Some(SampleValue::Float(sum.total()))
}

/// Returns the mean.
pub(super) fn average(input: &RangeInput<'_>) -> Option<SampleValue> {
    if input.is_mixed() {
        return None;
    }
    if input.floats.is_empty() {
        let mut sum = histogram_sum(input)?;
        sum.divide(from_count(input.histograms.len()));
        return Some(sum.into());
    }
    let mean: Mean = input.values().collect();
    Some(SampleValue::Float(mean.value()))
}

/// Returns the number, or the time of the number, that replaces those before it.
pub(super) fn selected(
    input: &RangeInput<'_>,
    replaces: impl Fn(f64, f64) -> bool,
    with_time: bool,
) -> RangeResult {
    input.ignore_histograms();
    let Some(mut selected) = input.floats.first().copied() else {
        return Ok(None);
    };
    for sample in input.floats {
        if replaces(sample.1, selected.1) {
            selected = *sample;
        }
    }
    let (time, value) = selected;
    float(if with_time { seconds(time) } else { value })
}

pub(super) fn quantile(input: &RangeInput<'_>) -> RangeResult {
    if input.floats.is_empty() {
        return Ok(None);
    }
    input.ignore_histograms();
    let share = input.argument(0);
    input.annotations.warn_quantile(share);
    let mut values: Vec<f64> = input.values().collect();
    float(quantile::quantile(share, &mut values))
}

/// Returns the median of the distances from the median.
pub(super) fn median_deviation(input: &RangeInput<'_>) -> RangeResult {
    if input.floats.is_empty() {
        return Ok(None);
    }
    input.ignore_histograms();
    let mut values: Vec<f64> = input.values().collect();
    let median = quantile::quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    float(quantile::quantile(0.5, &mut values))
}

/// Returns a function of the variance of the numbers.
pub(super) fn variance(input: &RangeInput<'_>, map: impl Fn(f64) -> f64) -> RangeResult {
    if input.floats.is_empty() {
        return Ok(None);
    }
    input.ignore_histograms();
    let (mut mean, mut squares) = (KahanSum::default(), KahanSum::default());
    let mut count = 0.0;
    for value in input.values() {
        count += 1.0;
        let difference = value - mean.total();
        mean.add(difference / count);
        squares.add(difference * (value - mean.total()));
    }
    float(map(squares.total() / count))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, each_ten_seconds};

    #[test]
    fn numbers_are_aggregated() {
        let samples = each_ten_seconds(&[4.0, 1.0, 1.0, 2.0]);
        for (name, expected) in [
            ("sum_over_time", 8.0),
            ("avg_over_time", 2.0),
            ("min_over_time", 1.0),
            ("max_over_time", 4.0),
            ("count_over_time", 4.0),
            ("present_over_time", 1.0),
            ("stdvar_over_time", 1.5),
            ("stddev_over_time", 1.5_f64.sqrt()),
            // The median is 1.5, and the distances are 2.5, 0.5, 0.5 and 0.5.
            ("mad_over_time", 0.5),
            ("ts_of_min_over_time", 30.0),
            ("ts_of_max_over_time", 10.0),
        ] {
            assert_eq!(call(name, &samples, &[]), Some(expected), "{name}");
        }
        assert_eq!(call("quantile_over_time", &samples, &[0.5]), Some(1.5));
        assert_eq!(call("quantile_over_time", &samples, &[2.0]), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_no_number_is_no_least_or_greatest_value() {
        let samples = each_ten_seconds(&[f64::NAN, 1.0, f64::NAN]);
        assert_eq!(call("min_over_time", &samples, &[]), Some(1.0));
        assert_eq!(call("max_over_time", &samples, &[]), Some(1.0));
        assert!(call("sum_over_time", &samples, &[]).is_some_and(f64::is_nan));
    }
}
