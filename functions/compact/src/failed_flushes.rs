//! Failed flushes: the next flush of the same database takes less.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_schema::DatabaseId;

use crate::FlushLimits;

/// Databases whose latest flushes failed, with the number of consecutive failures. Each failure halves the limits of
/// the next flush. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailedFlushes(Arc<Mutex<BTreeMap<DatabaseId, u32>>>);

impl FailedFlushes {
    /// Maximum number of halvings.
    const MAX_HALVINGS: u32 = 12;

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the start of a flush, which counts as failed until [`clear`](Self::clear) is called. Returns the limits
    /// of this flush.
    pub(crate) fn begin(&self, database: DatabaseId, limits: &FlushLimits) -> FlushLimits {
        let mut failed = self.lock();
        let count = failed.entry(database).or_default();
        let times = *count;
        *count = (times + 1).min(Self::MAX_HALVINGS);
        FlushLimits {
            segment_bytes: limits.segment_bytes >> times,
            segments: (limits.segments >> times).max(1),
            table_bytes: limits.table_bytes >> times,
            ..*limits
        }
    }

    /// Records that a flush has not failed.
    pub(crate) fn clear(&self, database: DatabaseId) {
        self.lock().remove(&database);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_flush_halves_the_limits_of_the_next() {
        let failed = FailedFlushes::default();
        let (one, other) = (DatabaseId::new(1), DatabaseId::new(2));
        let limits = FlushLimits::default();
        let begin = |database| failed.begin(database, &limits).table_bytes / (1 << 20);
        // A flush that is cancelled or crashes the process never calls `clear`.
        assert_eq!([begin(one), begin(one), begin(one)], [256, 128, 64]);
        assert_eq!(begin(other), 256);
        failed.clear(one);
        assert_eq!([begin(one), begin(other)], [256, 128]);
    }
}
