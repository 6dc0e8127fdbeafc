//! Windows of time, and sets of them.

use neap_catalog::ViewWindows;
use neap_manifest::TimeRange;
use serde::{Deserialize, Serialize};

/// Maximum number of ranges in a set. Beyond it, the smallest gaps are closed.
const MAX_RANGES: usize = 256;

/// Returns the window that contains a time.
pub(crate) fn window_of(windows: ViewWindows, time: i64) -> TimeRange {
    let (length, origin) = (i128::from(windows.length_ns.max(1)), i128::from(windows.origin_ns));
    let number = (i128::from(time) - origin).div_euclid(length);
    let first = origin + number * length;
    TimeRange { first: clamp(first), last: clamp(first + length - 1) }
}

/// Returns the smallest range of whole windows that contains a range of times.
pub(crate) fn whole_windows(windows: ViewWindows, times: TimeRange) -> TimeRange {
    TimeRange {
        first: window_of(windows, times.first).first,
        last: window_of(windows, times.last).last,
    }
}

/// Returns the number of windows in a range of whole windows, at most `u64::MAX`.
pub(crate) fn window_count(windows: ViewWindows, range: TimeRange) -> u64 {
    let span = i128::from(range.last) - i128::from(range.first) + 1;
    let length = i128::from(windows.length_ns.max(1));
    u64::try_from((span + length - 1) / length).unwrap_or(u64::MAX)
}

/// Returns the last windows of a range of whole windows, at most this number.
pub(crate) fn last_windows(windows: ViewWindows, range: TimeRange, count: u64) -> TimeRange {
    let length = i128::from(windows.length_ns.max(1));
    let last = window_of(windows, range.last);
    let before = i128::from(count.max(1) - 1).saturating_mul(length);
    // A window at the limit of times is cut, so its start is computed from its last time.
    let first = i128::from(last.first).saturating_sub(before);
    TimeRange { first: clamp(first).max(range.first), last: range.last }
}

fn clamp(time: i128) -> i64 {
    let clamped = time.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(clamped).unwrap_or_default()
}

/// A range of times in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRange(i64, i64);

/// A set of times that consists of whole windows: disjoint ranges in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowSet {
    ranges: Vec<StoredRange>,
}

