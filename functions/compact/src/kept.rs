//! Segments that are flushed and stay because triggers have not seen them: for a while, they don't make a tail look due.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Moment, Stamp, World};
use neap_schema::DatabaseId;

/// For so long they are passed over. Then it is looked whether triggers have seen them.
const KEPT_TIME: Duration = Duration::from_secs(600);

/// Up to where segments of a database are flushed, and when that was known.
#[derive(Clone, Copy, Debug)]
struct Kept {
    mark: Stamp,
    known: Moment,
}

/// Where segments are kept, by database. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptSegments(Arc<Mutex<BTreeMap<DatabaseId, Kept>>>);

impl KeptSegments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how many segments up to the mark of a database were kept just now.
    pub(crate) fn note(&self, database: DatabaseId, number: usize, mark: Stamp, world: &World) {
        let known = world.moment();
        match number {
            0 => self.lock().remove(&database),
            _ => self.lock().insert(database, Kept { mark, known }),
        };
    }

    /// Up to where segments of a database are flushed and kept, if it was looked lately.
    pub(crate) fn mark(&self, database: DatabaseId, world: &World) -> Option<Stamp> {
        let kept = self.lock().get(&database).copied()?;
        (world.elapsed(&kept.known) < KEPT_TIME).then_some(kept.mark)
    }
}
