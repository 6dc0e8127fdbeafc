//! Quantiles, fractions and deviations of histograms.

use super::{FloatHistogram, HistogramBucket};
use crate::{annotations::Annotations, kahan::KahanSum};

impl HistogramBucket {
    fn contains_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }

    /// Interpolates on a linear scale.
    fn linear(&self, fraction: f64) -> f64 {
        self.lower + (self.upper - self.lower) * fraction
    }

    /// Interpolates on a logarithmic scale, on which exponential buckets have the same width.
    fn exponential(&self, fraction: f64) -> f64 {
        let lower = self.lower.abs().log2();
        let upper = self.upper.abs().log2();
        if self.lower > 0.0 {
            (lower + (upper - lower) * fraction).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - fraction)).exp2()
        }
    }

    /// Returns the fraction of an exponential bucket up to a value.
    fn exponential_fraction(&self, value: f64) -> f64 {
        let lower = self.lower.abs().log2();
        let upper = self.upper.abs().log2();
        let value_exponent = value.abs().log2();
        if value > 0.0 {
            (value_exponent - lower) / (upper - lower)
        } else {
            1.0 - (value_exponent - upper) / (lower - upper)
        }
    }
}

impl FloatHistogram {
    /// Limits a bucket around zero if the histogram has observations of one sign.
    fn limit_at_zero(&self, bucket: &mut HistogramBucket) {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// Returns the bucket that contains a rank, and the number of observations up to its end.
    fn bucket_of_rank(&self, rank: f64, ascending: bool) -> (HistogramBucket, f64) {
        let mut buckets = self.ascending_buckets();
        if !ascending {
            buckets.reverse();
        }
        let (mut reached, mut count) = (HistogramBucket::default(), 0.0);
        for bucket in buckets {
            reached = bucket;
            count += bucket.count;
            if bucket.count != 0.0 && count >= rank {
                break;
            }
        }
        (reached, count)
    }

    /// Returns an estimate of a quantile.
    pub(crate) fn quantile(&self, quantile: f64, annotations: &Annotations) -> f64 {
        if quantile < 0.0 {
            return f64::NEG_INFINITY;
        }
        if quantile > 1.0 {
            return f64::INFINITY;
        }
        if self.count == 0.0 || quantile.is_nan() {
            return f64::NAN;
        }
        // Observations that are no number are counted, but in no bucket: as if they were above all others.
        let ascending = self.sum.is_nan() || quantile < 0.5;
        let share = if ascending { quantile } else { 1.0 - quantile };
        let rank = share * self.count;
        let (mut bucket, reached) = self.bucket_of_rank(rank, ascending);
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return bucket.upper;
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return bucket.lower;
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.limit_at_zero(&mut bucket);
        }
        let count = reached.min(self.count);
        if count < rank {
            if self.sum.is_nan() {
                let text = "input to histogram_quantile has NaN observations, result is NaN";
                annotations.inform(text);
                return f64::NAN;
            }
            return bucket.upper;
        }
        let rank_in_bucket = if ascending {
            rank - (count - bucket.count)
        } else {
            count - rank
        };
        let fraction = rank_in_bucket / bucket.count;
        if self.has_custom_buckets() || bucket.contains_zero() {
            bucket.linear(fraction)
        } else {
            bucket.exponential(fraction)
        }
    }

