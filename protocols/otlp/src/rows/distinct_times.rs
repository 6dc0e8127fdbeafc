//! Times of log records that would otherwise be the same row.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Moves the times of log records that have the tags and the time of another record of the request, because the later
/// one would overwrite the other. Many sources write times in seconds or milliseconds, and therefore several records of
/// the same time.
///
/// The same request gets the same times again, so that a retry changes nothing.
#[derive(Debug, Default)]
pub(super) struct DistinctTimes {
    /// For each time that is taken, a later one that may be free, by the hash of the tags.
    next_times: HashMap<(u64, i64), i64>,
}

/// The memory of a time, in bytes. Up to half of a hash map is empty.
const TIME_BYTES: usize = 2 * size_of::<((u64, i64), i64)>();

impl DistinctTimes {
    /// Returns the memory of the times, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.next_times.len() * TIME_BYTES
    }

    /// Takes the first free time from `time_ns` on for a row with these tags.
    pub(super) fn take(&mut self, tags: &[(&str, &str)], time_ns: i64) -> i64 {
        let mut hasher = DefaultHasher::new();
        tags.hash(&mut hasher);
        let tags = hasher.finish();
        let mut free = time_ns;
        while let Some(next) = self.next_times.get(&(tags, free)) {
            if *next == free {
                // There is no later time.
                return free;
            }
            free = *next;
        }
        let next = free.saturating_add(1);
        // Each time on the way points behind the free one, so that the next search is short.
        let mut passed = time_ns;
        while let Some(entry) = self.next_times.get_mut(&(tags, passed)) {
            passed = std::mem::replace(entry, next);
        }
        self.next_times.insert((tags, free), next);
        free
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_move_only_if_the_tags_are_the_same() {
        let mut times = DistinctTimes::default();
        let (a, b): (&[_], &[_]) = (&[("service.name", "a")], &[("service.name", "b")]);
        assert_eq!(times.take(a, 10), 10);
        assert_eq!(times.take(b, 10), 10);
        assert_eq!(times.take(a, 10), 11);
        assert_eq!(times.take(a, 11), 12);
        assert_eq!(times.take(a, 10), 13);
        assert_eq!(times.take(a, 20), 20);
        assert_eq!(times.take(b, 11), 11);
    }

    #[test]
    fn the_last_time_has_no_later_one() {
        let mut times = DistinctTimes::default();
        for _ in 0..3 {
            assert_eq!(times.take(&[], i64::MAX), i64::MAX);
        }
        assert_eq!(times.take(&[], i64::MAX - 1), i64::MAX - 1);
        assert_eq!(times.take(&[], i64::MAX - 1), i64::MAX);
    }

    #[test]
    fn many_equal_times_are_fast() {
        let mut times = DistinctTimes::default();
        for n in 0..100_000 {
            assert_eq!(times.take(&[], 0), n);
        }
        for n in 0..100_000 {
            assert_eq!(times.take(&[], n), 100_000 + n);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn times_are_distinct_and_not_early(
            input in proptest::collection::vec(0i64..50, 0..300),
        ) {
            let mut times = DistinctTimes::default();
            let mut taken = HashSet::new();
            for time in input {
                let free = times.take(&[], time);
                prop_assert!((time..free).all(|earlier| taken.contains(&earlier)));
                prop_assert!(taken.insert(free));
            }
        }
    }
}
