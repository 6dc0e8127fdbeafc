//! Manifests: the sections that hold the rows of a database, and the snapshots that queries read.
//!
//! ```text
//!   tail                      | mark |   sections
//!   segments above the mark      ->      a flush adds sections and raises the mark, in one commit
//!   snapshot = catalog + manifest + segments above its mark
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`Manifest`] | the register: the low-water mark, recent [`Section`]s, references to pages of older sections |
//! | [`ManifestStore`] | reads manifests and pages, commits flushes and replacements, moves old sections to pages |
//! | [`CacheEntry`] | the object of a table cache, valid at the mark |
//! | [`DamageRecord`] | a damaged object: the rows that it held, and whether an operator has quarantined it |
//! | [`CondemnedEntry`] | a dropped item: earlier versions still read it, later its objects are deleted |
//! | [`ImportedRows`] | the number of rows of an import job, or of parts of a site, up to the mark |
//! | [`ShippingHold`] | the segments that are kept until they are shipped to another database |
//! | [`RowDeleteLog`] | the log of requests to delete rows, with their progress |
//! | [`SnapshotReader`] | reads [`Snapshot`]s in one round trip, and shares them between readers |
//!
//! A crash at any point of a flush leaves only unreferenced objects. A manifest never references a missing object,
//! because pages and bundles are put before the commit that references them.

mod caches;
mod coalesce;
mod collect;
mod condemned;
mod damage;
mod deletes;
mod dropped_sections;
mod error;
mod flush;
mod head;
mod history;
mod imports;
mod jobs;
mod manifest;
mod named_rows;
mod object_name;
mod packing;
mod page;
mod pending_object;
mod publications;
mod reader;
mod records;
mod referenced_objects;
mod repair;
mod replace;
mod replacement;
mod restore;
mod rewrite;
mod row_delete_log;
mod row_delete_progress;
mod section;
mod section_bounds;
mod shipping;
mod snapshot;
mod snapshot_cache;
mod spill;
mod store;
mod table_changes;
mod table_sweep;
mod tail_state;
#[cfg(test)]
mod tests;

pub use caches::{CacheCommit, CacheOutcome, CacheRefusal, CacheUpdate, NewCacheEntry};
pub use collect::GarbageCollection;
pub use condemned::{CondemnedEntry, DroppedItem};
pub use damage::{DamageError, MAX_DAMAGE_RECORDS, QuarantineError};
pub use error::ManifestError;
pub use flush::{CommitAbandoned, FlushCommit, FlushOutcome};
pub use head::ManifestHead;
pub use history::{VersionGone, VersionInfo};
pub use imports::IMPORT_RETENTION;
pub use jobs::ClaimOutcome;
pub use manifest::{Manifest, ManifestInconsistency};
pub use named_rows::named_rows;
pub use object_name::ObjectName;
pub use page::{PageRef, SectionWithFooter};
pub use pending_object::{OBJECT_NAME_AGE, PendingObject};
pub use publications::{
    MAX_PUBLICATIONS, PUBLICATION_LIFETIME, PublicationOutcome, PublicationRequest,
};
pub use reader::{SnapshotReader, SnapshotSettings};
pub use records::{
    CacheEntry, Claim, DamageRecord, DamagedPart, ImportedRows, JobKind, JobRecord, LostRows,
    MarkRecord, Publication, Quarantine, RecordedDelete, ShippingHold, TableExpiry, VersionPin,
};
pub use referenced_objects::ReferencedObjects;
pub use repair::{CorrectionOutcome, Corrections};
pub use replace::{ReplaceAllOutcome, ReplaceOutcome, ReplacementResults};
pub use replacement::{ReplaceRefusal, Replacement};
pub use restore::RestoreError;
pub use row_delete_log::{
    LoggedRowDelete, MAX_PENDING_ROW_DELETES, RowDeleteLog, RowDeleteRequest, RowDeleteRequests,
};
pub use section::{Section, TagRange, TimeRange, day_of};
pub use section_bounds::SectionBounds;
pub use shipping::ShippingRefusal;
pub use snapshot::{ResponseMismatch, Snapshot, SnapshotError, SnapshotIdentity, SnapshotOptions};
pub use store::{ManifestSettings, ManifestStore};
pub use table_changes::{ManifestPoint, TableChanges};
pub use table_sweep::TableSweep;
