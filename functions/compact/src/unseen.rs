//! Which settled segments triggers of the processing engine still wait for.
//!
//! A flush takes a segment into sections whether triggers have seen it or not; the segment itself is what they get. So
//! the collector keeps it until every enabled trigger on writes of its database has seen it, but no longer than
//! [`TRIGGER_PATIENCE`]; in a database that is dropped and can be undeleted, as long as that.

use std::time::Duration;

use neap_bucket::{
    Bucket, Key, ListEntry, RECENT_PUT_IDS, Register, SegmentName, Stamp, StoreTime,
};
use neap_catalog::Catalog;
use neap_schema::DatabaseId;
use neap_wal::{Checkpoint, TRIGGER_PATIENCE, floor_of};

use crate::{CompactError, removal::is_being_removed};

/// How old the catalog may be that tells of triggers. A trigger that was created before a settled segment was put is in
/// one that is younger than the mark that settles it.
const CATALOG_AGE: Duration = Duration::from_secs(60);

/// What one trigger has seen.
#[derive(Debug)]
struct Seen {
    floor: Stamp,
    checkpoint: Checkpoint,
}

/// What the triggers of a database have seen.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    triggers: Vec<Seen>,
    /// The database is dropped, and its data is there.
    is_dropped: bool,
}

/// What becomes of a settled segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing needs it.
    Delete,
    /// A trigger waits for it.
    Keep,
    /// A trigger has waited for too long.
    GiveUp,
}

impl Unseen {
    /// Reads what the enabled triggers of a database have seen: nothing, if it never had any; else a GET for each. A
    /// mark that is known for less than `grace` settles nothing.
    pub(crate) async fn of(
        bucket: &Bucket,
        catalog: &Catalog,
        database: DatabaseId,
        grace: Duration,
    ) -> Result<Self, CompactError> {
        let max_age = CATALOG_AGE.min(grace / 2);
        let root = catalog.root(max_age).await?;
        let entry = root.value.databases().get(&database);
        if !entry.is_some_and(|entry| entry.has_triggers && !is_being_removed(entry.deletion)) {
            return Ok(Self::default());
        }
        let is_dropped = entry.is_some_and(|entry| entry.deletion.is_some());
        let rules = catalog.rules().await?;
        let of_database = catalog.database(database, max_age).await?;
        let mut triggers = Vec::new();
        for trigger in of_database.value.triggers() {
            if trigger.disabled || !trigger.specification.is_of_writes() {
                continue;
            }
            let key = Key::Checkpoint(database, trigger.id);
            let register = Register::<Checkpoint>::new(bucket.clone(), key, RECENT_PUT_IDS);
            let checkpoint = register.read(None).await?;
            triggers.push(Seen {
                floor: floor_of(trigger.since, &rules),
                checkpoint: Checkpoint::clone(&checkpoint.value),
            });
        }
        Ok(Self {
            triggers,
            is_dropped,
        })
    }

    /// What becomes of a settled segment that was listed then.
    pub(crate) fn judge(
        &self,
        name: SegmentName,
        entry: &ListEntry,
        date: Option<StoreTime>,
    ) -> Verdict {
        let mut triggers = self.triggers.iter();
        if triggers.all(|seen| seen.checkpoint.has_seen(name, seen.floor)) {
            return Verdict::Delete;
        }
        let age = date.map(|date| date.since(entry.last_modified));
        match age {
            Some(age) if age >= TRIGGER_PATIENCE && !self.is_dropped => Verdict::GiveUp,
            _ => Verdict::Keep,
        }
    }
}
