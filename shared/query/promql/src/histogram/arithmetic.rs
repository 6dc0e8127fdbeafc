//! Sums, differences and multiples of histograms.

use std::{borrow::Cow, cmp::Ordering};

use super::{Buckets, CounterResetHint, FloatHistogram};

/// The error of an operation on a histogram with exponential buckets and one with custom buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MixedSchemas;

/// How two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Combination {
    /// The bounds of custom buckets differed. The result has those that both have.
    pub(crate) reconciled_bounds: bool,
    /// One histogram follows a reset of its counters, and the other one does not.
    pub(crate) conflicting_resets: bool,
}

/// Adds the counts of buckets with the same index.
fn merged(one: &[(i32, f64)], other: impl Iterator<Item = (i32, f64)>) -> Buckets {
    let mut sums = Vec::with_capacity(one.len());
    let mut first = one.iter().copied().peekable();
    for (index, count) in other {
        while let Some(bucket) = first.next_if(|(first, _)| *first < index) {
            sums.push(bucket);
        }
        let same = first.next_if(|(first, _)| *first == index);
        sums.push((index, same.map_or(0.0, |(_, count)| count) + count));
    }
    sums.extend(first);
    sums
}

/// Moves counts to the buckets with the indexes that a function returns, which does not decrease.
fn moved(buckets: &[(i32, f64)], target: impl Fn(i32) -> i32) -> Buckets {
    let mut sums: Buckets = Vec::with_capacity(buckets.len());
    for (index, count) in buckets {
        let index = target(*index);
        match sums.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => sums.push((index, *count)),
        }
    }
    sums
}

/// Merges buckets to those of a lower resolution.
fn reduced(buckets: &[(i32, f64)], levels: i32) -> Cow<'_, [(i32, f64)]> {
    if levels <= 0 {
        return Cow::Borrowed(buckets);
    }
    let target = |index: i32| (index.saturating_sub(1) >> levels.min(31)).saturating_add(1);
    Cow::Owned(moved(buckets, target))
}

/// Returns the bounds that both lists contain, which ascend.
pub(super) fn common_bounds(one: &[f64], other: &[f64]) -> Vec<f64> {
    let is_in_other = |bound: &&f64| {
        let position = other.partition_point(|candidate| candidate < *bound);
        other.get(position) == Some(*bound)
    };
    one.iter().filter(is_in_other).copied().collect()
}

impl FloatHistogram {
    /// Returns the buckets of this sign, merged to those of a schema of lower or equal resolution, without those in the zero
    /// bucket of a threshold.
    pub(super) fn buckets_of_schema(
        &self,
        buckets: &[(i32, f64)],
        schema: i32,
        zero_threshold: f64,
    ) -> Buckets {
        let mut merged = reduced(buckets, self.schema.saturating_sub(schema)).into_owned();
        if schema != super::CUSTOM_SCHEMA {
            merged.retain(|(index, _)| super::exponential_bound(*index, schema) > zero_threshold);
        }
        merged
    }

    /// Returns the custom buckets, merged to those with a part of the bounds.
    pub(super) fn buckets_of_bounds(&self, bounds: &[f64]) -> Buckets {
        moved(&self.positive, |index| {
            let upper = self.bound(index);
            let position = bounds.partition_point(|bound| *bound < upper);
            i32::try_from(position).unwrap_or(i32::MAX)
        })
    }

    /// Returns the count of the zero bucket if it had a greater threshold, and that threshold. A threshold within a bucket that
    /// is not empty becomes the end of that bucket.
    pub(super) fn zero_bucket_of_threshold(&self, threshold: f64) -> (f64, f64) {
        if threshold.total_cmp(&self.zero_threshold) != Ordering::Greater {
            return (self.zero_count, self.zero_threshold);
        }
        let mut end = threshold;
        loop {
            let before = end;
            let mut count = self.zero_count;
            for (index, bucket_count) in self.positive.iter().chain(&self.negative) {
                let (lower, upper) = self.bounds(*index);
                if lower >= end {
                    continue;
                }
                count += bucket_count;
                if upper > end && *bucket_count != 0.0 {
                    end = upper;
                }
            }
            // A greater threshold may reach further buckets of the other sign.
            if end == before || !end.is_finite() {
                return (count, end);
            }
        }
    }

