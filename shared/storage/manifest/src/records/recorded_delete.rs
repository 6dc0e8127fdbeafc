//! A row delete of a manifest.

use neap_bucket::Stamp;
use neap_row_delete::RowDelete;
use serde::{Deserialize, Serialize};

use crate::{PageRef, Section, TimeRange};

/// A row delete that a flush has recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedDelete {
    /// The stamp of the delete: its position in the order of all writes.
    pub stamp: Stamp,
    /// The rows that it removes.
    pub delete: RowDelete,
    /// The version of the manifest that recorded it.
    pub added: u64,
    /// The version from which on no section needs the delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Whether the delete stands for expired rows instead of a client request. Expired rows are removed with their
    /// sections.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expiry: bool,
}

impl RecordedDelete {
    /// Returns whether the delete may remove rows of a section.
    pub fn applies_to(&self, section: &Section) -> bool {
        self.delete.table == section.table
            && section.clean_upto() < self.stamp
            && section.may_hold(&self.delete.condition)
    }

    /// Returns whether both are the same delete.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.stamp, self.added, self.expiry) == (other.stamp, other.added, other.expiry)
            && self.delete == other.delete
    }

    pub(crate) fn may_apply_to_page(&self, page: &PageRef) -> bool {
        let bounds = self.delete.condition.time_bounds();
        page.may_hold(self.delete.table)
            && page.clean_upto < self.stamp
            && bounds.is_some_and(|(first, last)| page.meets(TimeRange { first, last }))
    }

    pub(crate) fn is_in_version(&self, version: u64) -> bool {
        self.added <= version && self.dropped.is_none_or(|dropped| version < dropped)
    }
}
