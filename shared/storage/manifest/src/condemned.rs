//! The dropped items that a manifest still records.
//!
//! ```text
//!   live --- a commit drops it ---> condemned --- older than the time-travel period ---> doomed
//!                                       |                                                  |
//!                       earlier versions still read it           its object is deleted, then the entry is removed
//! ```
//!
//! Only an object that a *committed* manifest marks as doomed is deleted, and a doomed object is never referenced
//! again. So a collector may stop between any two steps, and collectors with different settings do no harm. The entry of a
//! bundle as a whole may be doomed while sections of the bundle are live or can be read. These keep the object.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{ObjectName, PageRef, Section, page::PageLocation, section::SectionLocation};

/// A dropped item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DroppedItem {
    /// A section.
    Section(Arc<Section>),
    /// A page with all its sections. Sections that were dropped earlier have their own `dropped` version.
    Page(PageRef),
    /// An object that no version ever referenced, or whose contents were rewritten to another object; or a bundle whose
    /// live sections merges move to other objects, because its dropped sections may have deleted rows.
    Object(ObjectName),
}

/// The manifest's entry for a dropped item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedEntry {
    /// The dropped item.
    pub what: DroppedItem,
    /// The version of the manifest that dropped the item; for a bundle that has to be emptied, the one that applied the row
    /// delete.
    pub version: u64,
    /// The first version that dropped a section of the item, if it is a page of sections that several versions dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_version: Option<u64>,
    /// Commit time of that version, by the store's clock. The next commit fills it in. For a bundle that has to be emptied,
    /// the time at which a collector found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<StoreTime>,
    /// Whether the time-travel period is over: no version can read the item, and its object may be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doomed: bool,
}

/// The identity of an entry in a manifest: the dropped item, and the version that dropped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CondemnedKey {
    Section(SectionLocation, u64),
    Page(PageLocation, u64),
    Object(ObjectName, u64),
}

impl CondemnedEntry {
    pub(crate) fn key(&self) -> CondemnedKey {
        match &self.what {
            DroppedItem::Section(section) => CondemnedKey::Section(section.place(), self.version),
            DroppedItem::Page(page) => CondemnedKey::Page(page.place(), self.version),
            DroppedItem::Object(name) => CondemnedKey::Object(*name, self.version),
        }
    }

    /// Returns the first version that may have had the item; `None` for an object, which no version references
    /// directly.
    pub(crate) fn first_added(&self) -> Option<u64> {
        match &self.what {
            DroppedItem::Section(section) => Some(section.added),
            DroppedItem::Page(page) => Some(page.first_added),
            DroppedItem::Object(_) => None,
        }
    }

    /// Returns whether a version may have had the item.
    pub(crate) fn may_be_in(&self, version: u64) -> bool {
        let added = self.first_added();
        added.is_some_and(|added| added <= version && version < self.version)
    }

    /// Returns the bundle if the item is a bundle as a whole.
    pub fn bundle(&self) -> Option<Ulid> {
        match self.what {
            DroppedItem::Object(ObjectName::Bundle(bundle)) => Some(bundle),
            _ => None,
        }
    }

    /// Returns whether the item is the page at this location.
    pub(crate) fn is_page(&self, place: PageLocation) -> bool {
        matches!(&self.what, DroppedItem::Page(page) if page.place() == place)
    }

    pub(crate) fn new(what: DroppedItem, version: u64) -> Self {
        Self {
            what,
            version,
            first_version: None,
            committed: None,
            doomed: false,
        }
    }

    /// Returns the objects of this database that the entry references. `sections` are those of the page, if the item is
    /// one.
    pub(crate) fn names<'a>(
        &'a self,
        sections: impl IntoIterator<Item = &'a Section>,
    ) -> BTreeSet<ObjectName> {
        let own = |section: &Section| match section.origin {
            None => Some(section.object_name()),
            Some(_) => None,
        };
        match &self.what {
            DroppedItem::Section(section) => own(section).into_iter().collect(),
            DroppedItem::Page(page) => sections
                .into_iter()
                .filter_map(own)
                .chain([ObjectName::Page(page.object)])
                .collect(),
            DroppedItem::Object(name) => BTreeSet::from([*name]),
        }
    }
}