    /// Returns an estimate of the number of observations up to a value, before the infinite end.
    fn rank_of(&self, value: f64) -> Option<f64> {
        let mut rank = 0.0;
        for mut bucket in self.ascending_buckets() {
            let is_linear = self.has_custom_buckets() || bucket.contains_zero();
            if bucket.contains_zero() {
                self.limit_at_zero(&mut bucket);
            }
            if bucket.lower >= value {
                return Some(rank);
            }
            if bucket.upper > value {
                return Some(if !is_linear {
                    rank + bucket.count * bucket.exponential_fraction(value)
                } else if bucket.lower == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    let width = bucket.upper - bucket.lower;
                    rank + bucket.count * (value - bucket.lower) / width
                });
            }
            rank += bucket.count;
        }
        None
    }

    /// Returns an estimate of the fraction of observations between two values.
    pub(crate) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        // Observations that are no number are in no bucket.
        let count = if self.sum.is_nan() {
            self.ascending_buckets().iter().map(|bucket| bucket.count).sum::<f64>()
        } else {
            self.count
        };
        let rank = |value| self.rank_of(value).filter(|rank| *rank <= count).unwrap_or(count);
        (rank(upper) - rank(lower)) / self.count
    }

    /// Returns an estimate of the variance, with all observations of a bucket in its middle.
    pub(crate) fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let squares = self.buckets().into_iter().map(|bucket| {
            let middle = if self.has_custom_buckets() {
                f64::midpoint(bucket.upper, bucket.lower)
            } else if bucket.contains_zero() {
                0.0
            } else {
                let root = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -root } else { root }
            };
            bucket.count * (middle - mean) * (middle - mean)
        });
        squares.collect::<KahanSum>().total() / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile(histogram: &FloatHistogram, quantile: f64) -> f64 {
        histogram.quantile(quantile, &Annotations::default())
    }

    /// Two observations from 1 to 2, and two from 2 to 4.
    fn exponential() -> FloatHistogram {
        FloatHistogram {
            count: 4.0,
            sum: 8.0,
            positive: vec![(1, 2.0), (2, 2.0)],
            ..FloatHistogram::default()
        }
    }

    fn custom() -> FloatHistogram {
        FloatHistogram {
            schema: -53,
            count: 4.0,
            sum: 8.0,
            positive: vec![(0, 1.0), (1, 2.0), (2, 1.0)],
            custom_values: vec![2.0, 4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn quantiles_of_exponential_buckets_are_interpolated_on_a_logarithmic_scale() {
        let histogram = exponential();
        assert!((quantile(&histogram, 0.25) - std::f64::consts::SQRT_2).abs() < 1e-12);
        assert!((quantile(&histogram, 0.75) - 8.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(quantile(&histogram, 1.0), 4.0);
        assert_eq!(quantile(&histogram, -1.0), f64::NEG_INFINITY);
        assert_eq!(quantile(&histogram, 2.0), f64::INFINITY);
        assert!(quantile(&FloatHistogram::default(), 0.5).is_nan());
    }

    #[test]
    fn quantiles_of_negative_buckets_are_mirrored() {
        let mut histogram = exponential();
        histogram.negative = std::mem::take(&mut histogram.positive);
        assert!((quantile(&histogram, 0.25) + 8.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn quantiles_of_custom_buckets_and_the_zero_bucket_are_interpolated_linearly() {
        assert_eq!(quantile(&custom(), 0.125), 1.0);
        assert_eq!(quantile(&custom(), 0.5), 3.0);
        assert_eq!(quantile(&custom(), 1.0), 4.0);
        let zero = FloatHistogram {
            zero_threshold: 0.5,
            zero_count: 2.0,
            positive: vec![(1, 2.0)],
            count: 4.0,
            ..FloatHistogram::default()
        };
        assert_eq!(quantile(&zero, 0.25), 0.25);
    }

    #[test]
    fn fractions_are_the_inverse_of_quantiles() {
        let histogram = exponential();
        for fraction in [0.1, 0.25, 0.6, 0.9] {
            let value = quantile(&histogram, fraction);
            let found = histogram.fraction(f64::NEG_INFINITY, value);
            assert!((found - fraction).abs() < 1e-12, "{fraction}: {found}");
        }
        assert_eq!(histogram.fraction(1.0, f64::INFINITY), 1.0);
        assert_eq!(histogram.fraction(2.0, 1.0), 0.0);
        assert_eq!(custom().fraction(1.0, 3.0), 0.375);
    }

    #[test]
    fn the_variance_is_that_of_the_middles_of_buckets() {
        // The mean is 2. The middles are √2 and √8.
        let expected =
            f64::midpoint((std::f64::consts::SQRT_2 - 2.0).powi(2), (8.0_f64.sqrt() - 2.0).powi(2));
        assert!((exponential().variance() - expected).abs() < 1e-12);
    }
}
