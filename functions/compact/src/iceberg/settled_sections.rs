//! Selects the sections of a table that are published: those whose rows are final until something else is written to
//! their times.
//!
//! ```text
//!   stamps
//!     ^      |---- c ----|                 overlaps the older b: not published, its times are unsettled
//!     |   |------ b ------|                published, with the rows of its own state
//!     |                      |--- a ---|   published
//!     +--------------------------------> times
//! ```

use std::sync::Arc;

use neap_bucket::Stamp;
use neap_manifest::{RecordedDelete, Section, TimeRange};

/// Maximum number of ranges of unsettled times that are listed. More ranges are combined, the closest first.
const MAX_RANGES: usize = 64;

/// The sections of a table, divided into those that are published and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SettledSections {
    /// The published sections, by time.
    pub(super) published: Vec<Arc<Section>>,
    /// The sections that are not published, by time.
    pub(super) unsettled: Vec<Arc<Section>>,
    /// Rows before this time, in nanoseconds since the Unix epoch, have expired. Published sections may still have some.
    pub(super) expired_before: Option<i64>,
}

/// The sort key of sections with overlapping times: their intervals of stamps are disjoint.
fn age(section: &Section) -> (Stamp, Stamp) {
    (section.upto, section.above)
}

impl SettledSections {
    /// Divides the sections of a table. `deletes` are its row deletes that sections may still need, and rows before
    /// `cutoff` have expired.
    ///
    /// A section is published if it is an object of its own, no older section overlaps its times, and no row delete
    /// applies to it.
    pub(super) fn new<'a>(
        sections: &[Arc<Section>],
        deletes: impl Iterator<Item = &'a RecordedDelete>,
        cutoff: Option<i64>,
    ) -> Self {
        let (expiries, deletes): (Vec<_>, Vec<_>) = deletes.partition(|recorded| recorded.expiry);
        let mut state = Self { expired_before: cutoff, ..Self::default() };
        let mut visible: Vec<&Arc<Section>> = Vec::new();
        for section in sections {
            let before = expired_before(section, cutoff, &expiries);
            if before.is_none_or(|before| before <= section.max_time) {
                visible.push(section);
                if before.is_some_and(|before| section.min_time < before) {
                    state.expired_before = state.expired_before.max(before);
                }
            }
        }
        visible.sort_by_key(|section| (section.min_time, age(section)));
        let follows = following(&visible);
        for (section, follows) in visible.into_iter().zip(follows) {
            let is_own_object = !section.in_bundle && section.offset == 0;
            let has_deletes = deletes.iter().any(|recorded| recorded.applies_to(section));
            if is_own_object && !follows && !has_deletes {
                state.published.push(Arc::clone(section))
            } else {
                state.unsettled.push(Arc::clone(section))
            }
        }
        state
    }

    /// Returns the times whose published rows may differ from those of a query: some may be missing, and some may be of
    /// an earlier state. Disjoint and in order.
    pub(super) fn unsettled_times(&self) -> Vec<TimeRange> {
        let mut ranges: Vec<TimeRange> = Vec::new();
        for section in &self.unsettled {
            match ranges.last_mut() {
                Some(last) if section.min_time <= last.last.saturating_add(1) => {
                    last.last = last.last.max(section.max_time);
                }
                _ => ranges.push(TimeRange { first: section.min_time, last: section.max_time }),
            }
        }
        combine_closest(&mut ranges);
        ranges
    }
}

/// Returns the time before which all rows of a section have expired.
fn expired_before(
    section: &Section,
    cutoff: Option<i64>,
    expiries: &[&RecordedDelete],
) -> Option<i64> {
    let expiries = expiries.iter().filter(|expiry| expiry.applies_to(section));
    let ends = expiries
        .filter_map(|expiry| expiry.delete.condition.time_bounds())
        .map(|(_, last)| last.saturating_add(1));
    ends.max().max(cutoff)
}

/// Returns for each section, in the order of their first times, whether its times overlap those of an older one.
fn following(sections: &[&Arc<Section>]) -> Vec<bool> {
    let mut follows = vec![false; sections.len()];
    let mut open: Vec<usize> = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        open.retain(|other| {
            let other = sections.get(*other);
            other.is_some_and(|other| section.min_time <= other.max_time)
        });
        for other in &open {
            let is_older = sections.get(*other).is_some_and(|it| age(it) < age(section));
            let newer = if is_older { at } else { *other };
            if let Some(follows) = follows.get_mut(newer) {
                *follows = true;
            }
        }
        open.push(at);
    }
    follows
}

/// Combines neighbouring ranges with the smallest gaps until there are at most [`MAX_RANGES`].
fn combine_closest(ranges: &mut Vec<TimeRange>) {
    let surplus = ranges.len().saturating_sub(MAX_RANGES);
    if surplus == 0 {
        return;
    }
    let gap = |pair: &[TimeRange]| match pair {
        [one, next] => next.first.abs_diff(one.last),
        _ => u64::MAX,
    };
    let mut gaps: Vec<u64> = ranges.windows(2).map(gap).collect();
    gaps.sort_unstable();
    let widest = surplus.checked_sub(1).and_then(|at| gaps.get(at).copied()).unwrap_or(u64::MAX);
    ranges.dedup_by(|next, one| {
        let is_close = next.first.abs_diff(one.last) <= widest;
        if is_close {
            one.last = next.last;
        }
        is_close
    });
}

#[cfg(test)]
mod tests {
    use neap_row_delete::{Condition, RowDelete};
    use neap_schema::TableId;
    use proptest::prelude::*;
    use ulid::Ulid;

