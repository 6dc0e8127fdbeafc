//! The drop of databases and tables: they are hidden and renamed immediately; their data is deleted later.

use std::{cmp::Reverse, time::Duration};

use chrono::DateTime;
use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

use crate::CatalogError;

/// The state of a dropped database or table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was dropped, by the store's clock.
    pub deleted_at: StoreTime,
    /// When its data may be deleted; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_delete_at: Option<StoreTime>,
    /// The progress of the removal of its data.
    #[serde(default, skip_serializing_if = "PurgeState::has_not_begun")]
    pub purge: PurgeState,
    /// When the removal of its data was finished, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<StoreTime>,
}

/// The progress of removing the data of a dropped database or table.
///
/// `Begun` is committed before the first row is removed, so that a partly removed database or table cannot be
/// undeleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeState {
    /// No data is removed yet.
    #[default]
    Waiting,
    /// Some rows may be removed.
    Begun,
    /// All data is removed.
    Done,
}

impl PurgeState {
    fn has_not_begun(&self) -> bool {
        *self == Self::Waiting
    }
}

/// Delay between the last moment of an undeletion and the removal of data: longer than the commit of an undeletion
/// takes, and longer than the clocks of one store's hosts differ.
const PURGE_DELAY: Duration = Duration::from_secs(60);

/// How long a catalog keeps the entry of a purged database or table: longer than a request that was in flight during
/// the purge takes to reach the store.
const PURGED_ENTRY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

impl Deletion {
    /// Returns whether its data was removed long enough ago for the entry to leave the catalog.
    pub fn is_obsolete(&self, now: StoreTime) -> bool {
        self.purged_at.is_some_and(|at| now.since(at) >= PURGED_ENTRY_AGE)
    }

    /// Returns whether the removal of its data should start or continue at this time of the store.
    pub fn is_due(&self, now: StoreTime) -> bool {
        let begins = self.hard_delete_at.map(|at| at.plus(PURGE_DELAY));
        self.purge != PurgeState::Done && begins.is_some_and(|begins| begins <= now)
    }

    /// Returns whether all data is present, and stays present until an undeletion is committed.
    pub(crate) fn can_be_undone(&self, now: StoreTime) -> bool {
        self.purge == PurgeState::Waiting && self.hard_delete_at.is_none_or(|at| now <= at)
    }
}

/// When the data of a dropped database or table may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardDelete {
    /// This long after the drop.
    After(Duration),
    /// At this time; a past time means immediately.
    At(StoreTime),
    /// Never.
    Never,
}

impl HardDelete {
    /// The default delay of InfluxDB 3 (`--hard-delete-default-duration`): 72 hours.
    pub const DEFAULT: Self = Self::After(Duration::from_secs(72 * 60 * 60));

    /// As soon as possible.
    pub const NOW: Self = Self::After(Duration::ZERO);

    /// Returns the time of the deletion for a database or table that is dropped at `now`; `None`: never.
    pub(crate) fn time(self, now: StoreTime) -> Option<StoreTime> {
        match self {
            Self::After(delay) => Some(now.plus(delay)),
            Self::At(time) => Some(time.max(now)),
            Self::Never => None,
        }
    }
}

/// Returns the name of a database or table after its drop: `<name>-YYYYMMDDTHHMMSS`, as in InfluxDB 3.
pub(crate) fn deleted_name(name: &str, now: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(now.micros()).unwrap_or_default();
    format!("{name}-{}", time.format("%Y%m%dT%H%M%S"))
}

/// A dropped database or table, as a candidate for an undeletion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DroppedEntry<'a, I> {
    pub(crate) id: I,
    pub(crate) name: &'a str,
    pub(crate) original_name: &'a str,
    pub(crate) deletion: Deletion,
}

