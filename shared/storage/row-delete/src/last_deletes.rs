//! The last delete of each time.

use std::collections::BTreeMap;

/// The end of times with the same last delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeletedUntil {
    last: i64,
    position: usize,
}

/// The position of the last delete of each time, in nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastDeletes {
    /// By the first time, without overlaps.
    ranges: BTreeMap<i64, DeletedUntil>,
}

impl LastDeletes {
    /// Adds a delete of the times from `min` to `max`, both included. Its position is above all earlier ones.
    pub(crate) fn push(&mut self, min: i64, max: i64, position: usize) {
        if let Some((_, before)) = self.ranges.range_mut(..min).next_back()
            && min <= before.last
        {
            let covered = *before;
            before.last = min.saturating_sub(1);
            self.keep_after(max, covered);
        }
        while let Some((first, covered)) = self.ranges.range(min..=max).next() {
            let (first, covered) = (*first, *covered);
            self.ranges.remove(&first);
            self.keep_after(max, covered);
        }
        let added = DeletedUntil { last: max, position };
        self.ranges.insert(min, added);
    }

    /// Adds the part of a range after `max`.
    fn keep_after(&mut self, max: i64, covered: DeletedUntil) {
        if max < covered.last {
            self.ranges.insert(max.saturating_add(1), covered);
        }
    }

    /// Returns whether a delete at `position` or after it deletes a time.
    pub(crate) fn has(&self, time: i64, position: usize) -> bool {
        let range = self.ranges.range(..=time).next_back();
        range.is_some_and(|(_, range)| time <= range.last && position <= range.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn the_last_delete_of_each_time_is_kept(
            deletes in proptest::collection::vec((-9_i64..9, 0_i64..6), 0..8),
        ) {
            let mut last = LastDeletes::default();
            for (position, (min, length)) in deletes.iter().enumerate() {
                last.push(*min, min + length, position);
            }
            for time in -12..16 {
                for from in 0..=deletes.len() {
                    let mut later = deletes.iter().skip(from);
                    let expected = later.any(|(min, length)| (*min..=min + length).contains(&time));
                    prop_assert_eq!(last.has(time, from), expected);
                }
            }
            let ranges: Vec<_> = last.ranges.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1.last < *pair[1].0));
        }
    }

    #[test]
    fn a_delete_of_all_times_covers_all_earlier_ones() {
        let mut last = LastDeletes::default();
        last.push(i64::MIN, 0, 0);
        last.push(5, i64::MAX, 1);
        last.push(i64::MIN, i64::MAX, 2);
        assert_eq!(last.ranges.len(), 1);
        assert!(last.has(i64::MIN, 2) && last.has(i64::MAX, 2) && !last.has(3, 3));
    }
}
