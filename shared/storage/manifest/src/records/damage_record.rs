//! The record of a damaged object.

use std::ops::RangeInclusive;

use neap_bucket::{Key, SegmentName, StoreTime};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{Segment, TableSummary};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{ObjectName, PageRef, Section, TimeRange};

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
    pub(crate) fn extend(&mut self, later: Self) {
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

    pub(crate) fn lacks(&self, table: TableId, times: TimeRange) -> bool {
        let mut lost = self.lost.iter();
        lost.any(|rows| rows.may_be_of(table) && times.meets(rows.min_time, rows.max_time))
    }
}
