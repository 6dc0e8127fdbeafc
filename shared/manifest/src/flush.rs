//! The commit of a flush: sections in, mark up.
//!
//! ```text
//!   flush                                     store
//!     |-- read the manifest: mark L ------------> |
//!     |-- list and fetch the tail above L ------> |
//!     |-- put the bundle -----------------------> |   crash after: an orphan
//!     |-- commit: sections of (L, cut], mark cut > |   only if the mark is still L
//! ```
//!
//! If a rival has raised the mark meanwhile, the segments are in its sections: this flush is over.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{Bucket, Change, Commit, Stamp, StoreTime, Versioned};
use neap_row_delete::RowDelete;
use neap_schema::{CacheId, DatabaseId, TableId};
use neap_wal::TailState;
use ulid::Ulid;

use crate::{
    CacheUpdate, DamageRecord, JobRecord, Manifest, ManifestError, ManifestStore, ObjectName,
    RecordedDelete, Section, condemned::Dropped, graves::Burial, spill::Spill,
};

/// How long before a commit reads its base the name of an object in it may have been drawn. An older
/// object may have been taken for an orphan.
pub const OBJECT_NAME_AGE: Duration = Duration::from_secs(15 * 60);

/// The name of an object that is to be put, and when it was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnObject {
    /// The name.
    pub ulid: Ulid,
    /// When it was drawn, by the store's clock: before the object was first put.
    pub drawn: StoreTime,
}

impl DrawnObject {
    /// Draws a name; `None` before the store's first answer with a time.
    pub fn draw(bucket: &Bucket) -> Option<Self> {
        let drawn = bucket.clock().now()?;
        let ulid = bucket.draw_ulid();
        Some(Self { ulid, drawn })
    }

    /// Whether a commit on this base may still name the object: it is young, and was not taken for an orphan.
    pub(crate) fn may_be_named(&self, base: &Versioned<Manifest>) -> bool {
        let names = [
            ObjectName::Parquet(self.ulid),
            ObjectName::Bundle(self.ulid),
            ObjectName::Page(self.ulid),
        ];
        let is_condemned = base
            .value
            .condemned
            .iter()
            .any(|entry| matches!(&entry.what, Dropped::Object(name) if names.contains(name)));
        !is_condemned && is_young(self.drawn, base)
    }
}

/// Whether a commit on this base may name an object whose name was drawn then.
pub(crate) fn is_young(drawn: StoreTime, base: &Versioned<Manifest>) -> bool {
    let age = base.proven.map(|proven| proven.since(drawn));
    age.is_some_and(|age| age <= OBJECT_NAME_AGE)
}

/// What a flush wants to commit.
#[derive(Clone, Debug)]
pub struct FlushCommit {
    /// *L*: the low-water mark that the flush started from.
    pub read_mark: Stamp,
    /// The new mark: every segment of (L, cut] is in the sections.
    pub cut: Stamp,
    /// The sections, each with the interval (L, cut]; none if the segments leave no rows.
    pub sections: Vec<Section>,
    /// The newest version of the database catalog that a segment needs.
    pub needs_catalog: u64,
    /// The bundle with the sections.
    pub object: Option<DrawnObject>,
    /// The row deletes among the segments, with their stamps, in their order. They are applied to the sections.
    pub deletes: Vec<(Stamp, RowDelete)>,
    /// The segments of which streams are damaged: their rows are in no section.
    pub damage: Vec<DamageRecord>,
    /// What it makes of the caches of tables that have rows or deletes among the segments. Those that it leaves
    /// out lose their objects.
    pub caches: Vec<CacheUpdate>,
    /// The caches that are dropped, or whose tables are.
    pub gone_caches: BTreeSet<CacheId>,
    /// What it leaves in the tail.
    pub tail: Option<TailState>,
    /// What is remembered of the job.
    pub job: JobRecord,
}

