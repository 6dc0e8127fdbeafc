//! Determines for which settled segments the triggers of the processing engine still wait.
//!
//! A flush moves a segment into sections even if triggers have not seen it, but triggers read the segment itself.
//! Therefore the collector keeps a segment until every enabled write trigger of its database has seen it, but at most
//! for [`TRIGGER_RETENTION`]. In a dropped database that can be undeleted, it keeps the segment until the removal
//! starts.

use std::time::Duration;

use neap_bucket::{
    Bucket, Key, ListEntry, RECENT_PUT_IDS, Register, SegmentName, Stamp, StoreTime,
};
use neap_catalog::Catalog;
use neap_schema::DatabaseId;
use neap_wal::{TRIGGER_RETENTION, TriggerCheckpoint, trigger_floor};

use crate::{CompactError, removal::is_being_removed};

/// Maximum age of the catalog from which triggers are read. A trigger that was created before a settled segment was put
/// is in any catalog that is younger than the mark that settles the segment.
const CATALOG_AGE: Duration = Duration::from_secs(60);

/// Progress of one trigger.
#[derive(Debug)]
struct TriggerState {
    floor: Stamp,
    checkpoint: TriggerCheckpoint,
}

/// Progress of the triggers of a database.
#[derive(Debug, Default)]
pub(crate) struct TriggerProgress {
    triggers: Vec<TriggerState>,
    /// The database is dropped, but its data is still present.
    is_dropped: bool,
}

/// Decision about a settled segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentDisposition {
    /// Delete it: no trigger needs it.
    Delete,
    /// Keep it: a trigger waits for it.
    Keep,
    /// Delete it although a trigger has not seen it, because it has been kept for too long.
    DeleteUnseen,
}

impl TriggerProgress {
    /// Reads the progress of the enabled triggers of a database. Costs one GET for each trigger, and none if the
    /// database never had a trigger. A mark that is known for less than `grace` settles nothing.
    pub(crate) async fn read(
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
        let of_database = catalog.verified_database(database, max_age).await?;
        let mut triggers = Vec::new();
        for trigger in of_database.value.triggers() {
            if trigger.disabled || !trigger.specification.runs_on_writes() {
                continue;
            }
            let key = Key::Checkpoint(database, trigger.id);
            let register = Register::<TriggerCheckpoint>::new(bucket.clone(), key, RECENT_PUT_IDS);
            let checkpoint = register.read(None).await?;
            triggers.push(TriggerState {
                floor: trigger_floor(trigger.since, &rules),
                checkpoint: TriggerCheckpoint::clone(&checkpoint.value),
            });
        }
        Ok(Self { triggers, is_dropped })
    }

    /// Decides about a settled segment that was listed at `date`.
    pub(crate) fn disposition(
        &self,
        name: SegmentName,
        entry: &ListEntry,
        date: Option<StoreTime>,
    ) -> SegmentDisposition {
        let mut triggers = self.triggers.iter();
        if triggers.all(|seen| seen.checkpoint.has_seen(name, seen.floor)) {
            return SegmentDisposition::Delete;
        }
        let age = date.map(|date| date.since(entry.last_modified));
        match age {
            Some(age) if age >= TRIGGER_RETENTION && !self.is_dropped => {
                SegmentDisposition::DeleteUnseen
            }
            _ => SegmentDisposition::Keep,
        }
    }
}
