//! The segments that a flush takes.

use std::{collections::BTreeMap, sync::Arc};

use neap_bucket::{SegmentName, Stamp};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{DamageRecord, DamagedPart};
use neap_schema::TableId;
use neap_wal::{Segment, TableSummary};

/// The segments that a flush takes, the oldest of the tail.
pub(crate) struct FlushPlan {
    /// The low-water mark below the segments.
    pub(crate) mark: Stamp,
    /// The next low-water mark: every segment up to it is in the plan.
    pub(crate) cut: Stamp,
    /// The segments, in the order of their stamps.
    pub(crate) names: Vec<SegmentName>,
    /// Whether the limits left segments that are old enough.
    pub(crate) more: bool,
}

impl FlushPlan {
    /// Returns a plan for the first `count` segments, plus those with the same stamp as the last one, or `None` if that
    /// is all segments.
    pub(crate) fn truncated(&self, count: usize) -> Option<Self> {
        let last = self.names.get(count.max(1) - 1)?.stamp;
        let count = self.names.partition_point(|name| name.stamp <= last);
        (count < self.names.len()).then(|| Self {
            mark: self.mark,
            cut: last,
            names: self.names.iter().take(count).copied().collect(),
            more: true,
        })
    }

    /// Returns a plan for the segments below a stamp, or `None` if it would be empty.
    pub(crate) fn below(&self, stamp: Stamp) -> Option<Self> {
        let cut = Stamp::from_u64(stamp.as_u64().checked_sub(1)?);
        let count = self.names.partition_point(|name| name.stamp <= cut);
        (cut > self.mark && count > 0).then(|| Self {
            mark: self.mark,
            cut: self.cut.min(cut),
            names: self.names.iter().take(count).copied().collect(),
            more: true,
        })
    }

    /// Returns the damage records of segments up to the cut.
    pub(crate) fn passed(&self, damage: Vec<DamageRecord>) -> Vec<DamageRecord> {
        let is_passed = |record: &DamageRecord| match record.part {
            DamagedPart::Segment(name) => name.stamp <= self.cut,
            DamagedPart::Section(..) | DamagedPart::BundledSection(..) | DamagedPart::Page(..) => {
                false
            }
        };
        damage.into_iter().filter(is_passed).collect()
    }

    /// Limits the plan to segments whose rows have at most `limit` bytes for each table; at least one segment.
    pub(crate) fn within(
        self,
        limit: u64,
        catalog: &DatabaseCatalog,
        segments: &[Arc<Segment>],
    ) -> Self {
        let mut tables: BTreeMap<TableId, u64> = BTreeMap::new();
        let fitting = segments.iter().take_while(|segment| {
            segment.tables().all(|rows| {
                let bytes = tables.entry(rows.table).or_default();
                *bytes = bytes.saturating_add(memory_of(&rows, catalog));
                *bytes <= limit
            })
        });
        let count = fitting.count();
        self.truncated(count).unwrap_or(self)
    }
}

/// Minimum bytes of memory of a column value, present or null.
const VALUE_BYTES: u64 = 8;

/// Returns the bytes of memory of rows in the schema of their table, including columns that the rows lack.
pub(crate) fn memory_of(rows: &TableSummary, catalog: &DatabaseCatalog) -> u64 {
    let table = catalog.table_by_id(rows.table);
    let columns = table.map_or(0, |table| table.columns().len() as u64);
    let values = rows.rows.saturating_mul(columns).saturating_mul(VALUE_BYTES);
    rows.memory_bytes.max(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(stamps: &[u64]) -> FlushPlan {
        let name = |stamp: &u64| SegmentName { stamp: Stamp::from_u64(*stamp), nonce: 0 };
        FlushPlan {
            mark: Stamp::ZERO,
            cut: Stamp::from_u64(1_000),
            names: stamps.iter().map(name).collect(),
            more: false,
        }
    }

    #[test]
    fn a_part_of_a_plan_cuts_at_its_last_segment_and_never_between_equal_stamps() {
        let part = plan(&[1, 2, 2, 3]).truncated(2).unwrap();
        assert_eq!((part.names.len(), part.cut.as_u64(), part.more), (3, 2, true));
        let part = plan(&[1, 2, 2, 3]).truncated(0).unwrap();
        assert_eq!((part.names.len(), part.cut.as_u64()), (1, 1));
    }

    #[test]
    fn a_part_that_would_be_all_is_none() {
        assert!(plan(&[1, 2]).truncated(2).is_none());
        assert!(plan(&[7, 7]).truncated(1).is_none());
    }
}
