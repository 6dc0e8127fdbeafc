//! The conditions that a native histogram meets, as Prometheus checks them on ingestion (`Histogram.Validate` and
//! `FloatHistogram.Validate` of its `model/histogram`).

use thiserror::Error;

use crate::messages::{BucketSpan, Histogram, HistogramCount, HistogramZeroCount};

/// Smallest schema of exponential buckets.
const MIN_EXPONENTIAL_SCHEMA: i32 = -4;

/// Largest schema of exponential buckets.
const MAX_EXPONENTIAL_SCHEMA: i32 = 8;

/// The schema of buckets with bounds of their own.
const CUSTOM_SCHEMA: i32 = -53;

/// Reasons why a histogram contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum HistogramDefect {
    /// The schema is unknown.
    #[error("the schema {0} of a histogram is neither -53 nor from -4 to 8")]
    Schema(i32),
    /// The spans have another number of buckets than there are counts.
    #[error("the spans of a histogram have {spans} buckets, but it has {buckets}")]
    Spans {
        /// The number of buckets of the spans.
        spans: u64,
        /// The number of counts.
        buckets: usize,
    },
    /// A span after the first begins before the end of the span before it.
    #[error("a span of a histogram has the negative offset {0}")]
    SpanOffset(i32),
    /// A count is below zero.
    #[error("a histogram has a negative count")]
    NegativeCount,
    /// The buckets have another number of observations than the histogram.
    #[error("a histogram has {count} observations, but its buckets have {buckets}")]
    Count {
        /// The number of observations.
        count: u64,
        /// The sum of the counts of the buckets.
        buckets: u64,
    },
    /// Buckets with bounds of their own have a part that only exponential buckets have, or bounds that do not rise, or a
    /// number of bounds that does not fit.
    #[error("the custom buckets of a histogram are invalid")]
    CustomBuckets,
}

impl Histogram {
    /// Checks that the counts, the spans and the schema fit together.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), HistogramDefect> {
        match self.schema {
            CUSTOM_SCHEMA => self.check_custom_buckets()?,
            MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA if self.custom_values.is_empty() => {}
            MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA => {
                return Err(HistogramDefect::CustomBuckets);
            }
            schema => return Err(HistogramDefect::Schema(schema)),
        }
        match self.count {
            Some(HistogramCount::Float(count)) => self.check_floats(count),
            Some(HistogramCount::Integer(count)) => self.check_integers(count),
            None => self.check_integers(0),
        }
    }

    fn check_integers(&self, count: u64) -> Result<(), HistogramDefect> {
        check_spans(&self.negative_spans, self.negative_deltas.len())?;
        check_spans(&self.positive_spans, self.positive_deltas.len())?;
        let zero = match self.zero_count {
            Some(HistogramZeroCount::Integer(zero)) => zero,
            Some(HistogramZeroCount::Float(_)) | None => 0,
        };
        let negative = sum_of_deltas(&self.negative_deltas)?;
        let positive = sum_of_deltas(&self.positive_deltas)?;
        let buckets = zero.saturating_add(negative).saturating_add(positive);
        // Observations that are not numbers are in no bucket, and make the sum NaN.
        let fits = if self.sum.is_nan() {
            buckets <= count
        } else {
            buckets == count
        };
        if fits {
            Ok(())
        } else {
            Err(HistogramDefect::Count { count, buckets })
        }
    }

    /// Does not compare the count with the buckets, because sums of floats are inexact.
    fn check_floats(&self, count: f64) -> Result<(), HistogramDefect> {
        check_spans(&self.negative_spans, self.negative_counts.len())?;
        check_spans(&self.positive_spans, self.positive_counts.len())?;
        let zero = match self.zero_count {
            Some(HistogramZeroCount::Float(zero)) => zero,
            Some(HistogramZeroCount::Integer(_)) | None => 0.0,
        };
        let buckets = self.negative_counts.iter().chain(&self.positive_counts);
        if buckets.chain(&[count, zero]).any(|count| *count < 0.0) {
            return Err(HistogramDefect::NegativeCount);
        }
        Ok(())
    }

    fn check_custom_buckets(&self) -> Result<(), HistogramDefect> {
        // The first bucket has the first bound, so the first offset can't be negative either.
        if let Some(span) = self.positive_spans.iter().find(|span| span.offset < 0) {
            return Err(HistogramDefect::SpanOffset(span.offset));
        }
        let zero = match self.zero_count {
            Some(HistogramZeroCount::Integer(zero)) => zero == 0,
            Some(HistogramZeroCount::Float(zero)) => zero == 0.0,
            None => true,
        };
        let has_no_negative = self.negative_spans.is_empty()
            && self.negative_deltas.is_empty()
            && self.negative_counts.is_empty();
        let bounds = &self.custom_values;
        let is_rising = bounds.iter().zip(bounds.iter().skip(1)).all(|(a, b)| a < b);
        let is_finite = bounds.iter().all(|bound| bound.is_finite());
        let width: i64 = self
            .positive_spans
            .iter()
            .map(|span| i64::from(span.offset) + i64::from(span.length))
            .sum();
        // The last bucket ends at +Inf, which is not listed.
        let has_bounds = width <= i64::try_from(bounds.len()).unwrap_or(i64::MAX) + 1;
        if zero
            && self.zero_threshold == 0.0
            && has_no_negative
            && is_rising
            && is_finite
            && has_bounds
        {
            Ok(())
        } else {
            Err(HistogramDefect::CustomBuckets)
        }
    }
}

