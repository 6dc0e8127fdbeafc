//! The last delete of each time.

/// Times with the same last delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeletedTimes {
    first: i64,
    last: i64,
    position: usize,
}

/// The position of the last delete of each time, in nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastDeletes {
    /// In the order of the times, without overlaps.
    ranges: Vec<DeletedTimes>,
}

impl LastDeletes {
    /// Adds a delete of the times from `min` to `max`, both included. Its position is above all earlier ones.
    pub(crate) fn push(&mut self, min: i64, max: i64, position: usize) {
        let start = self.ranges.partition_point(|range| range.last < min);
        let end = self.ranges.partition_point(|range| range.first <= max);
        let covered = self.ranges.get(start..end).unwrap_or_default();
        let before = covered.first().filter(|range| range.first < min);
        let before = before.map(|range| DeletedTimes {
            last: min.saturating_sub(1),
            ..*range
        });
        let after = covered.last().filter(|range| range.last > max);
        let after = after.map(|range| DeletedTimes {
            first: max.saturating_add(1),
            ..*range
        });
        let added = DeletedTimes {
            first: min,
            last: max,
            position,
        };
        let ranges = before.into_iter().chain([added]).chain(after);
        self.ranges.splice(start..end, ranges.collect::<Vec<_>>());
    }

    /// Returns whether a delete at `position` or after it deletes a time.
    pub(crate) fn has(&self, time: i64, position: usize) -> bool {
        let at = self.ranges.partition_point(|range| range.last < time);
        let range = self.ranges.get(at).filter(|range| range.first <= time);
        range.is_some_and(|range| position <= range.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
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
            prop_assert!(last.ranges.windows(2).all(|pair| pair[0].last < pair[1].first));
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
