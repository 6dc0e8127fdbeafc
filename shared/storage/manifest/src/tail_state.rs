//! Publishes the length of the unflushed tail for the writers of the database.
//!
//! A flush publishes the remaining tail in the commit that raises the mark. A flusher that can't flush publishes the
//! listed tail with a separate commit, when that makes writers wait or continue.

use std::convert::Infallible;

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, VersionedValue};
use neap_schema::DatabaseId;
use neap_wal::TailState;

use crate::{Manifest, ManifestError, ManifestStore};

impl ManifestStore {
    /// Publishes the state of the tail above a mark, unless the mark has moved since or a later state is published.
    /// Returns whether the state is in the manifest.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::Inconsistent`] if the outcome is unknown.
    pub async fn commit_tail_state(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        mark: Stamp,
        state: TailState,
    ) -> Result<bool, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            let current = &base.value;
            let is_later = |known: TailState| known.listed >= state.listed;
            if current.low_water_mark != mark || current.tail.is_some_and(is_later) {
                return Ok::<_, Infallible>(RegisterChange::Keep(false));
            }
            let next = Manifest { tail: Some(state), ..Manifest::successor(base) };
            Ok(RegisterChange::Put(next, true))
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { result, .. } => Ok(result),
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }
}
