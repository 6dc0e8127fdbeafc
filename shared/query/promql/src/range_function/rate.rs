//! The change of a metric in a range.

use std::{borrow::Cow, sync::Arc};

use super::input::RangeInput;
use crate::{
    histogram::{CounterResetHint, FloatHistogram},
    number::{from_count, seconds},
    value::SampleValue,
};

/// How many times the average distance of samples a range may exceed its samples to be covered by them.
const EXTRAPOLATION_THRESHOLD: f64 = 1.1;

/// The value of a counter at the first sample, and its increase.
#[derive(Clone, Copy, Debug)]
struct CounterIncrease {
    first: f64,
    increase: f64,
}

/// Returns the factor that extrapolates a change between samples to the range. Where the next sample would be in the range, the
/// series is assumed to begin or end half the average distance beyond the samples; a counter not before it was 0.
fn extrapolation_factor(
    input: &RangeInput<'_>,
    times: (i64, i64),
    samples: usize,
    counter: Option<CounterIncrease>,
) -> f64 {
    let (first_ms, last_ms) = times;
    let sampled = seconds(last_ms.saturating_sub(first_ms));
    let average_distance = sampled / from_count(samples - 1);
    let threshold = average_distance * EXTRAPOLATION_THRESHOLD;
    let limited = |distance: f64| {
        if distance >= threshold {
            average_distance / 2.0
        } else {
            distance
        }
    };
    let mut to_start = limited(seconds(first_ms.saturating_sub(input.start_ms)));
    if let Some(CounterIncrease { first, increase }) = counter
        && increase > 0.0
        && first >= 0.0
    {
        let to_zero = sampled * (first / increase);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let to_end = limited(seconds(input.end_ms.saturating_sub(last_ms)));
    (sampled + to_start + to_end) / sampled
}

/// Returns the change in the whole range, in total or per second. A counter that decreases was reset.
pub(super) fn extrapolated(
    input: &RangeInput<'_>,
    is_counter: bool,
    per_second: bool,
) -> Option<SampleValue> {
    if input.is_mixed() {
        return None;
    }
    let scaled = |factor: f64| {
        if per_second {
            factor / seconds(input.end_ms.saturating_sub(input.start_ms))
        } else {
            factor
        }
    };
    if let [(first_ms, first), .., (last_ms, last)] = input.floats {
        let mut change = last - first;
        if is_counter {
            let next = input.floats.get(1..).unwrap_or_default();
            for ((_, before), (_, after)) in input.floats.iter().zip(next) {
                if after < before {
                    change += before;
                }
            }
        }
        let counter = is_counter.then_some(CounterIncrease { first: *first, increase: change });
        let samples = input.floats.len();
        let factor = extrapolation_factor(input, (*first_ms, *last_ms), samples, counter);
        return Some(SampleValue::Float(change * scaled(factor)));
    }
    let [(first_ms, first), .., (last_ms, last)] = input.histograms else {
        return None;
    };
    let mut change = histogram_change(input, first, last, is_counter)?;
    let counter =
        is_counter.then_some(CounterIncrease { first: first.count, increase: change.count });
    let samples = input.histograms.len();
    let factor = extrapolation_factor(input, (*first_ms, *last_ms), samples, counter);
    change.multiply(scaled(factor));
    Some(change.into())
}

/// Returns the lowest resolution of the histograms, beginning with `base`; `None` if some have custom buckets and others do not.
fn lowest_schema(
    input: &RangeInput<'_>,
    base: &FloatHistogram,
    last: &FloatHistogram,
    is_counter: bool,
) -> Option<i32> {
    let is_custom = base.has_custom_buckets();
    let mut schema = last.schema.min(base.schema);
    let mut is_uniform = last.has_custom_buckets() == is_custom;
    if is_counter {
        let between = input.histograms.len().saturating_sub(2);
        for (_, histogram) in input.histograms.iter().skip(1).take(between) {
            if histogram.reset_hint == CounterResetHint::Gauge {
                input.annotations.warn_no_counter(input.metric);
            }
            schema = schema.min(histogram.schema);
            is_uniform &= histogram.has_custom_buckets() == is_custom;
        }
    }
    is_uniform.then_some(schema)
}

/// Subtracts or adds histograms. `None`, with a warning, if their buckets are of different kinds.
fn combine(
    input: &RangeInput<'_>,
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    subtract: bool,
) -> Option<()> {
    let (result, operation) = if subtract {
        (sum.subtract(other), "subtraction")
    } else {
        (sum.add(other), "addition")
    };
    let Ok(combination) = result else {
        input.annotations.warn_mixed_schemas(input.metric);
        return None;
    };
    if combination.reconciled_bounds {
        input.annotations.inform_reconciled_bounds(operation);
    }
    Some(())
}

/// Returns the change between the first and the last histogram; `None`, with a warning, if they cannot be subtracted.
fn histogram_change(
    input: &RangeInput<'_>,
    first: &FloatHistogram,
    last: &FloatHistogram,
    is_counter: bool,
) -> Option<FloatHistogram> {
    let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        input.annotations.warn_no_counter(input.metric);
    }
    // The first histogram does not count if a reset follows it.
    let (_, second) = input.histograms.get(1)?;
    let base = if is_counter && second.is_reset_after(first) {
        Cow::Owned(FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        })
    } else {
        Cow::Borrowed(first)
    };
    let Some(schema) = lowest_schema(input, &base, last, is_counter) else {
        input.annotations.warn_mixed_schemas(input.metric);
        return None;
    };
    let mut change = last.with_schema(schema);
    combine(input, &mut change, &base, true)?;
    if is_counter {
        let mut previous: &FloatHistogram = &base;
        for (_, histogram) in input.histograms.iter().skip(1) {
            if histogram.is_reset_after(previous) {
                combine(input, &mut change, previous, false)?;
            }
            previous = histogram;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        input.annotations.warn_no_gauge(input.metric);
    }
    change.reset_hint = CounterResetHint::Gauge;
    change.compact();
    Some(change)
}

