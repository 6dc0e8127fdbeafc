//! Rule V5: the windows of a view that a query may read instead of its source.
//!
//! ```text
//!   snapshot of the query      manifest M ------------ tail ---->
//!   progress, read later       recorded R <= M          newest write W of the view, in the snapshot
//!
//!   a window is current, unless it  is pending or claimed at R
//!                                   has changes from R to M, or in the tail
//!                                   begins before a time up to which rows have expired
//! ```
//!
//! All rows of finished windows have stamps up to W, so the snapshot has them. If a refresh has finished after the
//! snapshot, W is later than the snapshot, or R later than M: then no window is current. If a refresh has begun after
//! the progress was read, it changes only windows that differ from R, whose changes have earlier stamps than its rows.

use neap_bucket::StoreTime;
use neap_catalog::{MaterializedView, ViewWindows};
use neap_manifest::{ManifestError, ManifestStore, Snapshot, TableChanges, TimeRange};
use neap_schema::TableId;

use crate::{ViewState, WindowSet, windows::window_of};

/// The windows of a view whose rows equal the result of its query at a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentWindows {
    windows: ViewWindows,
    /// The start of the earliest current window is not before this time.
    first: i64,
    /// All windows that begin later are current, except for these.
    changed: WindowSet,
}

/// A range of times, divided into current windows and the rest. All ranges are disjoint, and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DividedTimes {
    /// The current windows.
    pub current: Vec<TimeRange>,
    /// All other times of the range.
    pub rest: Vec<TimeRange>,
}

impl ViewState {
    /// Returns the current windows of a view at a snapshot that was taken before this state was read; `None` if there
    /// are none. `now` is the time of the store from which retention counts back. Reads pages of the manifest with
    /// changes since the recorded point.
    ///
    /// # Errors
    /// A page of the manifest can't be read.
    pub async fn current_windows(
        &self,
        view: &MaterializedView,
        snapshot: &Snapshot,
        manifests: &ManifestStore,
        now: StoreTime,
    ) -> Result<Option<CurrentWindows>, ManifestError> {
        let catalog = &snapshot.catalog.value;
        let (Some(source), Some(target)) =
            (catalog.table(&view.source), catalog.table(&view.target.table))
        else {
            return Ok(None);
        };
        let (source, target) = (source.id(), target.id());
        let has_writes = self.newest_write.is_some_and(|stamp| snapshot.covers(stamp));
        let is_of_tables = (self.source, self.target) == (source, Some(target));
        let is_damaged = is_damaged(snapshot, source) || is_damaged(snapshot, target);
        if snapshot.as_of.is_some() || !has_writes || !is_of_tables || is_damaged {
            return Ok(None);
        }
        let Some(first) = self.first_time(snapshot, [source, target], now) else {
            return Ok(None);
        };
        let changes =
            manifests.changes_since(snapshot.database, &snapshot.manifest, source, self.recorded);
        let TableChanges::Times { written, deleted } = changes.await? else {
            return Ok(None);
        };
        let windows = view.windows;
        let mut changed = self.pending.clone();
        changed.add_all(windows, &self.claimed);
        let in_tail = changes_in_tail(snapshot, source);
        for times in written.into_iter().chain(deleted).chain(in_tail) {
            changed.add(windows, times);
        }
        Ok(Some(CurrentWindows { windows, first, changed }))
    }

    /// Returns the time before which rows of the tables may have expired; `None` if it is no longer known.
    fn first_time(&self, snapshot: &Snapshot, tables: [TableId; 2], now: StoreTime) -> Option<i64> {
        let (catalog, manifest) = (&snapshot.catalog.value, &snapshot.manifest.value);
        let of_table = |table: TableId| {
            let cutoff = catalog.cutoff_of(table, now);
            cutoff.max(manifest.expired_before(table))
        };
        let known = tables.into_iter().filter_map(of_table);
        let first = known.chain(self.expired_before).max().unwrap_or(i64::MIN);
        let has_expired =
            |table: TableId| manifest.may_have_expired(table, first, self.recorded.version);
        (!tables.into_iter().any(has_expired)).then_some(first)
    }
}

/// Returns whether rows of a table are damaged. A query of the table reports it, and a view would hide it.
fn is_damaged(snapshot: &Snapshot, table: TableId) -> bool {
    let damage = &snapshot.manifest.value.damage;
    let mut lost = damage.iter().flat_map(|record| &record.lost);
    lost.any(|rows| rows.may_be_of(table))
        || snapshot.tail.iter().any(|segment| segment.is_damaged())
}

/// Returns the times of rows and deletes of a table in the tail.
fn changes_in_tail(snapshot: &Snapshot, table: TableId) -> Vec<TimeRange> {
    let mut changes = Vec::new();
    for segment in snapshot.tail.iter() {
        let rows = segment.tables().filter(|rows| rows.table == table);
        changes.extend(rows.map(|rows| TimeRange { first: rows.min_time, last: rows.max_time }));
        let deletes = segment.deletes().iter().filter(|delete| delete.table == table);
        let bounds = deletes.filter_map(|delete| delete.condition.time_bounds());
        changes.extend(bounds.map(|(first, last)| TimeRange { first, last }));
    }
    changes
}

