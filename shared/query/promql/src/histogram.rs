//! Native histograms with float counts.

mod arithmetic;
mod quantile;
mod resets;

use std::fmt;

use crate::number::format_float;

pub(crate) use arithmetic::{Combination, MixedSchemas};

/// The schema of histograms with custom buckets.
const CUSTOM_SCHEMA: i32 = -53;

/// The exponent of 2 that is the first one without a finite power.
const INFINITE_EXPONENT: i32 = 1_024;

/// The indexes and counts of buckets, ascending by index.
type Buckets = Vec<(i32, f64)>;

/// The knowledge of the client about a reset of the counters before a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    /// Unknown: found by a comparison of the buckets.
    #[default]
    Unknown,
    /// The counters were reset.
    Reset,
    /// The counters were not reset.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// A native histogram. Its counts are absolute and not cumulative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// Knowledge about a reset.
    pub reset_hint: CounterResetHint,
    /// The resolution: -4 to 8 for exponential buckets, -53 for buckets with `custom_values` as bounds.
    pub schema: i32,
    /// The absolute value that bounds the zero bucket.
    pub zero_threshold: f64,
    /// The observations in the zero bucket.
    pub zero_count: f64,
    /// The number of observations.
    pub count: f64,
    /// The sum of observations.
    pub sum: f64,
    /// The indexes and counts of buckets of positive observations, ascending; see [`bucket_counts`].
    pub positive: Vec<(i32, f64)>,
    /// The indexes and counts of buckets of negative observations, ascending by their absolute value.
    pub negative: Vec<(i32, f64)>,
    /// The upper bounds of custom buckets, ascending, without the infinite one.
    pub custom_values: Vec<f64>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HistogramBucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the bucket contains its lower bound.
    pub lower_inclusive: bool,
    /// Whether the bucket contains its upper bound.
    pub upper_inclusive: bool,
    /// The number of observations.
    pub count: f64,
}

/// Returns the upper bound of an exponential bucket of positive observations.
fn exponential_bound(index: i32, schema: i32) -> f64 {
    // Schemas are -4 to 8. Others do not overflow.
    let (exponent, fraction) = if schema <= 0 {
        (index.saturating_mul(1 << schema.unsigned_abs().min(30)), 0.0)
    } else {
        let per_power = 1_i32 << schema.min(30);
        let part = index.rem_euclid(per_power);
        (index.div_euclid(per_power), f64::from(part) / f64::from(per_power))
    };
    if exponent == INFINITE_EXPONENT && fraction == 0.0 {
        // The highest finite number is in a bucket with a finite bound.
        return f64::MAX;
    }
    f64::exp2(fraction) * f64::exp2(f64::from(exponent))
}

impl FloatHistogram {
    /// Returns the buckets that are not empty in ascending order, with the zero bucket.
    pub fn buckets(&self) -> Vec<HistogramBucket> {
        let mut buckets = self.ascending_buckets();
        buckets.retain(|bucket| bucket.count != 0.0);
        buckets
    }