    /// Makes the zero bucket so large that it includes that of another histogram and ends at the bounds of buckets. Returns the
    /// count that the zero bucket of the other one would have.
    fn reconcile_zero_bucket(&mut self, other: &Self) -> f64 {
        let (mut other_count, mut other_threshold) = (other.zero_count, other.zero_threshold);
        loop {
            if other_threshold < self.zero_threshold {
                (other_count, other_threshold) =
                    other.zero_bucket_of_threshold(self.zero_threshold);
            }
            if self.zero_threshold < other_threshold {
                (self.zero_count, self.zero_threshold) =
                    self.zero_bucket_of_threshold(other_threshold);
                let (schema, threshold) = (self.schema, self.zero_threshold);
                self.positive = self.buckets_of_schema(&self.positive, schema, threshold);
                self.negative = self.buckets_of_schema(&self.negative, schema, threshold);
            } else {
                return other_count;
            }
        }
    }

    /// Sets the hint of a combination. Returns whether the hints contradict each other.
    fn combine_hints(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint::{Gauge, Unknown};
        match (self.reset_hint, other) {
            (one, other) if one == other => false,
            (Gauge, _) | (_, Gauge) => {
                self.reset_hint = Gauge;
                false
            }
            (Unknown, _) | (_, Unknown) => {
                self.reset_hint = Unknown;
                false
            }
            _ => {
                self.reset_hint = Unknown;
                true
            }
        }
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combination, MixedSchemas> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(MixedSchemas);
        }
        let conflicting_resets = self.combine_hints(other.reset_hint);
        let mut reconciled_bounds = false;
        let signed = |(index, count): (i32, f64)| (index, sign * count);
        if !self.has_custom_buckets() {
            let other_zero_count = self.reconcile_zero_bucket(other);
            self.zero_count += sign * other_zero_count;
            let (schema, threshold) = (self.schema.min(other.schema), self.zero_threshold);
            let sum = |histogram: &Self, one: &[(i32, f64)], two: &[(i32, f64)]| {
                let own = reduced(one, histogram.schema.saturating_sub(schema));
                let added = other.buckets_of_schema(two, schema, threshold);
                merged(&own, added.into_iter().map(signed))
            };
            self.positive = sum(self, &self.positive, &other.positive);
            self.negative = sum(self, &self.negative, &other.negative);
            self.schema = schema;
        } else if self.custom_values == other.custom_values {
            self.positive = merged(&self.positive, other.positive.iter().copied().map(signed));
        } else {
            reconciled_bounds = true;
            let bounds = common_bounds(&self.custom_values, &other.custom_values);
            let added = other.buckets_of_bounds(&bounds).into_iter();
            self.positive = merged(&self.buckets_of_bounds(&bounds), added.map(signed));
            self.custom_values = bounds;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        Ok(Combination { reconciled_bounds, conflicting_resets })
    }

    /// Adds another histogram. The result has the lower resolution of both.
    pub(crate) fn add(&mut self, other: &Self) -> Result<Combination, MixedSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts another histogram.
    pub(crate) fn subtract(&mut self, other: &Self) -> Result<Combination, MixedSchemas> {
        self.combine(other, -1.0)
    }

