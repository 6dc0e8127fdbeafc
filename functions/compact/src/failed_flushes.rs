//! Flushes that failed: the next one of the same database takes less.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_schema::DatabaseId;

use crate::FlushLimits;

/// The databases whose last flushes failed, and how often in a row: the next one takes half as much. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailedFlushes(Arc<Mutex<BTreeMap<DatabaseId, u32>>>);

impl FailedFlushes {
    /// After so many failures less is not tried.
    const MOST: u32 = 12;

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a flush begins, and counts as failed until it has [`ended`](Self::ended); its limits.
    pub(crate) fn begin(&self, database: DatabaseId, limits: &FlushLimits) -> FlushLimits {
        let mut failed = self.lock();
        let count = failed.entry(database).or_default();
        let times = *count;
        *count = (times + 1).min(Self::MOST);
        FlushLimits {
            segment_bytes: limits.segment_bytes >> times,
            segments: (limits.segments >> times).max(1),
            table_bytes: limits.table_bytes >> times,
            ..*limits
        }
    }

    /// Notes that a flush has not failed.
    pub(crate) fn ended(&self, database: DatabaseId) {
        self.lock().remove(&database);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_each_flush_that_failed_the_next_one_takes_half() {
        let failed = FailedFlushes::default();
        let (one, other) = (DatabaseId::new(1), DatabaseId::new(2));
        let limits = FlushLimits::default();
        let begin = |database| failed.begin(database, &limits).table_bytes / (1 << 20);
        // A flush that is cut short, or takes the process with it, never says that it ended.
        assert_eq!([begin(one), begin(one), begin(one)], [256, 128, 64]);
        assert_eq!(begin(other), 256);
        failed.ended(one);
        assert_eq!([begin(one), begin(other)], [256, 128]);
    }
}
