//! Sections: Parquet files, one per object or several in a bundle, and their metadata in the manifest.
//!
//! ```text
//! <ulid>.parquet   section                      of a merge, or of a flush that has one table and range of days
//! <ulid>.bundle    section, section, ...        of any other flush
//! ```
//!
//! Offsets in a section count from its own start, so a bundle is not a Parquet file itself.

use std::{collections::BTreeMap, ops::Range};

use neap_bucket::{Key, Stamp, StorageClass};
use neap_row_delete::Condition;
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{ObjectName, section_bounds::SectionBounds};

/// The length of a day in nanoseconds.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Returns the day of a timestamp (nanoseconds since the Unix epoch), in days since the epoch.
pub fn day_of(time: i64) -> i32 {
    // The quotient of any i64 is within ±106,752.
    i32::try_from(time.div_euclid(DAY_NANOS)).unwrap_or(i32::MAX)
}

/// The range of the values of a tag in a section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRange {
    /// A lower bound of the values; `None` if it is unknown, or if no row has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// An upper bound of the values; `None` if it is unknown, or if no row has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Whether at least one row has no value of the tag.
    pub has_null: bool,
}

/// The rows of one table, a range of days and an interval of stamps: a Parquet file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The object.
    pub object: Ulid,
    /// The offset of the section in the object, in bytes.
    pub offset: u64,
    /// Whether the object's name is that of a bundle, because it holds several sections.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_bundle: bool,
    /// The length of the section in bytes.
    pub length: u64,
    /// The length in bytes of the Parquet footer at the section's end, including its length field and magic.
    pub footer_length: u32,
    /// The table.
    pub table: TableId,
    /// The first day of the rows, in days since the epoch.
    pub first_day: i32,
    /// The last day of the rows, in days since the epoch.
    pub last_day: i32,
    /// Exclusive lower bound of the stamps of the segments that the rows come from.
    pub above: Stamp,
    /// Inclusive upper bound of these stamps.
    pub upto: Stamp,
    /// The number of rows.
    pub rows: u64,
    /// The earliest timestamp of a row, in nanoseconds since the epoch.
    pub min_time: i64,
    /// The latest timestamp of a row, in nanoseconds since the epoch.
    pub max_time: i64,
    /// The ranges of tag values, by tag name. Every tag that has a value in at least one row is included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, TagRange>,
    /// A digest of the set of series of the rows, in hexadecimal; `None` if it is unknown. Sections with equal digests have rows
    /// of the same series, by the stored names of their tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The CRC-32C of the section's bytes.
    pub crc32c: u32,
    /// The CRC-32C of the bytes of [`Section::footer_range`].
    pub footer_crc32c: u32,
    /// Row deletes up to this stamp have been applied to the rows. Those up to [`Section::upto`] are always applied.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cleaned: Stamp,
    /// The version of the manifest that added the section; set by the commit.
    pub added: u64,
    /// The version that dropped the section; set only in pages of dropped sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// The database that owns the object, if it is another one: a restored database references the objects of its
    /// source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<DatabaseId>,
    /// The storage class of the object, if the section is cold. A cold section is alone in its object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<StorageClass>,
}

/// The identity of a section: the owner of the object if it is another database, the object, and the offset in it.
pub(crate) type SectionLocation = (Option<DatabaseId>, Ulid, u64);

fn is_zero(stamp: &Stamp) -> bool {
    *stamp == Stamp::ZERO
}

impl Section {
    /// Returns the name of the object.
    pub fn object_name(&self) -> ObjectName {
        if self.in_bundle {
            ObjectName::Bundle(self.object)
        } else {
            ObjectName::Parquet(self.object)
        }
    }

    /// Returns the key of the object.
    pub fn key(&self, database: DatabaseId) -> Key {
        self.object_name().key(self.origin.unwrap_or(database))
    }

    /// Returns whether the section is in a storage class for cold data.
    pub fn is_cold(&self) -> bool {
        self.class.is_some()
    }

