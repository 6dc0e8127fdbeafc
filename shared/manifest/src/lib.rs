//! Manifests: which sections hold the rows of a database, and what a query reads.
//!
//! ```text
//!   tail                 | mark |                        sections
//!   segments above the mark     <- flush: sections in, mark up, in one commit <- segments
//!   snapshot = catalog + manifest + segments above its mark
//! ```
//!
//! | piece | what it is |
//! |---|---|
//! | [`Manifest`] | the register: the low-water mark, recent [`Section`]s, references to pages of older ones |
//! | [`ManifestStore`] | reads manifests and pages, commits flushes and replacements, moves old sections to pages |
//! | [`CacheEntry`] | the object of a cache of a table, as it is at the mark |
//! | [`DamageRecord`] | a damaged object: which rows it held, and whether an operator has set it aside |
//! | [`Condemned`] | what was dropped: earlier versions are read with it, then its objects go |
//! | [`SnapshotReader`] | reads [`Snapshot`]s in one round trip, and shares them |
//!
//! A crash at any point of a flush leaves objects that nothing names, and never a manifest that names what
//! is not there: pages and bundles are put before the commit that names them.

mod caches;
mod census;
mod collect;
mod condemned;
mod damage;
mod deletes;
mod error;
mod flush;
mod graves;
mod head;
mod held;
mod history;
mod jobs;
mod manifest;
mod packing;
mod page;
mod reader;
mod repair;
mod replace;
mod restore;
mod rewrite;
mod section;
mod snapshot;
mod span;
mod spill;
mod store;
mod table_sweep;
mod tail_state;
#[cfg(test)]
mod tests;

pub use caches::{
    CacheCommit, CacheEntry, CacheOutcome, CacheRefused, CacheUpdate, Expiry, NewCacheEntry,
};
pub use census::Census;
pub use collect::Collection;
pub use condemned::{Condemned, Dropped, ObjectName};
pub use damage::{
    DamageError, DamageRecord, DamagedPart, LostRows, MAX_DAMAGE_RECORDS, Quarantine,
    QuarantineError,
};
pub use deletes::RecordedDelete;
pub use error::ManifestError;
pub use flush::{DrawnObject, FlushCommit, FlushOutcome, GivenUp, OBJECT_NAME_AGE};
pub use head::ManifestHead;
pub use history::{MarkRecord, VersionGone, VersionInfo};
pub use jobs::{Claim, Claimed, JobKind, JobRecord};
pub use manifest::{Contradiction, Manifest};
pub use page::{PageRef, SectionWithFooter};
pub use reader::{SnapshotReader, SnapshotSettings};
pub use repair::{Corrected, Corrections};
pub use replace::{ReplaceAllOutcome, ReplaceOutcome, ReplaceRefused, Replaced, Replacement};
pub use restore::{Pin, RestoreError};
pub use section::{Section, TagRange, TimeRange, day_of};
pub use snapshot::{Snapshot, SnapshotError, SnapshotOptions, Unfit};
pub use store::{ManifestSettings, ManifestStore};
pub use table_sweep::TableSweep;