    /// Returns whether the bounds of the buckets are listed.
    pub(crate) fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// Returns the upper bound of a bucket of positive observations.
    fn bound(&self, index: i32) -> f64 {
        if !self.has_custom_buckets() {
            return exponential_bound(index, self.schema);
        }
        match usize::try_from(index) {
            Ok(index) => self.custom_values.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }

    /// Returns the bounds of a bucket of positive observations, which are the negated bounds of one of negative observations.
    fn bounds(&self, index: i32) -> (f64, f64) {
        (self.bound(index.saturating_sub(1)), self.bound(index))
    }

    fn negative_bucket(&self, index: i32, count: f64) -> HistogramBucket {
        let (inner, outer) = self.bounds(index);
        HistogramBucket {
            lower: -outer,
            upper: (-inner).min(-self.zero_threshold),
            lower_inclusive: true,
            upper_inclusive: false,
            count,
        }
    }

    fn positive_bucket(&self, index: i32, count: f64) -> HistogramBucket {
        let (lower, upper) = self.bounds(index);
        let is_custom = self.has_custom_buckets();
        HistogramBucket {
            lower: if is_custom {
                lower
            } else {
                lower.max(self.zero_threshold)
            },
            upper,
            lower_inclusive: is_custom && index == 0,
            upper_inclusive: true,
            count,
        }
    }

    /// Returns all buckets, with the zero bucket if it is not empty.
    fn ascending_buckets(&self) -> Vec<HistogramBucket> {
        let negative = self.negative.iter().rev();
        let mut buckets: Vec<_> =
            negative.map(|(index, count)| self.negative_bucket(*index, *count)).collect();
        if self.zero_count > 0.0 {
            buckets.push(HistogramBucket {
                lower: -self.zero_threshold,
                upper: self.zero_threshold,
                lower_inclusive: true,
                upper_inclusive: true,
                count: self.zero_count,
            });
        }
        let positive = self.positive.iter();
        buckets.extend(positive.map(|(index, count)| self.positive_bucket(*index, *count)));
        buckets
    }

    /// Returns the bytes that the histogram takes in memory.
    pub(crate) fn memory_size(&self) -> usize {
        size_of::<Self>()
            + (self.positive.capacity() + self.negative.capacity()) * size_of::<(i32, f64)>()
            + self.custom_values.capacity() * size_of::<f64>()
    }
}

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_float(self.count), format_float(self.sum))?;
        for bucket in self.buckets() {
            let start = if bucket.lower_inclusive { '[' } else { '(' };
            let end = if bucket.upper_inclusive { ']' } else { ')' };
            let [lower, upper, count] =
                [bucket.lower, bucket.upper, bucket.count].map(format_float);
            write!(f, ", {start}{lower},{upper}{end}:{count}")?;
        }
        f.write_str("}")
    }
}

/// Returns the indexes and counts of the buckets of spans. A span has an offset, which is the number of empty buckets since the
/// previous span or the index of the first bucket, and a number of buckets. `None` if there are not as many counts as buckets.
pub fn bucket_counts(
    spans: impl IntoIterator<Item = (i32, u32)>,
    counts: &[f64],
) -> Option<Vec<(i32, f64)>> {
    let mut buckets = Vec::with_capacity(counts.len());
    let mut remaining = counts.iter();
    let mut next_index = 0_i32;
    for (offset, length) in spans {
        next_index = next_index.checked_add(offset)?;
        for _ in 0..length {
            buckets.push((next_index, *remaining.next()?));
            next_index = next_index.checked_add(1)?;
        }
    }
    remaining.next().is_none().then_some(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers() {
        assert_eq!(exponential_bound(0, 0), 1.0);
        assert_eq!(exponential_bound(3, 0), 8.0);
        assert_eq!(exponential_bound(-1, 0), 0.5);
        assert_eq!(exponential_bound(2, -1), 16.0);
        assert!((exponential_bound(1, 1) - std::f64::consts::SQRT_2).abs() < 1e-15);
        assert!((exponential_bound(-1, 1) - 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!(exponential_bound(1_024, 0), f64::MAX);
        assert_eq!(exponential_bound(1_025, 0), f64::INFINITY);
        assert_eq!(exponential_bound(1_024 * 8 + 1, 3), f64::INFINITY);
    }

    #[test]
    fn spans_lead_to_indexes() {
        let buckets = bucket_counts([(-1, 2), (2, 1)], &[1.0, 2.0, 3.0]);
        assert_eq!(buckets, Some(vec![(-1, 1.0), (0, 2.0), (3, 3.0)]));
        assert_eq!(bucket_counts([(0, 2)], &[1.0]), None);
        assert_eq!(bucket_counts([(0, 1)], &[1.0, 2.0]), None);
    }

    #[test]
    fn buckets_ascend_and_meet_at_the_zero_bucket() {
        let histogram = FloatHistogram {
            zero_threshold: 0.75,
            zero_count: 1.0,
            count: 6.0,
            sum: 3.0,
            positive: vec![(0, 2.0), (1, 0.0), (2, 1.0)],
            negative: vec![(1, 2.0)],
            ..FloatHistogram::default()
        };
        assert_eq!(
            histogram.to_string(),
            "{count:6, sum:3, [-2,-1):2, [-0.75,0.75]:1, (0.75,1]:2, (2,4]:1}"
        );
    }

    #[test]
    fn custom_buckets_have_infinite_ends() {
        let histogram = FloatHistogram {
            schema: CUSTOM_SCHEMA,
            count: 3.0,
            positive: vec![(0, 1.0), (2, 2.0)],
            custom_values: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        assert_eq!(histogram.to_string(), "{count:3, sum:0, [-Inf,1]:1, (2,+Inf]:2}");
    }
}
