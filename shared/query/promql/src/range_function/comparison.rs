//! Comparisons of consecutive samples, and the ends of a range.

use std::iter;

use super::input::{RangeInput, RangeResult, float};
use crate::{histogram::FloatHistogram, number::from_count, value::SampleValue};

#[derive(Clone, Copy, Debug)]
enum SampleRef<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// Iterates over the numbers and histograms in the order of time.
fn in_order<'a>(input: &RangeInput<'a>) -> impl Iterator<Item = SampleRef<'a>> {
    let mut floats = input.floats.iter().peekable();
    let mut histograms = input.histograms.iter().peekable();
    iter::from_fn(move || {
        let is_float = match (floats.peek(), histograms.peek()) {
            (Some((float_ms, _)), Some((histogram_ms, _))) => float_ms < histogram_ms,
            (float, _) => float.is_some(),
        };
        if is_float {
            floats.next().map(|(_, value)| SampleRef::Float(*value))
        } else {
            histograms.next().map(|(_, value)| SampleRef::Histogram(value))
        }
    })
}

/// Counts the consecutive samples that satisfy a condition. A number and a histogram always do.
fn count_pairs(
    input: &RangeInput<'_>,
    of_floats: impl Fn(f64, f64) -> bool,
    of_histograms: impl Fn(&FloatHistogram, &FloatHistogram) -> bool,
) -> RangeResult {
    let pairs = in_order(input).zip(in_order(input).skip(1));
    let count = pairs.filter(|pair| match pair {
        (SampleRef::Float(before), SampleRef::Float(after)) => of_floats(*before, *after),
        (SampleRef::Histogram(before), SampleRef::Histogram(after)) => of_histograms(before, after),
        _ => true,
    });
    float(from_count(count.count()))
}

/// Returns how often a counter was reset.
pub(super) fn resets(input: &RangeInput<'_>) -> RangeResult {
    count_pairs(
        input,
        |before, after| after < before,
        |before, after| after.is_reset_after(before),
    )
}

/// Returns how often the value changed.
pub(super) fn changes(input: &RangeInput<'_>) -> RangeResult {
    count_pairs(
        input,
        |before, after| before != after && !(before.is_nan() && after.is_nan()),
        |before, after| !after.has_equal_buckets(before),
    )
}

/// Returns the time of the first sample.
pub(super) fn first_time(input: &RangeInput<'_>) -> i64 {
    let float = input.floats.first().map(|(time, _)| *time);
    let histogram = input.histograms.first().map(|(time, _)| *time);
    [float, histogram].into_iter().flatten().min().unwrap_or_default()
}

/// Returns the time of the last sample.
pub(super) fn last_time(input: &RangeInput<'_>) -> i64 {
    let float = input.floats.last().map(|(time, _)| *time);
    let histogram = input.histograms.last().map(|(time, _)| *time);
    float.max(histogram).unwrap_or_default()
}

pub(super) fn first(input: &RangeInput<'_>) -> Option<SampleValue> {
    let time = first_time(input);
    let float = input.floats.first().filter(|(first, _)| *first == time);
    let histogram = input.histograms.first().map(|(_, value)| value);
    match float {
        Some((_, value)) => Some(SampleValue::Float(*value)),
        None => histogram.cloned().map(SampleValue::Histogram),
    }
}

pub(super) fn last(input: &RangeInput<'_>) -> Option<SampleValue> {
    let time = last_time(input);
    let float = input.floats.last().filter(|(last, _)| *last == time);
    let histogram = input.histograms.last().map(|(_, value)| value);
    match float {
        Some((_, value)) => Some(SampleValue::Float(*value)),
        None => histogram.cloned().map(SampleValue::Histogram),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{call, each_ten_seconds};
    use super::*;
    use crate::annotations::Annotations;

    #[test]
    fn changes_and_resets_are_counted() {
        let samples = each_ten_seconds(&[1.0, 1.0, 3.0, 2.0, f64::NAN, f64::NAN]);
        assert_eq!(call("changes", &samples, &[]), Some(3.0));
        assert_eq!(call("resets", &samples, &[]), Some(1.0));
        assert_eq!(call("changes", &[(1, 1.0)], &[]), Some(0.0));
    }

    #[test]
    fn the_ends_of_a_range_are_returned() {
        let samples = each_ten_seconds(&[1.0, 2.0, 3.0]);
        assert_eq!(call("first_over_time", &samples, &[]), Some(1.0));
        assert_eq!(call("last_over_time", &samples, &[]), Some(3.0));
        assert_eq!(call("ts_of_first_over_time", &samples, &[]), Some(10.0));
        assert_eq!(call("ts_of_last_over_time", &samples, &[]), Some(30.0));
    }

    #[test]
    fn a_number_after_a_histogram_is_a_change_and_a_reset() {
        let annotations = Annotations::default();
        let histograms = [
            (5, Arc::new(FloatHistogram::default())),
            (15, Arc::new(FloatHistogram::default())),
        ];
        let input = RangeInput {
            floats: &[(10, 1.0), (20, 1.0)],
            histograms: &histograms,
            at_ms: 20,
            start_ms: 0,
            end_ms: 20,
            arguments: &[],
            metric: "x",
            annotations: &annotations,
        };
        assert_eq!(changes(&input).unwrap(), Some(SampleValue::Float(3.0)));
        assert_eq!(resets(&input).unwrap(), Some(SampleValue::Float(3.0)));
        assert!(matches!(first(&input), Some(SampleValue::Histogram(_))));
        assert_eq!(last(&input), Some(SampleValue::Float(1.0)));
    }
}
