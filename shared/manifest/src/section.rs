//! Sections: the Parquet files inside bundles, and what the manifest knows of each.

use std::{collections::BTreeMap, ops::Range};

use neap_bucket::{Key, Stamp};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The length of a day in the unit of timestamps.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// The day of a timestamp (nanoseconds since the Unix epoch), in days since the epoch.
pub fn day_of(time: i64) -> i32 {
    // The quotient of any i64 is within ±106,752.
    i32::try_from(time.div_euclid(DAY_NANOS)).unwrap_or(i32::MAX)
}

/// The values of a tag in a section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRange {
    /// The smallest value, or something smaller; `None`: unknown, or no value at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The greatest value, or something greater; `None`: unknown, or no value at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Whether a row lacks the tag.
    #[serde(default)]
    pub has_null: bool,
}

/// The rows of one table and some days from one interval of stamps: a Parquet file inside a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The bundle.
    pub object: Ulid,
    /// Where in the bundle the section starts.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
    /// The number of bytes at the section's end that hold the Parquet footer with its length and magic.
    pub footer_length: u32,
    /// The table.
    pub table: TableId,
    /// The first day of its rows, in days since the epoch.
    pub first_day: i32,
    /// The last day of its rows.
    pub last_day: i32,
    /// The rows are from the segments above this stamp
    pub above: Stamp,
    /// and up to this one.
    pub upto: Stamp,
    /// The number of rows.
    pub rows: u64,
    /// The earliest timestamp, in nanoseconds since the epoch.
    pub min_time: i64,
    /// The latest timestamp.
    pub max_time: i64,
    /// What is known of the tags' values, by name; nothing is known of one that is missing here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, TagRange>,
}

impl Section {
    /// The key of the bundle.
    pub fn key(&self, database: DatabaseId) -> Key {
        Key::Bundle(database, self.object)
    }

    /// The bytes of the bundle that are the section.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }

    /// The bytes of the bundle that are the section's Parquet footer.
    pub fn footer_range(&self) -> Range<u64> {
        let end = self.range().end;
        end.saturating_sub(u64::from(self.footer_length))..end
    }

    /// Whether a row may have a time in `times`.
    pub fn meets(&self, times: TimeRange) -> bool {
        times.meets(self.min_time, self.max_time)
    }

    /// Whether both may hold the same point, so that their rows must be merged: one table, and times that meet.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.table == other.table
            && self.min_time <= other.max_time
            && other.min_time <= self.max_time
    }

    /// The place in the order of a manifest: what is later by stamp is later there.
    pub(crate) fn order(&self) -> (Stamp, Stamp, TableId, i32) {
        (self.upto, self.above, self.table, self.first_day)
    }

    /// Whether both claim the same table, day and stamp, which no two sections may.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }
}

/// An inclusive range of timestamps, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first time.
    pub first: i64,
    /// The last time; the range is empty if it is before the first.
    pub last: i64,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self {
        first: i64::MIN,
        last: i64::MAX,
    };

    /// Whether a time of `first..=last` is in the range.
    pub fn meets(self, first: i64, last: i64) -> bool {
        self.first <= self.last && self.first <= last && first <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::section;

    #[test]
    fn days_of_negative_times_are_before_the_epoch() {
        assert_eq!(day_of(-1), -1);
        assert_eq!(day_of(0), 0);
        assert_eq!(day_of(DAY_NANOS), 1);
        assert_eq!(day_of(i64::MIN), -106_752);
    }

    #[test]
    fn footer_is_at_the_end_of_the_section() {
        let mut section = section(1, 0, 0, 10);
        (section.offset, section.length, section.footer_length) = (100, 50, 8);
        assert_eq!(section.range(), 100..150);
        assert_eq!(section.footer_range(), 142..150);
    }

    #[test]
    fn an_empty_range_of_times_meets_nothing() {
        let empty = TimeRange { first: 5, last: 4 };
        assert!(!empty.meets(0, 10));
        assert!(
            TimeRange {
                first: 10,
                last: 12
            }
            .meets(0, 10)
        );
        assert!(
            !TimeRange {
                first: 11,
                last: 12
            }
            .meets(0, 10)
        );
    }
}
