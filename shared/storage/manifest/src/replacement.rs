//! Replacements of sections, and the checks that their parts are consistent.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::{Bucket, StoreTime};
use neap_schema::TableId;
use ulid::Ulid;

use crate::{
    DamageRecord, JobKind, JobRecord, ManifestError, PageRef, PendingObject, Section,
    SectionBounds, section::SectionLocation,
};

/// The replacement of sections of one table by others, as a job commits it.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The table.
    pub table: TableId,
    /// The sections to remove: the inputs.
    pub remove: Vec<Arc<Section>>,
    /// The sections to add: the outputs. Each lies within the days and the stamp interval of the inputs.
    pub add: Vec<Section>,
    /// The object with the outputs.
    pub object: Option<PendingObject>,
    /// The expiry time: current rows of the table before it are expired.
    pub floor: Option<i64>,
    /// The claim that ends with the commit.
    pub claim: Option<Ulid>,
    /// The record of the job.
    pub job: JobRecord,
}

impl Replacement {
    /// Creates the removal of sections of one table, of which only the manifest is read and written; `None` if there are
    /// no sections.
    pub fn removal(bucket: &Bucket, kind: JobKind, remove: Vec<Arc<Section>>) -> Option<Self> {
        let table = remove.first().map(|section| section.table)?;
        let now = bucket.clock().now().unwrap_or_default();
        Some(Self {
            table,
            add: Vec::new(),
            object: None,
            floor: None,
            claim: None,
            job: JobRecord {
                table: Some(table),
                inputs: u32::try_from(remove.len()).unwrap_or(u32::MAX),
                bytes_in: remove.iter().map(|section| section.length).sum(),
                ..JobRecord::new(bucket.draw_ulid(), kind, now)
            },
            remove,
        })
    }
}

/// A replacement was refused permanently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceRefusal {
    /// A concurrent commit has removed an input.
    #[error("an input is gone")]
    InputsGone,
    /// A section that is not an input lies between the inputs.
    #[error("another section lies between the inputs")]
    NotClosed,
    /// The object's name was drawn too long ago, or the object is condemned as an orphan.
    #[error("the object's name was drawn too long ago")]
    ObjectTooOld,
    /// Concurrent commits moved the inputs in every attempt.
    #[error("concurrent commits moved the inputs in every attempt")]
    Busy,
}

/// A validated replacement: its parts are consistent.
pub(crate) struct ValidatedReplacement<'a> {
    pub(crate) what: &'a Replacement,
    /// The damage records of sections that are quarantined, with the times.
    pub(crate) damage: &'a [(DamageRecord, StoreTime)],
    pub(crate) inputs: BTreeSet<SectionLocation>,
    /// The bounds of all inputs.
    pub(crate) bounds: SectionBounds,
}

impl Replacement {
    pub(crate) fn check<'a>(
        &'a self,
        damage: &'a [(DamageRecord, StoreTime)],
    ) -> Result<ValidatedReplacement<'a>, ManifestError> {
        let impossible = |reason: String| ManifestError::InvalidCommit { reason };
        let bounds = self
            .remove
            .iter()
            .map(|section| section.bounds())
            .reduce(SectionBounds::union)
            .ok_or_else(|| impossible("a replacement has no inputs".to_owned()))?;
        if let Some(stranger) = self.remove.iter().find(|one| one.table != self.table) {
            return Err(impossible(format!("an input belongs to another table: {stranger:?}")));
        }
        let inputs: BTreeSet<_> = self.remove.iter().map(|section| section.place()).collect();
        if inputs.len() < self.remove.len() {
            return Err(impossible("an input is listed twice".to_owned()));
        }
        let object = self.object.map(|object| object.ulid);
        let fits = |section: &Section| {
            section.table == self.table
                && bounds.contains(&section.bounds())
                && Some(section.object) == object
                && section.origin.is_none()
        };
        if let Some(stranger) = self.add.iter().find(|section| !fits(section)) {
            return Err(impossible(format!(
                "an output is outside the bounds of the inputs: {stranger:?}"
            )));
        }
        Ok(ValidatedReplacement { what: self, damage, inputs, bounds })
    }
}

impl ValidatedReplacement<'_> {
    /// Returns whether a section has a day and a stamp within the bounds of the inputs.
    pub(crate) fn overlaps(&self, section: &Section) -> bool {
        section.table == self.what.table && self.bounds.overlaps(&section.bounds())
    }

    /// Returns whether sections of a page may overlap the inputs.
    pub(crate) fn overlaps_page(&self, page: &PageRef) -> bool {
        page.may_hold(self.what.table) && self.bounds.overlaps(&page.bounds())
    }

    /// Returns whether no other section may lie within the bounds of the inputs, because the replacement has outputs.
    pub(crate) fn excludes_other_sections(&self) -> bool {
        !self.what.add.is_empty()
    }
}

/// The replacements of one commit.
pub(crate) struct ReplacementBatch<'a> {
    pub(crate) all: Vec<ValidatedReplacement<'a>>,
    /// The refusals, by index.
    pub(crate) refused: Vec<Option<ReplaceRefusal>>,
    /// Further claims that end with the commit.
    pub(crate) release: &'a [Ulid],
}

impl<'a> ReplacementBatch<'a> {
    pub(crate) fn new(
        all: Vec<ValidatedReplacement<'a>>,
        release: &'a [Ulid],
    ) -> Result<Self, ManifestError> {
        let inputs = || all.iter().flat_map(|one| &one.inputs);
        if inputs().collect::<BTreeSet<_>>().len() < inputs().count() {
            let reason = "two replacements share an input".to_owned();
            return Err(ManifestError::InvalidCommit { reason });
        }
        Ok(Self { refused: vec![None; all.len()], all, release })
    }

    /// Returns the replacements that are not refused, with their indexes.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (usize, &ValidatedReplacement<'a>)> {
        let refused = self.refused.iter();
        let all = self.all.iter().zip(refused).enumerate();
        all.filter_map(|(number, (one, refused))| refused.is_none().then_some((number, one)))
    }
}
