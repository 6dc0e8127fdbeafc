//! Publishing how long a tail is that is not flushed, for the writers of the database.
//!
//! A flush publishes what it leaves in the commit that raises the mark. A flusher that can't flush publishes what it
//! has listed by a commit of its own, when that holds writers back or lets them go on.

use std::convert::Infallible;

use neap_bucket::{Change, Commit, Stamp, Versioned};
use neap_schema::DatabaseId;
use neap_wal::TailState;

use crate::{Manifest, ManifestError, ManifestStore};

impl ManifestStore {
    /// Publishes the state of the tail above a mark, unless the mark has moved since or a later state is
    /// published. Whether it is in the manifest.
    ///
    /// # Errors
    /// What the store answers, and `Unsettled` when it can't be told whether the state was committed.
    pub async fn commit_tail_state(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        mark: Stamp,
        state: TailState,
    ) -> Result<bool, ManifestError> {
        let change = |base: &Versioned<Manifest>| {
            let current = &base.value;
            let is_later = |known: TailState| known.listed >= state.listed;
            if current.low_water_mark != mark || current.tail.is_some_and(is_later) {
                return Ok::<_, Infallible>(Change::Keep(false));
            }
            let next = Manifest {
                tail: Some(state),
                ..Manifest::successor(base)
            };
            Ok(Change::Put(next, true))
        };
        match self.register(database).commit(Some(base), change).await? {
            Commit::Committed { result, .. } => Ok(result),
            Commit::Refused(never) => match never {},
            Commit::Unknown { reason } => Err(ManifestError::Unsettled { reason }),
        }
    }
}