/// Why a flush was not committed, and is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// The cut is not above the mark.
    #[error("there is nothing to flush")]
    NothingToFlush,
    /// Somebody else has flushed.
    #[error("the mark has moved to {mark}")]
    MarkMoved {
        /// The mark now.
        mark: Stamp,
    },
    /// The bundle's name was drawn more than [`OBJECT_NAME_AGE`] ago.
    #[error("the bundle is too old")]
    ObjectTooOld,
}

/// How the commit of a flush ended.
#[derive(Clone, Debug)]
pub enum FlushOutcome {
    /// The sections are in the manifest; the newest one known.
    Committed(Versioned<Manifest>),
    /// Nothing was committed: the bundle is an orphan.
    GivenUp(GivenUp),
    /// It can't be told whether it was committed.
    Unknown {
        /// The cause, for people.
        reason: String,
    },
}

impl FlushCommit {
    /// Whether the parts fit each other.
    fn check(&self) -> Result<(), ManifestError> {
        let object = self.object.map(|object| object.ulid);
        let (mark, cut) = (self.read_mark, self.cut);
        let fail = |reason: String| Err(ManifestError::Impossible { reason });
        let in_bundle = self.sections.len() > 1;
        let is_strange = |section: &&Section| {
            let interval = (section.above, section.upto) == (mark, cut);
            let is_named = Some(section.object) == object && section.in_bundle == in_bundle;
            !is_named || section.origin.is_some() || !interval
        };
        if let Some(section) = self.sections.iter().find(is_strange) {
            return fail(format!(
                "not of the bundle {object:?} or not of ({mark}, {cut}]: {section:?}"
            ));
        }
        match self
            .deletes
            .iter()
            .find(|(stamp, _)| *stamp <= mark || cut < *stamp)
        {
            Some((stamp, _)) => fail(format!("a delete of {stamp}, not of ({mark}, {cut}]")),
            None => Ok(()),
        }
    }

    /// The tables whose rows are not what they were.
    fn touched(&self) -> BTreeSet<TableId> {
        let written = self.sections.iter().map(|section| section.table);
        let deleted = self.deletes.iter().map(|(_, delete)| delete.table);
        written.chain(deleted).collect()
    }

    /// The manifest after the flush.
    fn apply(
        &self,
        base: &Versioned<Manifest>,
        spill: Option<&Spill>,
        burial: Option<&Burial>,
    ) -> Result<Manifest, GivenUp> {
        let mark = base.value.low_water_mark;
        if mark != self.read_mark {
            return Err(GivenUp::MarkMoved { mark });
        }
        if self.object.is_some_and(|object| !object.may_be_named(base)) {
            return Err(GivenUp::ObjectTooOld);
        }
        let mut next = Manifest::successor(base);
        if let Some(spill) = spill {
            spill.apply(base, &mut next);
        }
        if let Some(burial) = burial {
            burial.apply(base, &mut next);
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
        next.tail = self.tail;
        next.record_job(self.job, version);
        debug_assert_eq!(next.check(), Ok(()));
        Ok(next)
    }
}

impl ManifestStore {
    /// Commits a flush that started from `base` or from something older. When the manifest has grown
    /// long, the same commit moves its oldest sections to pages.
    ///
    /// # Errors
    /// What the store answers, and `Impossible` for parts that don't fit each other.
    pub async fn commit_flush(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        flush: FlushCommit,
    ) -> Result<FlushOutcome, ManifestError> {
        if flush.cut <= flush.read_mark {
            return Ok(FlushOutcome::GivenUp(GivenUp::NothingToFlush));
        }
        flush.check()?;
        let spill = self
            .prepare_spill(database, &base, flush.sections.len())
            .await;
        let burial = self.prepare_burial(database, &base).await;
        let change = |base: &Versioned<Manifest>| {
            let next = flush.apply(base, spill.as_ref(), burial.as_ref())?;
            Ok(Change::Put(next, ()))
        };
        let outcome = self.register(database).commit(Some(base), change).await?;
        Ok(match outcome {
            Commit::Committed { current, .. } => FlushOutcome::Committed(current),
            Commit::Refused(reason) => FlushOutcome::GivenUp(reason),
            Commit::Unknown { reason } => FlushOutcome::Unknown { reason },
        })
    }
}