/// Returns the change between the last two samples, per second if they are of a counter.
pub(super) fn of_last_samples(input: &RangeInput<'_>, is_counter: bool) -> Option<SampleValue> {
    let floats = input.floats.iter().rev().take(2);
    let histograms = input.histograms.iter().rev().take(2);
    let mut samples: Vec<(i64, SampleValue)> = floats
        .map(|(time, value)| (*time, SampleValue::Float(*value)))
        .chain(histograms.map(|(time, value)| (*time, SampleValue::Histogram(Arc::clone(value)))))
        .collect();
    samples.sort_by_key(|(time, _)| *time);
    let [.., (before_ms, before), (after_ms, after)] = samples.as_slice() else {
        return None;
    };
    let interval = seconds(after_ms.saturating_sub(*before_ms));
    if interval == 0.0 {
        return None;
    }
    match (before, after) {
        (SampleValue::Float(before), SampleValue::Float(after)) => {
            let is_reset = is_counter && after < before;
            let change = if is_reset { *after } else { after - before };
            let value = if is_counter {
                change / interval
            } else {
                change
            };
            Some(SampleValue::Float(value))
        }
        (SampleValue::Histogram(before), SampleValue::Histogram(after)) => {
            last_histogram_change(input, before, after, is_counter.then_some(interval))
        }
        _ => {
            input.annotations.warn_mixed_samples(input.metric);
            None
        }
    }
}

