//! The days and stamps that sections of a table cover.

use neap_bucket::Stamp;

/// A range of days and an interval of stamps of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionBounds {
    /// The first day, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day.
    pub last_day: i32,
    /// Exclusive lower stamp of the segments.
    pub above: Stamp,
    /// Inclusive upper stamp of the segments.
    pub upto: Stamp,
}

impl SectionBounds {
    /// Returns the smallest bounds that contain both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            first_day: self.first_day.min(other.first_day),
            last_day: self.last_day.max(other.last_day),
            above: self.above.min(other.above),
            upto: self.upto.max(other.upto),
        }
    }

    /// Returns whether both have a day and a stamp in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }

    /// Returns whether all days and stamps of the other are in these bounds.
    pub fn contains(&self, other: &Self) -> bool {
        self.union(*other) == *self
    }
}
