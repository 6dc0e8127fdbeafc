//! Row deletes that are not yet applied to all sections, and expired rows.

use std::collections::BTreeMap;

use neap_bucket::Stamp;
use neap_row_delete::{Condition, RowDelete};
use neap_schema::TableId;
use neap_wal::DeleteBytes;

use crate::{Manifest, RecordedDelete};

/// Recorded deletes by their identity: stamp, table, condition and origin. A stamp alone is not unique, because one
/// request deletes from several tables with one stamp, and so do the expiries of several tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteSet {
    by_stamp: BTreeMap<Stamp, Vec<RecordedDelete>>,
}

impl DeleteSet {
    pub(crate) fn contains(&self, recorded: &RecordedDelete) -> bool {
        let same_stamp = self.by_stamp.get(&recorded.stamp);
        same_stamp.is_some_and(|deletes| deletes.iter().any(|one| one.is_same(recorded)))
    }
}

impl<'a> FromIterator<&'a RecordedDelete> for DeleteSet {
    fn from_iter<I: IntoIterator<Item = &'a RecordedDelete>>(deletes: I) -> Self {
        let mut set = Self::default();
        for recorded in deletes {
            let same_stamp = set.by_stamp.entry(recorded.stamp).or_default();
            same_stamp.push(recorded.clone());
        }
        set
    }
}

impl Manifest {
    /// Returns the row deletes of a table that sections may still need, oldest first.
    pub fn deletes_of(&self, table: TableId) -> impl Iterator<Item = &RecordedDelete> {
        self.pending_deletes().filter(move |recorded| recorded.delete.table == table)
    }

    /// Returns the row deletes that sections may still need, oldest first.
    pub fn pending_deletes(&self) -> impl Iterator<Item = &RecordedDelete> {
        self.deletes.iter().filter(|recorded| recorded.dropped.is_none())
    }

    /// Returns the size of the row deletes that clients requested.
    pub fn delete_bytes(&self) -> DeleteBytes {
        let mut sum = DeleteBytes::default();
        for recorded in self.deletes.iter().filter(|recorded| !recorded.expiry) {
            sum.add(recorded.delete.stored_bytes(), recorded.dropped.is_some());
        }
        sum
    }

    /// Records in version `version` that all current rows of a table before a time have expired. Some of them have
    /// already been removed, so the others must not reappear when the table's retention period is extended. Rows that
    /// are written later are not affected.
    pub(crate) fn expire_rows(&mut self, table: TableId, before: i64, version: u64) {
        let Some(max) = before.checked_sub(1) else {
            return;
        };
        self.record_expiry(table, before, version);
        let stamp = Stamp::from_u64(self.low_water_mark.as_u64().saturating_add(1));
        let condition = Condition::Time { min: i64::MIN, max };
        let is_covered = |recorded: &RecordedDelete| {
            let bounds = recorded.delete.condition.time_bounds();
            recorded.expiry
                && recorded.delete.table == table
                && bounds.is_none_or(|(_, last)| last <= max)
        };
        for recorded in self.deletes.iter_mut().filter(|one| is_covered(one)) {
            recorded.dropped.get_or_insert(version);
        }
        self.deletes.push(RecordedDelete {
            stamp,
            delete: RowDelete { table, condition },
            added: version,
            dropped: None,
            expiry: true,
        });
    }

    /// Marks the deletes that no section needs any more as dropped in version `version`, and removes those that no
    /// section ever needed. `unmet` returns whether a delete applies to no section of any page.
    pub(crate) fn settle_deletes(&mut self, version: u64, unmet: impl Fn(&RecordedDelete) -> bool) {
        let Self { deletes, sections, pages, .. } = self;
        for recorded in deletes.iter_mut().filter(|one| one.dropped.is_none()) {
            let needed = sections.iter().any(|section| recorded.applies_to(section))
                || !unmet(recorded) && pages.iter().any(|page| recorded.may_apply_to_page(page));
            if !needed {
                recorded.dropped = Some(version);
            }
        }
        deletes.retain(|recorded| recorded.dropped != Some(recorded.added));
    }
}