impl CurrentWindows {
    /// Divides a range of times. The current windows form at most `max_ranges` + 1 ranges.
    pub fn divide(&self, times: TimeRange, max_ranges: usize) -> DividedTimes {
        let mut divided = DividedTimes::default();
        if let Some(whole) = self.whole_windows_in(times) {
            divided.current = self.unchanged(whole, max_ranges);
        }
        let mut next = Some(times.first);
        for current in &divided.current {
            if let Some(first) = next.filter(|first| *first < current.first) {
                let last = current.first.saturating_sub(1);
                divided.rest.push(TimeRange { first, last });
            }
            next = current.last.checked_add(1);
        }
        if let Some(first) = next.filter(|first| *first <= times.last) {
            let last = times.last;
            divided.rest.push(TimeRange { first, last });
        }
        divided
    }

    /// Returns a range of whole windows without the changed ones.
    fn unchanged(&self, whole: TimeRange, max_ranges: usize) -> Vec<TimeRange> {
        let mut changed = self.changed.clone();
        changed.limit_ranges(max_ranges);
        let mut unchanged = Vec::new();
        let mut next = Some(whole.first);
        for range in changed.ranges() {
            let Some(first) = next.filter(|_| range.first <= whole.last) else {
                break;
            };
            if range.last < first {
                continue;
            }
            let last = range.first.checked_sub(1);
            if let Some(last) = last.filter(|last| first <= *last) {
                unchanged.push(TimeRange { first, last });
            }
            next = range.last.checked_add(1);
        }
        if let Some(first) = next.filter(|first| *first <= whole.last) {
            let last = whole.last;
            unchanged.push(TimeRange { first, last });
        }
        unchanged
    }

    /// Returns the whole windows in a range of times that do not begin before the first time.
    fn whole_windows_in(&self, times: TimeRange) -> Option<TimeRange> {
        if times.first > times.last {
            return None;
        }
        let from = times.first.max(self.first);
        let window = window_of(self.windows, from);
        let first = if window.first == from {
            from
        } else {
            window.last.checked_add(1)?
        };
        let window = window_of(self.windows, times.last);
        let last = if window.last == times.last {
            times.last
        } else {
            window.first.checked_sub(1)?
        };
        (first <= last).then_some(TimeRange { first, last })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENS: ViewWindows = ViewWindows { length_ns: 10, origin_ns: 3 };

    fn range(first: i64, last: i64) -> TimeRange {
        TimeRange { first, last }
    }

    fn current(first: i64, changed: &[(i64, i64)]) -> CurrentWindows {
        let mut set = WindowSet::default();
        for (first, last) in changed {
            set.add(TENS, range(*first, *last));
        }
        CurrentWindows { windows: TENS, first, changed: set }
    }

    #[test]
    fn all_times_are_current_without_changes() {
        let divided = current(i64::MIN, &[]).divide(TimeRange::ALL, 8);
        assert_eq!(divided.current, [TimeRange::ALL]);
        assert_eq!(divided.rest, []);
    }

    #[test]
    fn windows_that_are_partly_requested_are_read_from_the_source() {
        let divided = current(i64::MIN, &[(25, 25)]).divide(range(5, 50), 8);
        assert_eq!(divided.current, [range(13, 22), range(33, 42)]);
        assert_eq!(divided.rest, [range(5, 12), range(23, 32), range(43, 50)]);
        let divided = current(i64::MIN, &[]).divide(range(5, 14), 8);
        assert_eq!(divided.current, []);
        assert_eq!(divided.rest, [range(5, 14)]);
    }

    #[test]
    fn expired_windows_are_read_from_the_source() {
        let divided = current(24, &[]).divide(range(3, 42), 8);
        assert_eq!(divided.current, [range(33, 42)]);
        assert_eq!(divided.rest, [range(3, 32)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn each_time_is_either_current_or_not(
            first in -60i64..60,
            changed in proptest::collection::vec((-60i64..60, 0i64..30), 0..6),
            start in -60i64..60,
            length in 0i64..90,
            max_ranges in 1usize..4,
        ) {
            let changed: Vec<_> =
                changed.into_iter().map(|(first, length)| (first, first + length)).collect();
            let windows = current(first, &changed);
            let times = range(start, start + length);
            let divided = windows.divide(times, max_ranges);
            let mut all: Vec<_> = divided.current.iter().chain(&divided.rest).copied().collect();
            all.sort_by_key(|range| range.first);
            let ends = all.windows(2).all(|pair| pair[0].last + 1 == pair[1].first);
            prop_assert!(ends, "{divided:?}");
            prop_assert_eq!(all.first().unwrap().first, times.first);
            prop_assert_eq!(all.last().unwrap().last, times.last);
            for range in &divided.current {
                prop_assert_eq!(window_of(TENS, range.first).first, range.first);
                prop_assert_eq!(window_of(TENS, range.last).last, range.last);
                prop_assert!(range.first >= first);
                prop_assert!(!windows.changed.meets(*range), "{divided:?}");
            }
            if max_ranges > changed.len() {
                for time in times.first..=times.last {
                    let window = window_of(TENS, time);
                    let is_current = window.first >= first.max(times.first)
                        && window.last <= times.last
                        && !windows.changed.meets(window);
                    let is_divided =
                        divided.current.iter().any(|range| range.first <= time && time <= range.last);
                    prop_assert_eq!(is_current, is_divided, "{}", time);
                }
            }
        }
    }
}
