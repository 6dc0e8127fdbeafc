//! Segments that scheduled runs of a process pass over for a while, because they know what is or will be done with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Moment, Stamp, World};
use neap_schema::DatabaseId;

/// The maximum number of databases that are remembered. The segments of others make their tails look due, which costs
/// some reads.
const MAX_DATABASES: usize = 100_000;

/// Why segments are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeferralReason {
    /// They are in sections, and can't be deleted yet.
    Flushed,
    /// Another invocation was asked to flush them.
    HandedOut,
}

#[derive(Clone, Copy, Debug)]
struct Deferral {
    reason: DeferralReason,
    upto: Stamp,
    noted: Moment,
    time: Duration,
}

/// The segments that are passed over, by database. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeferredSegments(Arc<Mutex<BTreeMap<DatabaseId, Deferral>>>);

impl DeferredSegments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, Deferral>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes over the segments of a database up to a stamp for some time, and over no others.
    pub(crate) fn defer(
        &self,
        database: DatabaseId,
        (reason, upto): (DeferralReason, Stamp),
        time: Duration,
        world: &World,
    ) {
        let noted = world.moment();
        let mut deferrals = self.lock();
        if deferrals.len() >= MAX_DATABASES {
            deferrals.retain(|_, it| world.elapsed(&it.noted) < it.time);
        }
        if deferrals.len() < MAX_DATABASES {
            let deferral = Deferral {
                reason,
                upto,
                noted,
                time,
            };
            deferrals.insert(database, deferral);
        }
    }

    /// Passes over nothing of a database any more.
    pub(crate) fn forget(&self, database: DatabaseId) {
        self.lock().remove(&database);
    }

    /// Why a segment of a database is passed over at present, if it is.
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