/// Finds the dropped database or table to undelete: by its present name, or by its original name if no other candidate
/// that can still be undeleted had it.
/// Fails with `NotFound`, `Ambiguous`, and `Purged` when its data is removed or being removed.
pub(crate) fn find_dropped<'a, I: Copy + Ord>(
    dropped: impl Iterator<Item = DroppedEntry<'a, I>>,
    name: &str,
    now: StoreTime,
) -> Result<I, CatalogError> {
    let mut known: Vec<_> = dropped
        .filter(|dropped| dropped.name == name || dropped.original_name == name)
        .collect();
    // Candidates whose present name matches come first, then those that can be undeleted; of equal ones the latest.
    let rank = |dropped: &DroppedEntry<'_, I>| {
        (dropped.name == name, dropped.deletion.can_be_undone(now), dropped.id)
    };
    known.sort_unstable_by_key(|dropped| Reverse(rank(dropped)));
    match known.as_slice() {
        [] => Err(CatalogError::NotFound { name: name.to_owned() }),
        [first, ..] if !first.deletion.can_be_undone(now) => {
            Err(CatalogError::Purged { name: first.name.to_owned() })
        }
        [first, second, ..] if first.name != name && second.deletion.can_be_undone(now) => {
            let mut names: Vec<_> = known
                .iter()
                .filter(|dropped| dropped.deletion.can_be_undone(now))
                .map(|dropped| dropped.name)
                .collect();
            names.sort_unstable();
            Err(CatalogError::Ambiguous { name: name.to_owned(), names: names.join(", ") })
        }
        [first, ..] => Ok(first.id),
    }
}

/// Advances the progress of a removal. Returns whether it changed; `None` if the data is not due for removal.
pub(crate) fn note_purge(
    deletion: Option<&mut Deletion>,
    purge: PurgeState,
    now: StoreTime,
) -> Option<bool> {
    let deletion = deletion.filter(|it| it.is_due(now) || it.purge == PurgeState::Done)?;
    let before = deletion.purge;
    deletion.purge = before.max(purge);
    if deletion.purge == PurgeState::Done {
        deletion.purged_at.get_or_insert(now);
    }
    Some(deletion.purge != before)
}

/// Returns the name and deletion state after a drop, or after a change of the deletion time of a dropped object.
pub(crate) fn delete(
    name: &str,
    before: Option<Deletion>,
    now: StoreTime,
    hard_delete: HardDelete,
) -> Result<(String, Deletion), CatalogError> {
    let hard_delete_at = hard_delete.time(now);
    let name = name.to_owned();
    match before {
        None => {
            let deletion = Deletion {
                deleted_at: now,
                hard_delete_at,
                purge: PurgeState::Waiting,
                purged_at: None,
            };
            Ok((deleted_name(&name, now), deletion))
        }
        Some(before)
            if before.hard_delete_at == hard_delete_at || before.purge != PurgeState::Waiting =>
        {
            Err(CatalogError::AlreadyDeleted { name })
        }
        Some(before) => {
            let deletion = Deletion { hard_delete_at, ..before };
            Ok((name, deletion))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_due_for_removal_some_time_after_the_last_undeletion() {
        let at = |seconds: i64| StoreTime::from_micros(seconds * 1_000_000);
        let mut deletion = Deletion {
            deleted_at: at(0),
            hard_delete_at: Some(at(100)),
            purge: PurgeState::Waiting,
            purged_at: None,
        };
        let validated =
            |deletion: Deletion, now| (deletion.can_be_undone(now), deletion.is_due(now));
        assert_eq!(validated(deletion, at(100)), (true, false));
        assert_eq!(validated(deletion, at(101)), (false, false));
        assert_eq!(validated(deletion, at(160)), (false, true));
        deletion.purge = PurgeState::Begun;
        assert_eq!(validated(deletion, at(100)), (false, false));
        assert_eq!(validated(deletion, at(160)), (false, true));
        deletion.purge = PurgeState::Done;
        assert_eq!(validated(deletion, at(160)), (false, false));
        deletion.hard_delete_at = None;
        deletion.purge = PurgeState::Waiting;
        assert_eq!(validated(deletion, at(i64::MAX / 1_000_000)), (true, false));
    }

    #[test]
    fn dropped_names_end_with_the_time_of_the_drop() {
        let now = StoreTime::from_micros(1_757_510_705_999_999);
        assert_eq!(deleted_name("db/rp", now), "db/rp-20250910T132505");
    }

    #[test]
    fn a_past_time_of_deletion_means_now() {
        let now = StoreTime::from_micros(1_000);
        assert_eq!(HardDelete::At(StoreTime::from_micros(1)).time(now), Some(now));
        assert_eq!(HardDelete::NOW.time(now), Some(now));
        assert_eq!(HardDelete::Never.time(now), None);
        assert_eq!(
            HardDelete::DEFAULT.time(now),
            Some(StoreTime::from_micros(1_000 + 72 * 3_600_000_000))
        );
    }
}
