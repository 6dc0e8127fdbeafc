//! The claim of a running job.

use neap_bucket::{Stamp, StoreTime};
use neap_schema::TableId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A claim of a running job on a range of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The job.
    pub job: Ulid,
    /// The table.
    pub table: TableId,
    /// The first day, in days since the epoch.
    pub first_day: i32,
    /// The last day, in days since the epoch.
    pub last_day: i32,
    /// Exclusive lower bound of the stamp interval.
    pub above: Stamp,
    /// Inclusive upper bound of the stamp interval.
    pub upto: Stamp,
    /// Time at which the claim expires, by the store's clock.
    pub expires: StoreTime,
}

impl Claim {
    /// Returns whether both claim the same table, day and stamp.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }
}
