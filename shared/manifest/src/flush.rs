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

use std::{sync::Arc, time::Duration};

use neap_bucket::{Bucket, Change, Commit, Stamp, StoreTime, Versioned};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{Manifest, ManifestError, ManifestStore, Section, spill::Spill};

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

    /// Whether a commit on this base may still name the object.
    pub(crate) fn is_young(&self, base: &Versioned<Manifest>) -> bool {
        let proven = base.proven;
        proven.is_some_and(|proven| proven.since(self.drawn) <= OBJECT_NAME_AGE)
    }
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
        let stranger = self.sections.iter().find(|section| {
            let interval = (section.above, section.upto) == (self.read_mark, self.cut);
            Some(section.object) != object || !interval
        });
        stranger.map_or(Ok(()), |section| {
            let (mark, cut) = (self.read_mark, self.cut);
            let reason =
                format!("not of the bundle {object:?} or not of ({mark}, {cut}]: {section:?}");
            Err(ManifestError::Impossible { reason })
        })
    }

    /// The manifest after the flush.
    fn apply(
        &self,
        base: &Versioned<Manifest>,
        spill: Option<&Spill>,
    ) -> Result<Manifest, GivenUp> {
        let mark = base.value.low_water_mark;
        if mark != self.read_mark {
            return Err(GivenUp::MarkMoved { mark });
        }
        if self.object.is_some_and(|object| !object.is_young(base)) {
            return Err(GivenUp::ObjectTooOld);
        }
        let mut next = Manifest::successor(base);
        if let Some(spill) = spill {
            spill.apply(base, &mut next);
        }
        let sections = self.sections.iter().cloned().map(Arc::new);
        next.sections.extend(sections);
        next.sections.sort_by_key(|section| section.order());
        next.needs_catalog = next.needs_catalog.max(self.needs_catalog);
        next.raise_mark(self.cut, base.version + 1);
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
        let change = |base: &Versioned<Manifest>| {
            let next = flush.apply(base, spill.as_ref())?;
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
