//! Divides rows among sections by time.
//!
//! A section covers a day, or, if days have few rows, an aligned range of 4, 16, 64, … days. Two such ranges are either
//! nested or disjoint, so that a merge never has to include more than the largest of them. One late row a day costs one
//! section a day; a flush of ten years of daily rows does not cost 3,650 sections.

use std::collections::BTreeMap;

use neap_manifest::day_of;

/// Up to this number of sections, ranges are not widened, regardless of section size.
const FEW_SECTIONS: usize = 4;

/// Minimum average number of rows in a section; ranges are widened until sections reach it. With fewer rows, the footer
/// is a large part of a section.
const MIN_ROWS: usize = 16_384;

/// Bits of the day number that each widening drops.
const WIDEN_BITS: u32 = 2;

/// Bits of the widest range, 4^6 days. Limited to 11 years in a section, because retention and pruning work on whole
/// sections.
const WIDEST_BITS: u32 = 12;

/// Rows of an inclusive range of days.
#[derive(Debug)]
pub struct DayRange {
    /// The first day, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day.
    pub last_day: i32,
    /// The numbers of the rows, in ascending order.
    pub rows: Vec<u32>,
}

/// Splits rows with these times, in nanoseconds since the Unix epoch, into ranges of days.
pub fn split_by_days(times: impl Iterator<Item = i64>) -> Vec<DayRange> {
    let mut by_day: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (time, row) in times.zip(0..) {
        by_day.entry(day_of(time)).or_default().push(row);
    }
    let bits = widening(&by_day);
    let mut ranges: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (day, mut of_day) in by_day {
        ranges.entry(day >> bits).or_default().append(&mut of_day);
    }
    let range = |(range, mut rows): (i32, Vec<u32>)| {
        rows.sort_unstable();
        let first_day = range << bits;
        DayRange { first_day, last_day: first_day + ((1 << bits) - 1), rows }
    };
    ranges.into_iter().map(range).collect()
}

fn widening(by_day: &BTreeMap<i32, Vec<u32>>) -> u32 {
    let rows: usize = by_day.values().map(Vec::len).sum();
    let mut bits = 0;
    while bits < WIDEST_BITS {
        let mut sections = 0;
        let mut last = None;
        for day in by_day.keys() {
            if last != Some(day >> bits) {
                last = Some(day >> bits);
                sections += 1;
            }
        }
        if sections <= FEW_SECTIONS || rows / sections >= MIN_ROWS {
            break;
        }
        bits += WIDEN_BITS;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    fn ranges(times: impl IntoIterator<Item = i64>) -> Vec<(i32, i32, usize)> {
        let ranges = split_by_days(times.into_iter());
        ranges
            .iter()
            .map(|range| (range.first_day, range.last_day, range.rows.len()))
            .collect()
    }

    #[test]
    fn a_few_days_stay_apart() {
        assert_eq!(ranges([0, DAY, 1, -1]), [(-1, -1, 1), (0, 0, 2), (1, 1, 1)]);
    }

    #[test]
    fn many_thin_days_share_sections() {
        let found = ranges((0..1000).map(|day| day * DAY));
        assert_eq!(found, [(0, 255, 256), (256, 511, 256), (512, 767, 256), (768, 1023, 232)]);
    }

    #[test]
    fn many_thick_days_stay_apart() {
        let per_day = MIN_ROWS as i64;
        let times = (0..8).flat_map(|day| (0..per_day).map(move |at| day * DAY + at));
        assert_eq!(ranges(times).len(), 8);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn every_row_is_in_its_range_and_in_its_order(
            days in proptest::collection::vec(-3000..3000i64, 1..200)
        ) {
            let split = split_by_days(days.iter().map(|day| day * DAY));
            let mut all: Vec<u32> = Vec::new();
            for range in &split {
                prop_assert!(range.rows.is_sorted());
                for row in &range.rows {
                    let day = days[*row as usize];
                    prop_assert!((i64::from(range.first_day)..=i64::from(range.last_day)).contains(&day));
                }
                all.extend(&range.rows);
            }
            for pair in split.windows(2) {
                prop_assert!(pair[0].last_day < pair[1].first_day);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0_u32..).take(days.len()).collect::<Vec<_>>());
        }
    }
}