    use super::*;

    const TABLE: TableId = TableId::new(1);

    /// A section with these times and the stamps `upto - 1` to `upto`.
    fn section(upto: u64, min_time: i64, max_time: i64) -> Section {
        Section {
            object: Ulid::from(u128::from(upto)),
            length: 100,
            footer_length: 50,
            table: TABLE,
            above: Stamp::from_u64(upto - 1),
            upto: Stamp::from_u64(upto),
            rows: 10,
            min_time,
            max_time,
            added: 1,
            ..Section::default()
        }
    }

    fn delete(stamp: u64, min: i64, max: i64, expiry: bool) -> RecordedDelete {
        RecordedDelete {
            stamp: Stamp::from_u64(stamp),
            delete: RowDelete { table: TABLE, condition: Condition::Time { min, max } },
            added: 1,
            dropped: None,
            expiry,
        }
    }

    /// Returns the upper stamps of the published and of the other sections.
    fn divide(
        sections: Vec<Section>,
        deletes: &[RecordedDelete],
        cutoff: Option<i64>,
    ) -> (Vec<u64>, Vec<u64>) {
        let sections: Vec<_> = sections.into_iter().map(Arc::new).collect();
        let state = SettledSections::new(&sections, deletes.iter(), cutoff);
        let stamps = |sections: &[Arc<Section>]| {
            let stamps = sections.iter().map(|section| section.upto.as_u64());
            stamps.collect()
        };
        (stamps(&state.published), stamps(&state.unsettled))
    }

    #[test]
    fn sections_that_follow_an_older_one_are_not_published() {
        let sections = vec![
            section(1, 0, 10),
            section(2, 11, 20),
            section(3, 20, 30),
            section(4, 30, 40),
            section(5, 41, 50),
        ];
        assert_eq!(divide(sections, &[], None), (vec![1, 2, 5], vec![3, 4]));
        let late = vec![section(1, 10, 20), section(2, 0, 30)];
        assert_eq!(divide(late, &[], None), (vec![1], vec![2]));
    }

    #[test]
    fn sections_of_bundles_are_not_published() {
        let in_bundle = Section { in_bundle: true, ..section(1, 0, 10) };
        let of_an_early_bundle = Section { offset: 7, ..section(2, 20, 30) };
        let sections = vec![in_bundle, of_an_early_bundle, section(3, 40, 50)];
        assert_eq!(divide(sections, &[], None), (vec![3], vec![1, 2]));
    }

    #[test]
    fn sections_with_deleted_rows_are_not_published_until_they_are_rewritten() {
        let rewritten = Section { cleaned: Stamp::from_u64(9), ..section(2, 20, 30) };
        let sections = vec![section(1, 0, 10), rewritten, section(3, 40, 50)];
        let deletes = [delete(9, 5, 25, false)];
        assert_eq!(divide(sections, &deletes, None), (vec![2, 3], vec![1]));
    }

    #[test]
    fn expired_sections_are_left_out_and_the_cutoff_is_named() {
        let sections = || vec![section(1, 0, 10), section(2, 11, 20), section(3, 21, 30)];
        assert_eq!(divide(sections(), &[], Some(15)), (vec![2, 3], vec![]));
        let expiries = [delete(9, i64::MIN, 24, true)];
        assert_eq!(divide(sections(), &expiries, Some(15)), (vec![3], vec![]));
        let sections: Vec<_> = sections().into_iter().map(Arc::new).collect();
        let state = SettledSections::new(&sections, expiries.iter(), Some(15));
        assert_eq!(state.expired_before, Some(25));
    }

    #[test]
    fn unsettled_times_are_combined_to_a_limited_number_of_ranges() {
        let range = |first, last| TimeRange { first, last };
        let mut few = vec![range(0, 1), range(5, 6)];
        combine_closest(&mut few);
        assert_eq!(few, [range(0, 1), range(5, 6)]);
        let mut many: Vec<_> = (0..500).map(|at| range(at * 10, at * 10 + at % 7)).collect();
        combine_closest(&mut many);
        assert!(many.len() <= MAX_RANGES, "{}", many.len());
        assert_eq!(many.first().unwrap().first, 0);
        assert_eq!(many.last().unwrap().last, 4_990 + 499 % 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        /// Published sections never share a time, and every other section is in the unsettled times.
        #[test]
        fn published_sections_are_disjoint(
            times in proptest::collection::vec((0i64..60, 0i64..12, proptest::bool::ANY), 1..20),
        ) {
            let sections: Vec<_> = (1u64..)
                .zip(&times)
                .map(|(upto, (first, width, in_bundle))| Arc::new(Section {
                    in_bundle: *in_bundle,
                    ..section(upto, *first, first + width)
                }))
                .collect();
            let state = SettledSections::new(&sections, [].iter(), None);
            for pair in state.published.windows(2) {
                prop_assert!(!pair[0].overlaps(&pair[1]));
            }
            let unsettled = state.unsettled_times();
            for section in &state.unsettled {
                let is_listed = |range: &TimeRange| {
                    range.first <= section.min_time && section.max_time <= range.last
                };
                prop_assert!(unsettled.iter().any(is_listed));
            }
            let count = state.published.len() + state.unsettled.len();
            prop_assert_eq!(count, sections.len());
            // No time of a published section is covered by an older section.
            for published in &state.published {
                let older = sections.iter().filter(|other| other.upto < published.upto);
                prop_assert!(older.clone().all(|other| !other.overlaps(published)));
            }
        }
    }
}
