//! Segments that the scheduled runs of a process skip for a while, because their flush or deletion is already under
//! way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{ClockReading, Stamp, World};
use neap_schema::DatabaseId;

/// Maximum number of databases with deferred segments. Segments of further databases make their tails look due, which
/// costs some reads.
const MAX_DATABASES: usize = 100_000;

/// Reason why segments are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeferralReason {
    /// They are in sections, and cannot be deleted yet.
    AlreadyFlushed,
    /// Another invocation was asked to flush them.
    Dispatched,
}

#[derive(Clone, Copy, Debug)]
struct Deferral {
    reason: DeferralReason,
    upto: Stamp,
    noted: ClockReading,
    time: Duration,
}

/// Deferred segments, by database. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeferredSegments(Arc<Mutex<BTreeMap<DatabaseId, Deferral>>>);

impl DeferredSegments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, Deferral>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Skips the segments of a database up to a stamp for `time`. Replaces an earlier deferral of the database.
    pub(crate) fn defer(
        &self,
        database: DatabaseId,
        (reason, upto): (DeferralReason, Stamp),
        time: Duration,
        world: &World,
    ) {
        let noted = world.clock_reading();
        let mut deferrals = self.lock();
        if deferrals.len() >= MAX_DATABASES {
            deferrals.retain(|_, it| world.elapsed(&it.noted) < it.time);
        }
        if deferrals.len() < MAX_DATABASES {
            let deferral = Deferral { reason, upto, noted, time };
            deferrals.insert(database, deferral);
        }
    }

    /// Ends the deferral of a database.
    pub(crate) fn forget(&self, database: DatabaseId) {
        self.lock().remove(&database);
    }

    /// Returns why a segment is skipped at present, or `None` if it is not.
    pub(crate) fn reason(
        &self,
        database: DatabaseId,
        stamp: Stamp,
        world: &World,
    ) -> Option<DeferralReason> {
        let deferral = self.lock().get(&database).copied()?;
        let is_meant = stamp <= deferral.upto && world.elapsed(&deferral.noted) < deferral.time;
        is_meant.then_some(deferral.reason)
    }
}
