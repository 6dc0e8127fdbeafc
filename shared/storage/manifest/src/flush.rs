//! The commit of a flush: adds sections and raises the mark.
//!
//! ```text
//!   flush                                     store
//!     |-- read the manifest: mark L ------------> |
//!     |-- list and fetch the tail above L ------> |
//!     |-- put the bundle -----------------------> |   crash after: an orphan
//!     |-- commit: sections of (L, cut], mark cut > |   only if the mark is still L
//! ```
//!
//! If a concurrent flush has raised the mark, its sections contain the segments, and this flush is abandoned.

use std::collections::BTreeSet;

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, VersionedValue};
use neap_row_delete::RowDelete;
use neap_schema::{CacheId, DatabaseId, TableId};
use neap_wal::{ImportProgress, TailState};

use crate::{
    CacheUpdate, DamageRecord, JobRecord, Manifest, ManifestError, ManifestStore, PendingObject,
    RecordedDelete, Section, dropped_sections::DroppedSections, spill::PageSpill,
};

/// The content of a flush's commit.
#[derive(Clone, Debug)]
pub struct FlushCommit {
    /// *L*: the low-water mark from which the flush started.
    pub read_mark: Stamp,
    /// The new mark: the sections contain every segment of (L, cut].
    pub cut: Stamp,
    /// The sections, each with the interval (L, cut]; empty if the segments leave no rows.
    pub sections: Vec<Section>,
    /// The highest version of the database catalog that a segment needs.
    pub needs_catalog: u64,
    /// The object with the sections.
    pub object: Option<PendingObject>,
    /// The row deletes among the segments, with their stamps, in order. They are already applied to the sections.
    pub deletes: Vec<(Stamp, RowDelete)>,
    /// The progress of import jobs in the segments, with their stamps.
    pub imports: Vec<(Stamp, ImportProgress)>,
    /// The segments with damaged streams. The rows of these streams are in no section.
    pub damage: Vec<DamageRecord>,
    /// The new cache entries of tables that have rows or deletes among the segments. Cache entries of these tables
    /// without an update are removed.
    pub caches: Vec<CacheUpdate>,
    /// The dropped caches, and the caches of dropped tables.
    pub gone_caches: BTreeSet<CacheId>,
    /// The state of the tail after the flush.
    pub tail: Option<TailState>,
    /// The record of the job.
    pub job: JobRecord,
}

impl FlushCommit {
    /// Creates the commit of a flush that only raises the mark.
    pub fn new(read_mark: Stamp, cut: Stamp, job: JobRecord) -> Self {
        Self {
            read_mark,
            cut,
            sections: Vec::new(),
            needs_catalog: 0,
            object: None,
            deletes: Vec::new(),
            imports: Vec::new(),
            damage: Vec::new(),
            caches: Vec::new(),
            gone_caches: BTreeSet::new(),
            tail: None,
            job,
        }
    }
}

/// A flush was abandoned without a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitAbandoned {
    /// The cut is not above the mark.
    #[error("there is nothing to flush")]
    NothingToFlush,
    /// A concurrent flush has raised the mark.
    #[error("the mark has moved to {mark}")]
    MarkMoved {
        /// The current mark.
        mark: Stamp,
    },
    /// The object's name was drawn more than [`OBJECT_NAME_AGE`](crate::OBJECT_NAME_AGE) ago.
    #[error("the object's name was drawn too long ago")]
    ObjectTooOld,
}

/// Outcome of the commit of a flush.
#[derive(Clone, Debug)]
pub enum FlushOutcome {
    /// The sections are in the manifest. Contains the newest known manifest.
    Committed(VersionedValue<Manifest>),
    /// Nothing was committed, and the object is an orphan.
    GivenUp(CommitAbandoned),
    /// The outcome is unknown.
    Unknown {
        /// Description of the cause.
        reason: String,
    },
}

