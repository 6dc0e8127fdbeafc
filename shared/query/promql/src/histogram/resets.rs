//! Resets of the counters of a histogram.

use super::{CounterResetHint, FloatHistogram, arithmetic::common_bounds};

/// Returns whether a bucket has fewer observations than before.
fn decreased(current: &[(i32, f64)], previous: &[(i32, f64)]) -> bool {
    previous.iter().any(|(index, before)| {
        let position = current.binary_search_by_key(index, |(index, _)| *index);
        let bucket = position.ok().and_then(|position| current.get(position));
        bucket.map_or(0.0, |(_, count)| *count) < *before
    })
}

impl FloatHistogram {
    /// Returns whether the counters were reset after the previous histogram: the client says so, or a count is lower than
    /// before.
    pub(crate) fn is_reset_after(&self, previous: &Self) -> bool {
        match self.reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !previous.has_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                let bounds = common_bounds(&self.custom_values, &previous.custom_values);
                return decreased(
                    &self.buckets_of_bounds(&bounds),
                    &previous.buckets_of_bounds(&bounds),
                );
            }
        }
        // A higher resolution and a lower threshold need a reset.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.zero_bucket_of_threshold(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let of_schema = |histogram: &Self, buckets: &[(i32, f64)]| {
            histogram.buckets_of_schema(buckets, self.schema, self.zero_threshold)
        };
        let pairs = [(&self.positive, &previous.positive), (&self.negative, &previous.negative)];
        pairs.into_iter().any(|(current, before)| {
            decreased(&of_schema(self, current), &of_schema(previous, before))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(schema: i32, positive: &[(i32, f64)]) -> FloatHistogram {
        FloatHistogram {
            schema,
            count: positive.iter().map(|(_, count)| count).sum(),
            positive: positive.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn lower_counts_are_a_reset() {
        let before = histogram(0, &[(1, 2.0), (2, 1.0)]);
        assert!(histogram(0, &[(1, 1.0), (2, 1.0)]).is_reset_after(&before));
        // More observations, but fewer in one bucket.
        assert!(histogram(0, &[(1, 1.0), (2, 9.0)]).is_reset_after(&before));
        assert!(histogram(0, &[(1, 9.0)]).is_reset_after(&before));
        assert!(!histogram(0, &[(1, 2.0), (2, 1.0), (3, 1.0)]).is_reset_after(&before));
    }

    #[test]
    fn a_lower_resolution_is_no_reset() {
        let before = histogram(1, &[(1, 1.0), (2, 2.0)]);
        assert!(!histogram(0, &[(1, 3.0)]).is_reset_after(&before));
        assert!(histogram(1, &[(1, 3.0)]).is_reset_after(&histogram(0, &[(1, 3.0)])));
    }

    #[test]
    fn the_hint_of_the_client_counts() {
        let before = histogram(0, &[(1, 2.0)]);
        let mut current = histogram(0, &[(1, 1.0)]);
        current.reset_hint = CounterResetHint::NotReset;
        assert!(!current.is_reset_after(&before));
        current.reset_hint = CounterResetHint::Reset;
        assert!(current.is_reset_after(&current));
    }
}
