//! What a manifest no longer names and still remembers.
//!
//! ```text
//!   live --- a commit drops it ---> condemned --- older than the time-travel period ---> doomed
//!                                       |                                                  |
//!                       earlier versions are read with it             its object is deleted, then it leaves
//! ```
//!
//! Only an object that a *committed* manifest calls doomed is deleted, and nothing that is doomed is ever
//! named again: so a collector may be frozen between any two steps, and collectors with other settings do
//! no harm.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::{Key, StoreTime};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{PageRef, Section, page::PagePlace, section::SectionPlace};

/// The name of an object of a database, without the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectName {
    /// An object whose name ends in `.parquet`: one section, or a bundle of an earlier release, which called all
    /// objects of sections so.
    #[serde(rename = "bundle")]
    Parquet(Ulid),
    /// A bundle of several sections.
    #[serde(rename = "section_bundle")]
    Bundle(Ulid),
    /// An object with pages.
    Page(Ulid),
}

impl ObjectName {
    /// The key of the object.
    pub fn key(self, database: DatabaseId) -> Key {
        match self {
            Self::Parquet(ulid) => Key::Parquet(database, ulid),
            Self::Bundle(ulid) => Key::Bundle(database, ulid),
            Self::Page(ulid) => Key::Page(database, ulid),
        }
    }

    /// The name in a key; `None` if it is not one of a data object.
    pub fn of_key(key: &Key) -> Option<(DatabaseId, Self)> {
        match key {
            Key::Parquet(database, ulid) => Some((*database, Self::Parquet(*ulid))),
            Key::Bundle(database, ulid) => Some((*database, Self::Bundle(*ulid))),
            Key::Page(database, ulid) => Some((*database, Self::Page(*ulid))),
            _ => None,
        }
    }
}

/// What was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// A section.
    Section(Arc<Section>),
    /// A page with all its sections. Those that were dropped before it say so themselves.
    Page(PageRef),
    /// An object that no version ever named, or whose contents were written anew.
    Object(ObjectName),
}

/// An entry for what was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// What was dropped.
    pub what: Dropped,
    /// The version of the manifest that dropped it.
    pub version: u64,
    /// When that version was committed, by the store's clock; filled in by the commit that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<StoreTime>,
    /// Whether the time is over in which it can be read: its object may go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doomed: bool,
}

/// What tells entries of a manifest apart: what was dropped, and by which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EntryKey {
    Section(SectionPlace, u64),
    Page(PagePlace, u64),
    Object(ObjectName, u64),
}

impl Condemned {
    pub(crate) fn key(&self) -> EntryKey {
        match &self.what {
            Dropped::Section(section) => EntryKey::Section(section.place(), self.version),
            Dropped::Page(page) => EntryKey::Page(page.place(), self.version),
            Dropped::Object(name) => EntryKey::Object(*name, self.version),
        }
    }

    /// The first version that may have had it; `None` for an object, which no version names by itself.
    pub(crate) fn first_added(&self) -> Option<u64> {
        match &self.what {
            Dropped::Section(section) => Some(section.added),
            Dropped::Page(page) => Some(page.first_added),
            Dropped::Object(_) => None,
        }
    }

    /// Whether a version may have had it.
    pub(crate) fn may_be_in(&self, version: u64) -> bool {
        let added = self.first_added();
        added.is_some_and(|added| added <= version && version < self.version)
    }

    /// Whether it is the page at this place.
    pub(crate) fn is_page(&self, place: PagePlace) -> bool {
        matches!(&self.what, Dropped::Page(page) if page.place() == place)
    }

    pub(crate) fn new(what: Dropped, version: u64) -> Self {
        Self {
            what,
            version,
            committed: None,
            doomed: false,
        }
    }

    /// The objects of this database that the entry names. `sections` are those of the page, if it is one.
    pub(crate) fn names<'a>(
        &'a self,
        sections: impl IntoIterator<Item = &'a Section>,
    ) -> BTreeSet<ObjectName> {
        let own = |section: &Section| match section.origin {
            None => Some(section.object_name()),
            Some(_) => None,
        };
        match &self.what {
            Dropped::Section(section) => own(section).into_iter().collect(),
            Dropped::Page(page) => sections
                .into_iter()
                .filter_map(own)
                .chain([ObjectName::Page(page.object)])
                .collect(),
            Dropped::Object(name) => BTreeSet::from([*name]),
        }
    }
}