impl FlushCommit {
    /// Checks that the parts are consistent.
    fn check(&self) -> Result<(), ManifestError> {
        let object = self.object.map(|object| object.ulid);
        let (mark, cut) = (self.read_mark, self.cut);
        let fail = |reason: String| Err(ManifestError::InvalidCommit { reason });
        let in_bundle = self.sections.len() > 1;
        let is_strange = |section: &&Section| {
            let interval = (section.above, section.upto) == (mark, cut);
            let is_named = Some(section.object) == object && section.in_bundle == in_bundle;
            !is_named || section.origin.is_some() || !interval
        };
        if let Some(section) = self.sections.iter().find(is_strange) {
            return fail(format!(
                "a section is not in object {object:?} or not of interval ({mark}, {cut}]: {section:?}"
            ));
        }
        match self.deletes.iter().find(|(stamp, _)| *stamp <= mark || cut < *stamp) {
            Some((stamp, _)) => {
                fail(format!("the stamp {stamp} of a delete is outside ({mark}, {cut}]"))
            }
            None => Ok(()),
        }
    }

    /// Returns the tables whose rows the flush changes.
    fn touched(&self) -> BTreeSet<TableId> {
        let written = self.sections.iter().map(|section| section.table);
        let deleted = self.deletes.iter().map(|(_, delete)| delete.table);
        written.chain(deleted).collect()
    }

    /// Returns the manifest after the flush.
    fn apply(
        &self,
        base: &VersionedValue<Manifest>,
        spill: Option<&PageSpill>,
        dropped_sections: Option<&DroppedSections>,
    ) -> Result<Manifest, CommitAbandoned> {
        let mark = base.value.low_water_mark;
        if mark != self.read_mark {
            return Err(CommitAbandoned::MarkMoved { mark });
        }
        if self.object.is_some_and(|object| !object.may_be_named(base)) {
            return Err(CommitAbandoned::ObjectTooOld);
        }
        let mut next = Manifest::successor(base);
        if let Some(spill) = spill {
            spill.apply(base, &mut next);
        }
        if let Some(dropped_sections) = dropped_sections {
            dropped_sections.apply(base, &mut next);
        }
        let version = base.version + 1;
        let deletes = self.deletes.iter().map(|(stamp, delete)| RecordedDelete {
            stamp: *stamp,
            delete: delete.clone(),
            added: version,
            dropped: None,
            expiry: false,
        });
        next.deletes.extend(deletes);
        next.record_damage(self.damage.iter().cloned(), version);
        next.settle_deletes(version, |_| false);
        next.add_sections(self.sections.iter().cloned(), version);
        next.advance_caches(base, &self.touched(), &self.caches, &self.gone_caches);
        next.needs_catalog = next.needs_catalog.max(self.needs_catalog);
        next.raise_mark(self.cut, version);
        next.record_imports(&self.imports);
        next.tail = self.tail;
        next.record_job(self.job, version);
        debug_assert_eq!(next.check(), Ok(()));
        Ok(next)
    }
}

impl ManifestStore {
    /// Commits a flush that started from `base` or from an older version. If the manifest has too many sections, the
    /// same commit moves its oldest sections to pages.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::InvalidCommit`] if the parts are inconsistent.
    pub async fn commit_flush(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        flush: FlushCommit,
    ) -> Result<FlushOutcome, ManifestError> {
        if flush.cut <= flush.read_mark {
            return Ok(FlushOutcome::GivenUp(CommitAbandoned::NothingToFlush));
        }
        flush.check()?;
        let spill = self.prepare_spill(database, &base, flush.sections.len()).await;
        let dropped_sections = self.prepare_dropped_sections(database, &base).await;
        let change = |base: &VersionedValue<Manifest>| {
            let next = flush.apply(base, spill.as_ref(), dropped_sections.as_ref())?;
            Ok(RegisterChange::Put(next, ()))
        };
        let outcome = self.register(database).commit(Some(base), change).await?;
        Ok(match outcome {
            CommitOutcome::Committed { current, .. } => FlushOutcome::Committed(current),
            CommitOutcome::Refused(reason) => FlushOutcome::GivenUp(reason),
            CommitOutcome::Unknown { reason } => FlushOutcome::Unknown { reason },
        })
    }
}