impl WindowSet {
    /// Returns whether the set has no window.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the ranges, oldest first.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = TimeRange> {
        self.ranges.iter().map(|range| TimeRange { first: range.0, last: range.1 })
    }

    /// Returns the number of windows, at most `u64::MAX`.
    pub fn count(&self, windows: ViewWindows) -> u64 {
        let counts = self.ranges().map(|range| window_count(windows, range));
        counts.fold(0, u64::saturating_add)
    }

    /// Returns the range from the first to the last time.
    pub fn bounds(&self) -> Option<TimeRange> {
        Some(TimeRange { first: self.ranges.first()?.0, last: self.ranges.last()?.1 })
    }

    /// Returns whether the set has a time of a range.
    pub fn meets(&self, range: TimeRange) -> bool {
        self.ranges().any(|own| own.meets(range.first, range.last))
    }

    /// Adds the windows that have a time of a range.
    pub fn add(&mut self, windows: ViewWindows, times: TimeRange) {
        if times.first > times.last {
            return;
        }
        let TimeRange { mut first, mut last } = whole_windows(windows, times);
        self.ranges.retain(|own| {
            let touches = own.0 <= last.saturating_add(1) && first <= own.1.saturating_add(1);
            if touches {
                (first, last) = (first.min(own.0), last.max(own.1));
            }
            !touches
        });
        let place = self.ranges.partition_point(|own| own.0 < first);
        self.ranges.insert(place, StoredRange(first, last));
        self.limit_ranges(MAX_RANGES);
    }

    /// Closes the smallest gaps until the set has at most this number of ranges.
    pub(crate) fn limit_ranges(&mut self, max: usize) {
        while self.ranges.len() > max.max(1) {
            self.close_smallest_gap();
        }
    }

    /// Adds all windows of another set.
    pub fn add_all(&mut self, windows: ViewWindows, other: &Self) {
        for range in other.ranges() {
            self.add(windows, range);
        }
    }

    fn close_smallest_gap(&mut self) {
        let gaps = self.ranges.windows(2).enumerate();
        let gap = |pair: &[StoredRange]| match pair {
            [one, next] => next.0.saturating_sub(one.1),
            _ => i64::MAX,
        };
        let Some((place, _)) = gaps.min_by_key(|(_, pair)| gap(pair)) else {
            return;
        };
        let next = self.ranges.remove(place + 1);
        if let Some(one) = self.ranges.get_mut(place) {
            one.1 = next.1;
        }
    }

    /// Removes a range of whole windows.
    pub fn remove(&mut self, range: TimeRange) {
        let ranges = std::mem::take(&mut self.ranges);
        for StoredRange(first, last) in ranges {
            if last < range.first || range.last < first {
                self.ranges.push(StoredRange(first, last));
                continue;
            }
            if first < range.first {
                self.ranges.push(StoredRange(first, range.first - 1));
            }
            if range.last < last {
                self.ranges.push(StoredRange(range.last + 1, last));
            }
        }
    }

    /// Removes the windows that begin before a time.
    pub fn remove_before(&mut self, windows: ViewWindows, time: i64) {
        let cut = window_of(windows, time);
        let end = if cut.first < time {
            cut.last
        } else {
            match cut.first.checked_sub(1) {
                Some(end) => end,
                None => return,
            }
        };
        self.remove(TimeRange { first: i64::MIN, last: end });
    }

    /// Returns the newest windows, at most this number, as one range.
    pub fn newest(&self, windows: ViewWindows, count: u64) -> Option<TimeRange> {
        let newest = self.ranges().next_back()?;
        Some(last_windows(windows, newest, count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TENS: ViewWindows = ViewWindows { length_ns: 10, origin_ns: 3 };

    fn range(first: i64, last: i64) -> TimeRange {
        TimeRange { first, last }
    }

    #[test]
    fn windows_begin_at_multiples_after_the_origin() {
        assert_eq!(window_of(TENS, 3), range(3, 12));
        assert_eq!(window_of(TENS, 12), range(3, 12));
        assert_eq!(window_of(TENS, 2), range(-7, 2));
        assert_eq!(window_of(TENS, -8), range(-17, -8));
        assert_eq!(window_of(TENS, i64::MAX).last, i64::MAX);
        assert_eq!(window_of(TENS, i64::MIN).first, i64::MIN);
    }

    #[test]
    fn the_newest_windows_of_all_times_are_whole() {
        let mut all = WindowSet::default();
        all.add(TENS, TimeRange::ALL);
        assert_eq!(all.ranges().collect::<Vec<_>>(), [TimeRange::ALL]);
        let newest = all.newest(TENS, 2).unwrap();
        assert_eq!(newest.last, i64::MAX);
        assert_eq!(window_of(TENS, newest.first).first, newest.first);
        all.remove(newest);
        assert_eq!(all.bounds().unwrap().last, newest.first - 1);
        assert_eq!(all.newest(TENS, u64::MAX).unwrap().first, i64::MIN);
    }

    #[test]
    fn windows_that_begin_before_a_time_are_removed() {
        let mut set = WindowSet::default();
        set.add(TENS, range(3, 42));
        set.remove_before(TENS, 14);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [range(23, 42)]);
        set.remove_before(TENS, 33);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [range(33, 42)]);
    }

    #[test]
    fn a_set_with_many_ranges_closes_the_smallest_gaps() {
        let mut set = WindowSet::default();
        for number in 0..1_000 {
            set.add(TENS, range(number * 100, number * 100));
        }
        assert_eq!(set.ranges().count(), MAX_RANGES);
        assert!((0..1_000).all(|number| set.meets(range(number * 100, number * 100))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_set_has_the_windows_that_were_added_and_not_removed(
            changes in proptest::collection::vec((any::<bool>(), -200i64..200, 0i64..60), 1..20),
        ) {
            let mut set = WindowSet::default();
            let mut expected: BTreeSet<i64> = BTreeSet::new();
            for (is_added, first, length) in changes {
                let times = range(first, first + length);
                let whole = whole_windows(TENS, times);
                let starts = (whole.first..whole.last).step_by(10);
                if is_added {
                    set.add(TENS, times);
                    expected.extend(starts);
                } else {
                    set.remove(whole);
                    starts.for_each(|start| { expected.remove(&start); });
                }
            }
            let all: Vec<_> = set.ranges().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
            let starts = all.iter().flat_map(|range| (range.first..range.last).step_by(10));
            prop_assert_eq!(starts.collect::<BTreeSet<_>>(), expected.clone());
            prop_assert_eq!(set.count(TENS), expected.len() as u64);
        }
    }
}
