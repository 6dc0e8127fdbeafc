//! The times of a table whose rows have changed since an earlier version of the manifest.
//!
//! ```text
//!   version 7, mark M                          version 12
//!   |-- flush ---- flush ---- merge of all ----|
//!       section    section    (with older rows)
//!       above M    above M    above < M: its inputs above M are still recorded
//! ```
//!
//! New rows come with a flush, whose section has an interval above the mark. A merge may replace the section by one with
//! older rows, but its record stays as long as an earlier version can be read. The same applies to row deletes. So if
//! the earlier version can still be read, no section has to be read to find the changes. Expired rows are no change.

use neap_bucket::{Stamp, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};

use crate::{
    Manifest, ManifestError, ManifestStore, PageRef, RecordedDelete, Section, TableExpiry,
    TimeRange, condemned::DroppedItem,
};

/// A version of a manifest, and its low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPoint {
    /// The version.
    pub version: u64,
    /// The low-water mark.
    pub mark: Stamp,
}

impl ManifestPoint {
    /// Returns the point of a manifest.
    pub fn from_manifest(manifest: &VersionedValue<Manifest>) -> Self {
        Self {
            version: manifest.version,
            mark: manifest.value.low_water_mark,
        }
    }
}

/// The changes of a table since a [`ManifestPoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChanges {
    /// All changed rows have times in these ranges.
    Times {
        /// The times of new rows.
        written: Vec<TimeRange>,
        /// The times of rows that clients may have deleted. A range may have no bounds.
        deleted: Vec<TimeRange>,
    },
    /// The changes are no longer recorded: any row may have changed.
    Unknown,
}

impl Manifest {
    /// Returns whether the changes of a table since a point are still recorded.
    fn records_changes_since(
        current: &VersionedValue<Self>,
        table: TableId,
        since: ManifestPoint,
    ) -> bool {
        // Wrong times of sections were corrected.
        let is_corrected = |expiry: &TableExpiry| {
            expiry.table == table && expiry.before == i64::MAX && expiry.version > since.version
        };
        // A smaller version or mark is that of a bucket that was replaced by an older copy.
        since.version >= current.value.oldest_readable
            && since.version <= current.version
            && since.mark <= current.value.low_water_mark
            && !current.value.expiries.iter().any(is_corrected)
    }

    /// Returns the time before which rows of a table have expired and may be removed, in nanoseconds since the epoch.
    pub fn expired_before(&self, table: TableId) -> Option<i64> {
        let recorded = self.expiries.iter().filter_map(|expiry| {
            let is_expiry = expiry.table == table && expiry.before < i64::MAX;
            is_expiry.then_some(expiry.before)
        });
        let pending =
            self.deletes_of(table)
                .filter(|recorded| recorded.expiry)
                .filter_map(|recorded| {
                    let (_, last) = recorded.delete.condition.time_bounds()?;
                    last.checked_add(1)
                });
        recorded.chain(pending).max()
    }
}

impl ManifestStore {
    /// Returns the times of rows of a table that have changed since an earlier point: new rows, and rows that clients
    /// have deleted. The ranges may also have times without changes. Reads only pages with sections above the mark.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn changes_since(
        &self,
        database: DatabaseId,
        current: &VersionedValue<Manifest>,
        table: TableId,
        since: ManifestPoint,
    ) -> Result<TableChanges, ManifestError> {
        if !Manifest::records_changes_since(current, table, since) {
            return Ok(TableChanges::Unknown);
        }
        let manifest = &current.value;
        let is_new = |section: &Section| {
            section.table == table && section.above >= since.mark && section.upto > since.mark
        };
        let times_of =
            |section: &Section| TimeRange { first: section.min_time, last: section.max_time };
        let mut written = Vec::new();
        let mut pages: Vec<&PageRef> = manifest.pages.iter().collect();
        for section in manifest.sections.iter().filter(|one| is_new(one)) {
            written.push(times_of(section));
        }
        for entry in &manifest.condemned {
            match &entry.what {
                DroppedItem::Section(section) if is_new(section) => written.push(times_of(section)),
                DroppedItem::Page(page) => pages.push(page),
                DroppedItem::Section(_) | DroppedItem::Object(_) => {}
            }
        }
        let has_new = |page: &&&PageRef| page.may_hold(table) && page.upto > since.mark;
        for page in pages.iter().filter(has_new) {
            let sections = self.page(database, page).await?;
            let new = sections.iter().filter(|one| is_new(&one.section));
            written.extend(new.map(|one| times_of(&one.section)));
        }
        let is_new = |recorded: &&RecordedDelete| {
            recorded.delete.table == table && recorded.stamp > since.mark && !recorded.expiry
        };
        let deletes = manifest.deletes.iter().filter(is_new);
        let bounds = deletes.filter_map(|recorded| recorded.delete.condition.time_bounds());
        let deleted = bounds.map(|(first, last)| TimeRange { first, last }).collect();
        Ok(TableChanges::Times { written, deleted })
    }

    /// Returns the times of all rows of a table, one range for each section. Reads all pages with sections of the table.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn section_times(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        table: TableId,
    ) -> Result<Vec<TimeRange>, ManifestError> {
        let sections = self
            .load_sections(database, manifest, table, TimeRange::ALL)
            .await?
            .into_iter()
            .map(|found| TimeRange { first: found.section.min_time, last: found.section.max_time });
        Ok(sections.collect())
    }
}