    /// Returns whether both are the same bytes of the same object.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Returns the location, which is unique to the section.
    pub(crate) fn place(&self) -> SectionLocation {
        (self.origin, self.object, self.offset)
    }

    /// Returns the stamp up to which row deletes have been applied.
    pub fn clean_upto(&self) -> Stamp {
        self.upto.max(self.cleaned)
    }

    /// Returns whether the section belongs to a version of the manifest.
    pub fn is_in_version(&self, version: u64) -> bool {
        self.added <= version && self.dropped.is_none_or(|dropped| version < dropped)
    }

    /// Returns whether a row may match a condition, according to the time and tag ranges.
    pub fn may_hold(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Time { min, max } => {
                TimeRange { first: *min, last: *max }.meets(self.min_time, self.max_time)
            }
            Condition::Tag { name, value } => match (self.tags.get(name), value.as_deref()) {
                (None, value) => value.is_none_or(str::is_empty),
                (Some(range), None | Some("")) => range.has_null,
                (Some(range), Some(value)) => {
                    range.min.as_deref().is_none_or(|min| min <= value)
                        && range.max.as_deref().is_none_or(|max| value <= max)
                }
            },
            Condition::All(all) => all.iter().all(|part| self.may_hold(part)),
            Condition::Any(any) => any.iter().any(|part| self.may_hold(part)),
        }
    }

    /// Returns the range of the section in the object, in bytes.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }

    /// Returns the range of the section's Parquet footer in the object, in bytes.
    pub fn footer_range(&self) -> Range<u64> {
        let end = self.range().end;
        end.saturating_sub(u64::from(self.footer_length))..end
    }

    /// Returns whether `footer` has the footer's length and checksum.
    pub fn matches_footer(&self, footer: &[u8]) -> bool {
        footer.len() as u64 == u64::from(self.footer_length)
            && crc32c::crc32c(footer) == self.footer_crc32c
    }

    /// Returns whether a row may have a time in `times`.
    pub fn meets(&self, times: TimeRange) -> bool {
        times.meets(self.min_time, self.max_time)
    }

    /// Returns whether both may hold the same point, so that their rows must be merged: same table and overlapping
    /// times.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.table == other.table
            && self.min_time <= other.max_time
            && other.min_time <= self.max_time
    }

    /// Returns the sort key of sections in a manifest: by stamp, later ones last.
    pub(crate) fn order(&self) -> (Stamp, Stamp, TableId, i32) {
        (self.upto, self.above, self.table, self.first_day)
    }

    /// Returns whether both cover the same table, day and stamp. Two sections of a manifest never do.
    pub fn collides(&self, other: &Self) -> bool {
        self.table == other.table && self.bounds().overlaps(&other.bounds())
    }

    /// Returns the days and the interval of stamps that the section covers.
    pub fn bounds(&self) -> SectionBounds {
        SectionBounds {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        }
    }
}

/// An inclusive range of timestamps, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first time.
    pub first: i64,
    /// The last time. The range is empty if it is before `first`.
    pub last: i64,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// Returns whether the range overlaps `first..=last`.
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
    fn a_footer_with_another_length_or_a_flipped_bit_does_not_match() {
        let mut section = section(1, 0, 0, 10);
        (section.length, section.footer_length) = (50, 4);
        section.footer_crc32c = crc32c::crc32c(b"PAR");
        assert!(!section.matches_footer(b"PAR"));
        section.footer_crc32c = crc32c::crc32c(b"PAR1");
        assert!(section.matches_footer(b"PAR1"));
        assert!(!section.matches_footer(b"QAR1"));
    }

    #[test]
    fn an_empty_range_of_times_meets_nothing() {
        let empty = TimeRange { first: 5, last: 4 };
        assert!(!empty.meets(0, 10));
        assert!(TimeRange { first: 10, last: 12 }.meets(0, 10));
        assert!(!TimeRange { first: 11, last: 12 }.meets(0, 10));
    }
}
