//! Ranges of time, and their division into days.

use chrono::DateTime;
use serde::{Deserialize, Serialize};

/// Nanoseconds of a day.
pub(super) const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

/// Nanoseconds of the shortest range that is divided further.
const MIN_SPLIT_NANOS: i64 = 1_000_000_000;

/// The times from `first` to `last`, in nanoseconds since the Unix epoch. Both are included, so that the largest time
/// has a range, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TimeRange {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl TimeRange {
    /// All times.
    pub(crate) const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// Returns the part of the day that lies in this range. The day is given by any of its times.
    pub(super) fn day_of(self, time: i64) -> Option<Self> {
        let start = i128::from(time.div_euclid(DAY_NANOS)) * i128::from(DAY_NANOS);
        let end = start + i128::from(DAY_NANOS) - 1;
        let clamp = |time: i128| {
            let time = time.clamp(i64::MIN.into(), i64::MAX.into());
            i64::try_from(time).unwrap_or(i64::MAX)
        };
        let first = clamp(start).max(self.first);
        let last = clamp(end).min(self.last);
        (first <= last).then_some(Self { first, last })
    }

    /// Returns both halves; `None` for a range that is too short.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        let length = self.last.checked_sub(self.first).unwrap_or(i64::MAX);
        if length < MIN_SPLIT_NANOS {
            return None;
        }
        let middle = self.first.midpoint(self.last);
        let early = Self { first: self.first, last: middle };
        let late = Self { first: middle.checked_add(1)?, last: self.last };
        Some([early, late])
    }

    /// Returns the times of this range that are in none of `finished`.
    pub(super) fn without(self, finished: &[Self]) -> Vec<Self> {
        let mut finished: Vec<Self> = finished.to_vec();
        finished.sort_unstable();
        let mut left = Vec::new();
        let mut next = Some(self.first);
        for range in finished {
            let Some(first) = next.filter(|first| *first <= self.last) else {
                return left;
            };
            if range.first > first {
                let last = range.first.saturating_sub(1).min(self.last);
                left.push(Self { first, last });
            }
            if range.last >= first {
                next = range.last.checked_add(1);
            }
        }
        if let Some(first) = next.filter(|first| *first <= self.last) {
            left.push(Self { first, last: self.last });
        }
        left
    }

    /// Returns the day of the range, such as `2026-11-01`.
    pub(super) fn day(self) -> String {
        let time = DateTime::from_timestamp_nanos(self.first);
        time.format("%Y-%m-%d").to_string()
    }

    /// Returns the nanoseconds from the start of the day to the range.
    pub(super) fn offset_nanos(self) -> i64 {
        self.first.rem_euclid(DAY_NANOS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: i64, last: i64) -> TimeRange {
        TimeRange { first, last }
    }

    #[test]
    fn a_day_is_clipped_to_the_range() {
        let day = range(DAY_NANOS, 2 * DAY_NANOS - 1);
        assert_eq!(TimeRange::ALL.day_of(DAY_NANOS + 5), Some(day));
        assert_eq!(day.day(), "1970-01-02");
        assert_eq!(TimeRange::ALL.day_of(-1).unwrap().day(), "1969-12-31");
        let clipped = range(DAY_NANOS + 7, i64::MAX).day_of(DAY_NANOS);
        assert_eq!(clipped, Some(range(DAY_NANOS + 7, 2 * DAY_NANOS - 1)));
        assert_eq!(clipped.unwrap().offset_nanos(), 7);
        assert_eq!(range(0, 5).day_of(DAY_NANOS), None);
        for extreme in [i64::MIN, i64::MAX] {
            let day = TimeRange::ALL.day_of(extreme).unwrap();
            assert!(day.first <= extreme && extreme <= day.last);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn what_is_left_and_what_is_finished_cover_the_range_once(
            cuts in proptest::collection::btree_set(0_i64..1000, 2..20),
            is_finished in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let cuts: Vec<i64> = cuts.into_iter().collect();
            let whole = range(cuts[0], cuts[cuts.len() - 1]);
            let parts = cuts.windows(2).map(|pair| range(pair[0], pair[1] - 1));
            let mut finished: Vec<_> = parts
                .zip(is_finished)
                .filter_map(|(part, is_finished)| is_finished.then_some(part))
                .collect();
            finished.reverse();
            let mut all = whole.without(&finished);
            prop_assert!(all.iter().all(|left| left.first <= left.last));
            all.extend(finished);
            all.sort_unstable();
            prop_assert_eq!(all[0].first, whole.first);
            prop_assert_eq!(all[all.len() - 1].last, whole.last);
            prop_assert!(all.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
        }

        #[test]
        fn halves_cover_the_range(first: i64, length in MIN_SPLIT_NANOS..i64::MAX) {
            let whole = range(first, first.saturating_add(length));
            if let Some([early, late]) = whole.halves() {
                prop_assert_eq!((early.first, late.last), (whole.first, whole.last));
                prop_assert_eq!(early.last + 1, late.first);
                prop_assert!(early.first <= early.last && late.first <= late.last);
            }
        }
    }
}
