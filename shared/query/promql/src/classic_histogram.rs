//! Quantiles and fractions of classic histograms, whose buckets are series with the label `le`.

use crate::annotations::Annotations;

/// The relative difference up to which counts of buckets are equal.
const COUNT_TOLERANCE: f64 = 1e-12;

/// The smallest number that has the full precision.
const MIN_NORMAL: f64 = f64::MIN_POSITIVE;

/// A bucket: the upper bound and the number of observations up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Sorts buckets, and merges those with the same bound. `None` if none of them has no bound.
fn sorted(buckets: &[ClassicBucket]) -> Option<Vec<ClassicBucket>> {
    let mut sorted = buckets.to_vec();
    sorted.sort_by(|one, other| one.upper.total_cmp(&other.upper));
    if sorted.last()?.upper != f64::INFINITY {
        return None;
    }
    let mut merged: Vec<ClassicBucket> = Vec::with_capacity(sorted.len());
    for bucket in sorted {
        match merged.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    Some(merged)
}

/// Returns whether two counts differ by rounding only.
fn almost_equal(one: f64, other: f64) -> bool {
    if one.is_nan() && other.is_nan() || one == other {
        return true;
    }
    let sum = one.abs() + other.abs();
    let difference = (one - other).abs();
    if one == 0.0 || other == 0.0 || sum < MIN_NORMAL {
        return difference < COUNT_TOLERANCE * MIN_NORMAL;
    }
    difference / sum.min(f64::MAX) < COUNT_TOLERANCE
}

/// Makes the counts ascend. Returns whether one was lower than that of the bucket before by more than rounding.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> bool {
    let mut is_forced = false;
    let mut previous: Option<f64> = None;
    for bucket in buckets {
        match previous {
            Some(before) if almost_equal(before, bucket.count) => bucket.count = before,
            Some(before) if bucket.count < before => {
                bucket.count = before;
                is_forced = true;
            }
            _ => previous = Some(bucket.count),
        }
    }
    is_forced
}

/// Returns an estimate of a quantile.
pub(crate) fn bucket_quantile(
    quantile: f64,
    buckets: &[ClassicBucket],
    annotations: &Annotations,
) -> f64 {
    if quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let Some(mut buckets) = sorted(buckets) else {
        return f64::NAN;
    };
    let is_forced = make_monotonic(&mut buckets);
    let [.., highest_finite, highest] = buckets.as_slice() else {
        return f64::NAN;
    };
    if highest.count == 0.0 {
        return f64::NAN;
    }
    if is_forced {
        annotations.inform(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
        );
    }
    let rank = quantile * highest.count;
    let finite = buckets.len() - 1;
    let is_below =
        |bucket: &ClassicBucket| bucket.count < rank || bucket.count.is_nan() || rank.is_nan();
    let position = buckets.partition_point(is_below);
    let Some(bucket) = buckets.get(position).filter(|_| position < finite) else {
        return highest_finite.upper;
    };
    let previous = position.checked_sub(1).and_then(|before| buckets.get(before));
    let (start, count_before) = match previous {
        Some(previous) => (previous.upper, previous.count),
        None if bucket.upper <= 0.0 => return bucket.upper,
        None => (0.0, 0.0),
    };
    start + (bucket.upper - start) * ((rank - count_before) / (bucket.count - count_before))
}

/// Returns an estimate of the number of observations up to a value, before the infinite end.
fn rank_of(value: f64, buckets: &[ClassicBucket]) -> Option<f64> {
    let has_negative = buckets.first().is_some_and(|first| first.upper <= 0.0);
    let mut lower = if has_negative { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            return Some(if lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - lower) / (bucket.upper - lower)
            });
        }
        rank = bucket.count;
        lower = bucket.upper;
    }
    None
}

/// Returns an estimate of the fraction of observations between two values.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &[ClassicBucket]) -> f64 {
    let Some(sorted) = sorted(buckets) else {
        return f64::NAN;
    };
    let count = sorted.last().map_or(0.0, |bucket| bucket.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value| rank_of(value, &sorted).filter(|rank| *rank <= count).unwrap_or(count);
    (rank(upper) - rank(lower)) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        pairs
            .iter()
            .map(|(upper, count)| ClassicBucket { upper: *upper, count: *count })
            .collect()
    }

    fn quantile(quantile: f64, pairs: &[(f64, f64)]) -> f64 {
        bucket_quantile(quantile, &buckets(pairs), &Annotations::default())
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_are_interpolated_within_a_bucket() {
        let latencies = [(2.0, 4.0), (1.0, 2.0), (INF, 5.0)];
        assert_eq!(quantile(0.2, &latencies), 0.5);
        assert_eq!(quantile(0.6, &latencies), 1.5);
        assert_eq!(quantile(0.9, &latencies), 2.0);
        assert_eq!(quantile(0.0, &latencies), 0.0);
    }

    #[test]
    fn quantiles_without_a_highest_bucket_or_observations_are_no_number() {
        assert!(quantile(0.5, &[(1.0, 2.0), (2.0, 4.0)]).is_nan());
        assert!(quantile(0.5, &[(INF, 4.0)]).is_nan());
        assert!(quantile(0.5, &[(1.0, 0.0), (INF, 0.0)]).is_nan());
        assert!(quantile(0.5, &[]).is_nan());
        assert_eq!(quantile(0.5, &[(1.0, 2.0), (2.0, 4.0), (INF, f64::NAN)]), 2.0);
        assert_eq!(quantile(-0.1, &[]), -INF);
        assert_eq!(quantile(1.1, &[]), INF);
    }

    #[test]
    fn the_lowest_bucket_has_no_start_if_its_bound_is_not_positive() {
        assert_eq!(quantile(0.1, &[(-1.0, 2.0), (1.0, 4.0), (INF, 4.0)]), -1.0);
    }

    #[test]
    fn decreasing_counts_are_raised_with_a_hint() {
        let annotations = Annotations::default();
        let decreasing = buckets(&[(1.0, 4.0), (2.0, 2.0), (INF, 8.0)]);
        assert_eq!(bucket_quantile(0.25, &decreasing, &annotations), 0.5);
        assert_eq!(annotations.into_texts().1.len(), 1);

        let annotations = Annotations::default();
        let rounded = buckets(&[(1.0, 4.0), (2.0, 4.0 - 1e-13), (INF, 8.0)]);
        bucket_quantile(0.25, &rounded, &annotations);
        assert!(annotations.into_texts().1.is_empty());
    }

    #[test]
    fn fractions_are_interpolated_within_a_bucket() {
        let latencies = buckets(&[(1.0, 2.0), (2.0, 4.0), (INF, 8.0)]);
        assert_eq!(bucket_fraction(0.5, 1.5, &latencies), 0.25);
        assert_eq!(bucket_fraction(-INF, INF, &latencies), 1.0);
        assert_eq!(bucket_fraction(2.0, INF, &latencies), 0.5);
        assert!(bucket_fraction(0.0, 1.0, &buckets(&[(1.0, 2.0)])).is_nan());
    }
}