/// Returns the change between two histograms, per second if they are of a counter with an interval.
fn last_histogram_change(
    input: &RangeInput<'_>,
    before: &FloatHistogram,
    after: &FloatHistogram,
    counter_interval: Option<f64>,
) -> Option<SampleValue> {
    let hints = [before.reset_hint, after.reset_hint];
    let mut change = after.clone();
    match counter_interval {
        Some(_) if hints.contains(&CounterResetHint::Gauge) => {
            input.annotations.warn_no_counter(input.metric);
        }
        None if hints.iter().any(|hint| *hint != CounterResetHint::Gauge) => {
            input.annotations.warn_no_gauge(input.metric);
        }
        _ => {}
    }
    if counter_interval.is_none() || !after.is_reset_after(before) {
        combine(input, &mut change, before, true)?;
    }
    change.reset_hint = CounterResetHint::Gauge;
    change.compact();
    if let Some(interval) = counter_interval {
        change.divide(interval);
    }
    Some(change.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{call, each_ten_seconds};
    use super::*;
    use crate::annotations::Annotations;

    #[test]
    fn increases_are_extrapolated_to_the_range() {
        // From 10 to 60 seconds 50; the range begins one distance before.
        let steady = each_ten_seconds(&[100.0, 110.0, 120.0, 130.0, 140.0, 150.0]);
        assert_eq!(call("increase", &steady, &[]), Some(60.0));
        assert_eq!(call("rate", &steady, &[]), Some(1.0));
        assert_eq!(call("delta", &steady, &[]), Some(60.0));
    }

    #[test]
    fn the_value_before_a_reset_is_added() {
        let reset = each_ten_seconds(&[100.0, 110.0, 5.0, 15.0, 25.0, 35.0]);
        // 10, then 5, then 30, in 50 of 60 seconds.
        assert_eq!(call("increase", &reset, &[]), Some(45.0 * 1.2));
    }

    #[test]
    fn a_counter_is_not_extrapolated_below_zero() {
        let young = each_ten_seconds(&[2.0, 12.0, 22.0, 32.0, 42.0, 52.0]);
        // It was 0 two seconds before the first sample.
        assert_eq!(call("increase", &young, &[]), Some(50.0 * 52.0 / 50.0));
        assert_eq!(call("delta", &young, &[]), Some(60.0));
    }

    #[test]
    fn a_series_that_begins_in_the_range_is_extrapolated_by_half_a_distance() {
        let late = [(40_000, 10.0), (50_000, 20.0), (60_000, 30.0)];
        assert_eq!(call("delta", &late, &[]), Some(25.0));
    }

    #[test]
    fn one_sample_has_no_rate() {
        for name in ["rate", "increase", "delta", "irate", "idelta"] {
            assert_eq!(call(name, &[(10_000, 1.0)], &[]), None);
        }
    }

    #[test]
    fn instant_rates_are_those_of_the_last_two_samples() {
        let samples = each_ten_seconds(&[0.0, 50.0, 30.0]);
        assert_eq!(call("irate", &samples, &[]), Some(3.0));
        assert_eq!(call("idelta", &samples, &[]), Some(-20.0));
        let (without_reset, _) = samples.split_at(2);
        assert_eq!(call("irate", without_reset, &[]), Some(5.0));
    }

    #[test]
    fn rates_of_histograms_are_those_of_their_buckets() {
        let histogram = |count: f64| {
            Arc::new(FloatHistogram {
                count,
                sum: count * 2.0,
                positive: vec![(1, count)],
                ..FloatHistogram::default()
            })
        };
        let samples = [10.0, 20.0, 5.0, 15.0, 25.0, 35.0].map(histogram);
        let histograms: Vec<_> = (1..).map(|position| position * 10_000).zip(samples).collect();
        let annotations = Annotations::default();
        let input = RangeInput {
            floats: &[],
            histograms: &histograms,
            at_ms: 60_000,
            start_ms: 0,
            end_ms: 60_000,
            arguments: &[],
            metric: "x",
            annotations: &annotations,
        };
        let Some(SampleValue::Histogram(increase)) = extrapolated(&input, true, false) else {
            panic!("no histogram");
        };
        // 10, then 5, then 30, in 50 of 60 seconds.
        assert_eq!(increase.count, 54.0);
        assert_eq!(increase.positive, [(1, 54.0)]);
        let Some(SampleValue::Histogram(rate)) = of_last_samples(&input, true) else {
            panic!("no histogram");
        };
        assert_eq!(rate.count, 1.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]

        #[test]
        fn increases_with_resets_are_the_sum_of_increments(
            increments in prop::collection::vec((0_u32..100, prop::bool::weighted(0.2)), 2..6),
        ) {
            let (mut value, mut increase) = (1_000.0, 0.0);
            let mut values = vec![value];
            for (increment, is_reset) in &increments {
                if *is_reset {
                    value = 0.0;
                }
                value += f64::from(*increment);
                // A counter that is above its former value after a reset hides the reset.
                let before = values.last().copied().unwrap_or_default();
                increase += if value < before { value } else { value - before };
                values.push(value);
            }
            let samples = each_ten_seconds(&values);
            let last_ms = samples.last().unwrap().0;
            let annotations = Annotations::default();
            let input = RangeInput {
                floats: &samples,
                histograms: &[],
                at_ms: last_ms,
                // The samples cover the range.
                start_ms: 10_000,
                end_ms: last_ms,
                arguments: &[],
                metric: "x",
                annotations: &annotations,
            };
            let found = extrapolated(&input, true, false).and_then(|value| value.float());
            prop_assert!((found.unwrap() - increase).abs() <= 1e-9);
        }
    }
}