fn check_spans(spans: &[BucketSpan], buckets: usize) -> Result<(), HistogramDefect> {
    if let Some(span) = spans.iter().skip(1).find(|span| span.offset < 0) {
        return Err(HistogramDefect::SpanOffset(span.offset));
    }
    let spans: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if usize::try_from(spans).is_ok_and(|spans| spans == buckets) {
        Ok(())
    } else {
        Err(HistogramDefect::Spans { spans, buckets })
    }
}

/// Returns the sum of the counts of buckets that are given as differences.
fn sum_of_deltas(deltas: &[i64]) -> Result<u64, HistogramDefect> {
    let (mut count, mut sum) = (0_i64, 0_u64);
    for delta in deltas {
        count = count.saturating_add(*delta);
        let of_bucket = u64::try_from(count).map_err(|_| HistogramDefect::NegativeCount)?;
        sum = sum.saturating_add(of_bucket);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STALE_BITS;

    fn spans(lengths: &[(i32, u32)]) -> Vec<BucketSpan> {
        lengths
            .iter()
            .map(|(offset, length)| BucketSpan { offset: *offset, length: *length })
            .collect()
    }

    /// A histogram with 1 observation at zero, 1 + 3 below it, and 2 above it.
    fn integers() -> Histogram {
        Histogram {
            count: Some(HistogramCount::Integer(7)),
            zero_count: Some(HistogramZeroCount::Integer(1)),
            negative_spans: spans(&[(0, 2)]),
            negative_deltas: vec![1, 2],
            positive_spans: spans(&[(-3, 1)]),
            positive_deltas: vec![2],
            ..Histogram::default()
        }
    }

    #[test]
    fn a_histogram_whose_count_is_that_of_its_buckets_is_valid() {
        assert_eq!(integers().validate(), Ok(()));
        assert_eq!(Histogram::default().validate(), Ok(()));
        let stale = Histogram { sum: f64::from_bits(STALE_BITS), ..Histogram::default() };
        assert_eq!(stale.validate(), Ok(()));
        let not_numbers = Histogram {
            count: Some(HistogramCount::Integer(8)),
            sum: f64::NAN,
            ..integers()
        };
        assert_eq!(not_numbers.validate(), Ok(()));
    }

    #[test]
    fn a_count_that_contradicts_the_buckets_is_refused() {
        for (count, sum) in [(6, 1.0), (8, 1.0), (6, f64::NAN)] {
            let histogram = Histogram {
                count: Some(HistogramCount::Integer(count)),
                sum,
                ..integers()
            };
            let defect = HistogramDefect::Count { count, buckets: 7 };
            assert_eq!(histogram.validate(), Err(defect));
        }
    }

    #[test]
    fn spans_buckets_and_schema_must_fit_together() {
        let mut too_few = integers();
        too_few.positive_deltas.clear();
        let defect = HistogramDefect::Spans { spans: 1, buckets: 0 };
        assert_eq!(too_few.validate(), Err(defect));
        let mut overlapping = integers();
        overlapping.negative_spans = spans(&[(0, 1), (-1, 1)]);
        let defect = HistogramDefect::SpanOffset(-1);
        assert_eq!(overlapping.validate(), Err(defect));
        let mut negative = integers();
        negative.negative_deltas = vec![1, -2];
        assert_eq!(negative.validate(), Err(HistogramDefect::NegativeCount));
        let unknown = Histogram { schema: 9, ..integers() };
        assert_eq!(unknown.validate(), Err(HistogramDefect::Schema(9)));
    }

    #[test]
    fn counts_of_floats_are_not_negative() {
        let floats = |count, bucket| Histogram {
            count: Some(HistogramCount::Float(count)),
            positive_spans: spans(&[(0, 1)]),
            positive_counts: vec![bucket],
            ..Histogram::default()
        };
        assert_eq!(floats(0.5, 0.6).validate(), Ok(()));
        let negative = Err(HistogramDefect::NegativeCount);
        assert_eq!(floats(0.5, -0.1).validate(), negative);
        assert_eq!(floats(-0.5, 0.1).validate(), negative);
    }

    #[test]
    fn custom_buckets_have_rising_bounds_and_nothing_below_zero() {
        let custom = |bounds: &[f64]| Histogram {
            schema: CUSTOM_SCHEMA,
            count: Some(HistogramCount::Integer(2)),
            positive_spans: spans(&[(0, 2)]),
            positive_deltas: vec![1, 0],
            custom_values: bounds.to_vec(),
            ..Histogram::default()
        };
        assert_eq!(custom(&[1.0]).validate(), Ok(()));
        assert_eq!(custom(&[1.0, 2.0]).validate(), Ok(()));
        let invalid = Err(HistogramDefect::CustomBuckets);
        assert_eq!(custom(&[]).validate(), invalid);
        assert_eq!(custom(&[2.0, 1.0]).validate(), invalid);
        let before_first = Histogram { positive_spans: spans(&[(-1000, 2)]), ..custom(&[1.0]) };
        let defect = HistogramDefect::SpanOffset(-1000);
        assert_eq!(before_first.validate(), Err(defect));
        let exponential = Histogram { schema: 0, ..custom(&[1.0]) };
        assert_eq!(exponential.validate(), invalid);
    }
}
