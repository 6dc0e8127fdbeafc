//! Records of damaged objects: the rows that they held, and whether an operator has quarantined them.
//!
//! ```text
//!   a flush finds a damaged stream --> reported --- an operator quarantines it ---> quarantined
//!        (the mark passes it)              |                                            |
//!                queries of these rows fail, naming the object            queries ignore these rows
//! ```
//!
//! The object is kept in both states: a collector never deletes it. Damaged segments above the mark, sections and pages
//! without a record are reported by the reads that encounter them.

use std::sync::Arc;

use neap_bucket::{CommitOutcome, RegisterChange, SegmentName, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use neap_wal::Segment;

use crate::{
    DamageRecord, DamagedPart, Manifest, ManifestError, ManifestStore, ObjectName, Quarantine,
    TimeRange, error::no_date,
};

/// Maximum number of damage records in a manifest. A flush stops below damage that it can't record.
pub const MAX_DAMAGE_RECORDS: usize = 1_000;

/// Requested rows can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is damaged: {rows} rows of table '{table}' can't be read; `neap fsck --quarantine {name}` shows what is lost"
)]
pub struct DamageError {
    /// The object, by the name that operators use.
    pub name: String,
    /// The name of the table.
    pub table: String,
    /// The number of rows that can't be read.
    pub rows: u64,
}

impl Manifest {
    /// Checks that all rows of a table with times in `times` can be read.
    ///
    /// # Errors
    /// Some rows are in a damaged object that is not quarantined.
    pub fn check_intact(
        &self,
        database: DatabaseId,
        (table, name): (TableId, &str),
        times: TimeRange,
    ) -> Result<(), DamageError> {
        let mut reported = self.reported_damage();
        let Some(record) = reported.find(|one| one.lacks(table, times)) else {
            return Ok(());
        };
        let lost = record.lost.iter().filter(|rows| rows.may_be_of(table));
        Err(DamageError {
            name: record.name(database),
            table: name.to_owned(),
            rows: lost.map(|rows| rows.rows).sum(),
        })
    }

    /// Returns the record of a damaged object of this database.
    pub fn damage_of(&self, part: DamagedPart) -> Option<&DamageRecord> {
        let mut own = self.damage.iter().filter(|one| one.origin.is_none());
        own.find(|one| one.part == part)
    }

    /// Returns the records of damaged objects that are not quarantined.
    pub fn reported_damage(&self) -> impl Iterator<Item = &DamageRecord> {
        self.damage.iter().filter(|one| one.quarantine.is_none())
    }

    /// Returns whether a segment is quarantined as a whole.
    pub fn is_quarantined(&self, name: SegmentName) -> bool {
        let record = self.damage_of(DamagedPart::Segment(name));
        record.is_some_and(|one| one.quarantine.is_some() && one.streams.is_empty())
    }

    /// Returns a segment without its quarantined streams; `None` if the whole segment is quarantined.
    pub fn admit(&self, segment: &Arc<Segment>) -> Option<Arc<Segment>> {
        let record = self.damage_of(DamagedPart::Segment(segment.name()));
        match record.filter(|one| one.quarantine.is_some()) {
            None => Some(Arc::clone(segment)),
            Some(record) if record.streams.is_empty() => None,
            Some(record) => Some(Arc::new(segment.without_streams(&record.streams))),
        }
    }

    /// Returns the newest version in which an operator quarantined an object; 0 if there is none.
    pub fn last_quarantine(&self) -> u64 {
        let versions = self.damage.iter().filter_map(|one| one.quarantine);
        versions.map(|one| one.version).max().unwrap_or(0)
    }

    /// Returns whether a collector keeps a segment because it is damaged or not yet shipped.
    pub fn keeps_segment(&self, name: SegmentName) -> bool {
        let shipping = self.shipping.as_ref();
        self.damage_of(DamagedPart::Segment(name)).is_some()
            || shipping.is_some_and(|hold| name.stamp > hold.shipped)
    }

    /// Returns the bundles and pages of this database that are kept because they are damaged.
    pub fn damaged_objects(&self) -> impl Iterator<Item = ObjectName> {
        let own = self.damage.iter().filter(|one| one.origin.is_none());
        own.filter_map(|one| one.part.object())
    }

    /// Returns the number of damage records that can still be added.
    pub fn room_for_damage(&self) -> usize {
        MAX_DAMAGE_RECORDS.saturating_sub(self.damage.len())
    }

