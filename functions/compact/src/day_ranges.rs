//! Divides rows among sections by time.
//!
//! A section covers a day, or, if days have few rows, an aligned range of 4, 16, 64, … days. Two such ranges are either
//! nested or disjoint, so that a merge never has to include more than the largest of them. One late row a day costs one
//! section a day; a flush of ten years of daily rows does not cost 3,650 sections.

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use neap_manifest::day_of;
use neap_points::{PointsError, times};

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
    /// The rows, in their original order.
    pub rows: RecordBatch,
}

/// Splits rows into ranges of days and keeps their order.
pub fn split_by_days(rows: RecordBatch) -> Result<Vec<DayRange>, PointsError> {
    let mut by_day: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (time, row) in times(&rows)?.values().iter().zip(0..) {
        by_day.entry(day_of(*time)).or_default().push(row);
    }
    let bits = widening(&by_day);
    let mut ranges: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (day, of_day) in by_day {
        ranges.entry(day >> bits).or_default().extend(of_day);
    }
    let whole = ranges.len() == 1;
    ranges
        .into_iter()
        .map(|(range, mut numbers)| {
            let first_day = range << bits;
            let last_day = first_day + ((1 << bits) - 1);
            let rows = if whole {
                rows.clone()
            } else {
                numbers.sort_unstable();
                take_record_batch(&rows, &UInt32Array::from(numbers))?
            };
            Ok(DayRange {
                first_day,
                last_day,
                rows,
            })
        })
        .collect()
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
    use std::sync::Arc;

    use arrow_array::{TimestampNanosecondArray, cast::AsArray, types::TimestampNanosecondType};
    use arrow_schema::Schema;
    use neap_schema::ColumnType;
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    fn rows(times: impl IntoIterator<Item = i64>) -> RecordBatch {
        let schema = Schema::new(vec![ColumnType::Time.arrow_field("time")]);
        let times = TimestampNanosecondArray::from_iter_values(times);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(times)]).unwrap()
    }

    fn ranges(rows: RecordBatch) -> Vec<(i32, i32, usize)> {
        let ranges = split_by_days(rows).unwrap();
        ranges
            .iter()
            .map(|range| (range.first_day, range.last_day, range.rows.num_rows()))
            .collect()
    }

    #[test]
    fn a_few_days_stay_apart() {
        assert_eq!(
            ranges(rows([0, DAY, 1, -1])),
            [(-1, -1, 1), (0, 0, 2), (1, 1, 1)]
        );
    }

    #[test]
    fn many_thin_days_share_sections() {
        let found = ranges(rows((0..1000).map(|day| day * DAY)));
        assert_eq!(
            found,
            [
                (0, 255, 256),
                (256, 511, 256),
                (512, 767, 256),
                (768, 1023, 232)
            ]
        );
    }

    #[test]
    fn many_thick_days_stay_apart() {
        let per_day = MIN_ROWS as i64;
        let times = (0..8).flat_map(|day| (0..per_day).map(move |at| day * DAY + at));
        assert_eq!(ranges(rows(times)).len(), 8);
    }

    proptest! {
        #[test]
        fn every_row_is_in_its_range_and_in_its_order(
            days in proptest::collection::vec(-3000..3000i64, 1..200)
        ) {
            let split = split_by_days(rows(days.iter().map(|day| day * DAY))).unwrap();
            let mut all = Vec::new();
            for range in &split {
                let times = range.rows.column(0).as_primitive::<TimestampNanosecondType>();
                let days: Vec<i64> = times.values().iter().map(|time| time / DAY).collect();
                for day in &days {
                    prop_assert!((i64::from(range.first_day)..=i64::from(range.last_day)).contains(day));
                }
                all.extend(days);
            }
            for pair in split.windows(2) {
                prop_assert!(pair[0].last_day < pair[1].first_day);
            }
            let mut expected = days;
            expected.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(all, expected);
        }
    }
}