    fn map_counts(&mut self, map: impl Fn(f64) -> f64) {
        for number in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *number = map(*number);
        }
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = map(*count);
        }
    }

    /// Multiplies the counts and the sum.
    pub(crate) fn multiply(&mut self, factor: f64) {
        self.map_counts(|number| number * factor);
        if factor < 0.0 {
            self.reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides the counts and the sum. A division by zero removes the buckets.
    pub(crate) fn divide(&mut self, divisor: f64) {
        self.map_counts(|number| number / divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if divisor < 0.0 {
            self.reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Removes empty buckets.
    pub(crate) fn compact(&mut self) {
        self.positive.retain(|(_, count)| *count != 0.0);
        self.negative.retain(|(_, count)| *count != 0.0);
    }

    /// Returns the histogram with buckets of a lower or equal resolution.
    pub(crate) fn with_schema(&self, schema: i32) -> Self {
        let levels = self.schema.saturating_sub(schema);
        if self.has_custom_buckets() || levels <= 0 {
            return self.clone();
        }
        Self {
            reset_hint: CounterResetHint::Unknown,
            schema,
            positive: reduced(&self.positive, levels).into_owned(),
            negative: reduced(&self.negative, levels).into_owned(),
            ..self.clone()
        }
    }

    /// Returns whether two histograms have the same observations in the same buckets.
    pub(crate) fn has_equal_buckets(&self, other: &Self) -> bool {
        let populated = |buckets: &[(i32, f64)]| -> Buckets {
            buckets.iter().copied().filter(|(_, count)| *count != 0.0).collect()
        };
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && self.count == other.count
            && (self.sum == other.sum || self.sum.is_nan() && other.sum.is_nan())
            && self.custom_values == other.custom_values
            && populated(&self.positive) == populated(&other.positive)
            && populated(&self.negative) == populated(&other.negative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(schema: i32, positive: Buckets) -> FloatHistogram {
        let count = positive.iter().map(|(_, count)| count).sum();
        FloatHistogram { schema, count, positive, ..FloatHistogram::default() }
    }

    #[test]
    fn sums_have_the_lower_resolution() {
        let mut sum = exponential(1, vec![(1, 1.0), (2, 2.0), (3, 4.0)]);
        sum.add(&exponential(0, vec![(1, 8.0), (5, 16.0)])).unwrap();
        assert_eq!(sum.schema, 0);
        assert_eq!(sum.positive, [(1, 11.0), (2, 4.0), (5, 16.0)]);
        assert_eq!(sum.count, 31.0);
        sum.subtract(&exponential(1, vec![(3, 4.0)])).unwrap();
        sum.compact();
        assert_eq!(sum.positive, [(1, 11.0), (5, 16.0)]);
    }

    #[test]
    fn the_greater_zero_bucket_takes_in_buckets_of_the_other_histogram() {
        let mut sum = exponential(0, vec![(0, 3.0), (1, 5.0)]);
        sum.zero_threshold = 0.25;
        let other = FloatHistogram {
            // Within the bucket from 0.5 to 1, which is not empty.
            zero_threshold: 0.75,
            zero_count: 2.0,
            count: 2.0,
            ..FloatHistogram::default()
        };
        sum.add(&other).unwrap();
        assert_eq!(sum.zero_threshold, 1.0);
        assert_eq!(sum.zero_count, 5.0);
        assert_eq!(sum.positive, [(1, 5.0)]);
    }

    #[test]
    fn custom_buckets_with_other_bounds_are_merged_to_common_ones() {
        let custom = |bounds: &[f64], positive: Buckets| FloatHistogram {
            schema: crate::histogram::CUSTOM_SCHEMA,
            custom_values: bounds.to_vec(),
            ..exponential(0, positive)
        };
        let mut sum = custom(&[1.0, 2.0, 3.0], vec![(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]);
        let other = custom(&[2.0, 3.0, 4.0], vec![(0, 16.0), (2, 32.0)]);
        assert!(sum.add(&other).unwrap().reconciled_bounds);
        assert_eq!(sum.custom_values, [2.0, 3.0]);
        assert_eq!(sum.positive, [(0, 19.0), (1, 4.0), (2, 40.0)]);
        assert_eq!(sum.add(&exponential(0, vec![])), Err(MixedSchemas));
    }

    #[test]
    fn equality_ignores_empty_buckets() {
        let one = exponential(0, vec![(1, 1.0), (2, 0.0)]);
        assert!(one.has_equal_buckets(&exponential(0, vec![(1, 1.0)])));
        assert!(!one.has_equal_buckets(&exponential(0, vec![(2, 1.0)])));
    }
}