    /// Records damage in version `version`. A quarantined object stays quarantined unless further streams are damaged.
    pub(crate) fn record_damage(
        &mut self,
        records: impl IntoIterator<Item = DamageRecord>,
        version: u64,
    ) {
        for record in records {
            let mut own = self.damage.iter_mut().filter(|one| one.origin.is_none());
            match own.find(|one| one.part == record.part) {
                Some(known) => known.extend(record),
                None => self.damage.push(DamageRecord { since: version, ..record }),
            }
        }
    }

    /// Quarantines an object in version `version`.
    pub(crate) fn quarantine_object(
        &mut self,
        record: DamageRecord,
        version: u64,
        time: StoreTime,
    ) {
        let quarantine = Some(Quarantine { version, time });
        let known = self
            .damage
            .iter_mut()
            .find(|one| one.part == record.part && one.origin == record.origin);
        match known {
            Some(known) => known.quarantine = known.quarantine.or(quarantine),
            None => self.damage.push(DamageRecord { quarantine, ..record }),
        }
    }

    /// Returns the damage records of version `version`, as they were then.
    pub(crate) fn damage_in(&self, version: u64) -> Vec<DamageRecord> {
        let known = self.damage.iter().filter(|one| one.since <= version);
        let as_then = known.map(|one| DamageRecord {
            quarantine: one.quarantine.filter(|it| it.version <= version),
            ..one.clone()
        });
        as_then.collect()
    }
}

/// A quarantine failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The manifest no longer references the part, or concurrent commits keep changing it.
    #[error("the manifest no longer references it; run the check again")]
    Changed,
    /// The manifest has the maximum number of damage records.
    #[error("the manifest has the maximum of {MAX_DAMAGE_RECORDS} damage records")]
    Full,
    /// The manifest could not be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl ManifestStore {
    /// Quarantines a damaged segment or page, or an object with a damage record: queries ignore its rows, and the
    /// object is kept.
    ///
    /// # Errors
    /// [`QuarantineError::Changed`] if the manifest does not reference the page, or a flush has included the segment.
    /// Otherwise an error of the store.
    pub async fn quarantine(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        record: &DamageRecord,
    ) -> Result<VersionedValue<Manifest>, QuarantineError> {
        let time = self.bucket.clock().now().ok_or_else(no_date)?;
        let change = |base: &VersionedValue<Manifest>| {
            let (next, version) = (Manifest::successor(base), base.version + 1);
            match next.quarantine_part(record, version, time) {
                Ok(next) => Ok(RegisterChange::Put(next, ())),
                Err(error) => Err(error),
            }
        };
        let register = self.register(database);
        let commit = register.commit(Some(base), change).await;
        match commit.map_err(ManifestError::from)? {
            CommitOutcome::Committed { current, .. } => Ok(current),
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => {
                Err(ManifestError::OutcomeUnknown { reason }.into())
            }
        }
    }
}

impl Manifest {
    fn quarantine_part(
        mut self,
        record: &DamageRecord,
        version: u64,
        time: StoreTime,
    ) -> Result<Self, QuarantineError> {
        let is_recorded = self
            .damage
            .iter()
            .any(|one| one.part == record.part && one.origin == record.origin);
        if !is_recorded && self.room_for_damage() == 0 {
            return Err(QuarantineError::Full);
        }
        match record.part {
            _ if is_recorded => {}
            DamagedPart::Segment(name) if name.stamp > self.low_water_mark => {}
            DamagedPart::Page(object, offset) => {
                let place = (object, offset);
                let before = self.pages.len() + self.condemned.len();
                self.pages.retain(|page| page.place() != place);
                self.condemned.retain(|entry| !entry.is_page(place));
                if before == self.pages.len() + self.condemned.len() {
                    return Err(QuarantineError::Changed);
                }
                for rows in &record.lost {
                    self.distrust_caches_in(&rows.tables(), version);
                }
            }
            DamagedPart::Segment(_)
            | DamagedPart::Section(..)
            | DamagedPart::BundledSection(..) => {
                return Err(QuarantineError::Changed);
            }
        }
        let record = DamageRecord {
            // A segment above the mark belongs to no earlier version.
            since: match record.part {
                DamagedPart::Segment(_) => version,
                DamagedPart::Section(..)
                | DamagedPart::BundledSection(..)
                | DamagedPart::Page(..) => record.since,
            },
            ..record.clone()
        };
        self.quarantine_object(record, version, time);
        self.settle_deletes(version, |_| false);
        Ok(self)
    }
}
