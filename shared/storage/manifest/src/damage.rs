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

use std::{fmt, ops::RangeInclusive, sync::Arc};

use neap_bucket::{CommitOutcome, Key, RegisterChange, SegmentName, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{Segment, TableSummary};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    Manifest, ManifestError, ManifestStore, ObjectName, PageRef, Section, TimeRange,
    replace::no_date,
};

/// Maximum number of damage records in a manifest. A flush stops below damage that it can't record.
pub const MAX_DAMAGE_RECORDS: usize = 1_000;

/// A damaged object, or the damaged part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamagedPart {
    /// A segment.
    Segment(SegmentName),
    /// A section: its object, whose name ends in `.parquet`, and its first byte.
    Section(Ulid, u64),
    /// A section: its bundle and its first byte.
    BundledSection(Ulid, u64),
    /// A page: its object and its first byte.
    Page(Ulid, u64),
}

impl DamagedPart {
    /// Returns the part that is a section.
    pub fn of_section(section: &Section) -> Self {
        match section.object_name() {
            ObjectName::Bundle(object) => Self::BundledSection(object, section.offset),
            ObjectName::Parquet(object) | ObjectName::Page(object) => {
                Self::Section(object, section.offset)
            }
        }
    }

    /// Returns the key of the object.
    pub fn key(self, database: DatabaseId) -> Key {
        match self {
            Self::Segment(name) => Key::Segment(database, name),
            Self::Section(object, _) => Key::Parquet(database, object),
            Self::BundledSection(object, _) => Key::Bundle(database, object),
            Self::Page(object, _) => Key::Page(database, object),
        }
    }

    /// Returns the object, if it contains sections or pages.
    pub(crate) fn object(self) -> Option<ObjectName> {
        match self {
            Self::Segment(_) => None,
            Self::Section(object, _) => Some(ObjectName::Parquet(object)),
            Self::BundledSection(object, _) => Some(ObjectName::Bundle(object)),
            Self::Page(object, _) => Some(ObjectName::Page(object)),
        }
    }
}

/// Rows that can't be read, of one table, or of several tables that share a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRows {
    /// The table, or the lowest of several.
    pub table: TableId,
    /// The highest of several tables. Rows of any table in the range may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_table: Option<TableId>,
    /// The number of rows.
    pub rows: u64,
    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub max_time: i64,
}

impl LostRows {
    /// Returns the rows of a section.
    pub fn of_section(section: &Section) -> Self {
        Self {
            table: section.table,
            last_table: None,
            rows: section.rows,
            min_time: section.min_time,
            max_time: section.max_time,
        }
    }

    /// Returns the rows of a page.
    pub fn of_page(page: &PageRef) -> Self {
        Self {
            table: page.table,
            last_table: page.last_table,
            rows: page.rows,
            min_time: page.min_time,
            max_time: page.max_time,
        }
    }

    /// Returns the range of tables that the rows may belong to.
    pub fn tables(&self) -> RangeInclusive<TableId> {
        self.table..=self.last_table.unwrap_or(self.table)
    }

    /// Returns whether rows of a table may be lost.
    pub fn may_be_of(&self, table: TableId) -> bool {
        self.tables().contains(&table)
    }
}

impl From<TableSummary> for LostRows {
    fn from(rows: TableSummary) -> Self {
        Self {
            table: rows.table,
            last_table: None,
            rows: rows.rows,
            min_time: rows.min_time,
            max_time: rows.max_time,
        }
    }
}

/// The quarantine of a damaged object by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The version of the manifest that quarantined the object.
    pub version: u64,
    /// Time of the quarantine, by the store's clock.
    pub time: StoreTime,
}

/// The record of a damaged object in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRecord {
    /// The damaged object or part.
    pub part: DamagedPart,
    /// The database that owns the object, if it is another one: a restored database inherits the damage records of its
    /// source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<DatabaseId>,
    /// The rows that can't be read. For a segment with a damaged header, the rows that the header claims.
    pub lost: Vec<LostRows>,
    /// The offsets of the damaged streams of a segment. If empty, the whole object is unreadable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<u32>,
    /// The first version of the manifest without the rows.
    pub since: u64,
    /// Set when an operator has quarantined the object: queries then ignore its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
}

impl DamageRecord {
    /// Adds further damaged streams of the same segment. The record is then no longer quarantined.
    fn extend(&mut self, later: Self) {
        let is_whole = self.streams.is_empty();
        let is_known = later.streams.iter().all(|one| self.streams.contains(one));
        if is_whole || is_known {
            return;
        }
        self.streams.extend(later.streams);
        self.streams.sort_unstable();
        self.streams.dedup();
        self.lost.extend(later.lost);
        self.quarantine = None;
    }

    /// Creates a record of the damaged streams of a segment.
    pub fn of_streams(segment: &Segment) -> Self {
        Self {
            part: DamagedPart::Segment(segment.name()),
            origin: None,
            lost: segment.damaged_rows().into_iter().map(From::from).collect(),
            streams: segment.damaged_streams().map(|one| one.offset).collect(),
            since: 0,
            quarantine: None,
        }
    }

    /// Creates a record of a whole object.
    pub fn of_object(part: DamagedPart, lost: Vec<LostRows>, since: u64) -> Self {
        Self {
            part,
            origin: None,
            lost,
            streams: Vec::new(),
            since,
            quarantine: None,
        }
    }

    /// Returns whether a segment is wholly unreadable, so that its rows are only those that its damaged header claims.
    pub fn is_claim(&self) -> bool {
        matches!(self.part, DamagedPart::Segment(_)) && self.streams.is_empty()
    }

    /// Returns the key of the object.
    pub fn key(&self, database: DatabaseId) -> Key {
        self.part.key(self.origin.unwrap_or(database))
    }

    /// Returns the name that operators use: the key, and the offset of a section or page.
    pub fn name(&self, database: DatabaseId) -> String {
        match self.part {
            DamagedPart::Segment(_) => self.key(database).to_string(),
            DamagedPart::Section(_, offset)
            | DamagedPart::BundledSection(_, offset)
            | DamagedPart::Page(_, offset) => {
                format!("{}@{offset}", self.key(database))
            }
        }
    }

    fn lacks(&self, table: TableId, times: TimeRange) -> bool {
        let mut lost = self.lost.iter();
        lost.any(|rows| rows.may_be_of(table) && times.meets(rows.min_time, rows.max_time))
    }
}

/// Requested rows can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamageError {
    /// The object, by the name that operators use.
    pub name: String,
    /// The name of the table.
    pub table: String,
    /// The number of rows that can't be read.
    pub rows: u64,
}

impl fmt::Display for DamageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, table, rows } = self;
        write!(
            f,
            "'{name}' is damaged: {rows} rows of table '{table}' can't be read; `neap fsck --quarantine {name}` \
             shows what is lost"
        )
    }
}

impl std::error::Error for DamageError {}

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

    /// Returns whether a collector keeps a segment because it is damaged.
    pub fn keeps_segment(&self, name: SegmentName) -> bool {
        self.damage_of(DamagedPart::Segment(name)).is_some()
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
                None => self.damage.push(DamageRecord {
                    since: version,
                    ..record
                }),
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
            None => self.damage.push(DamageRecord {
                quarantine,
                ..record
            }),
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
