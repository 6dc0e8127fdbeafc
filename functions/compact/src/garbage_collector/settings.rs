//! The settings of garbage collection: the ages at which objects are deleted.

use std::time::Duration;

/// Settings of garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarbageCollectorSettings {
    /// How long dropped data remains readable by as-of queries, and by queries in progress.
    pub time_travel: Duration,
    /// Segments are deleted after a mark has been above them for this time. The requests of one snapshot are closer
    /// together than this.
    pub segment_grace: Duration,
    /// Age at which unreferenced objects are garbage. At least twice the age at which a commit may still reference
    /// them.
    pub orphan_age: Duration,
    /// Age at which query results are deleted.
    pub result_age: Duration,
    /// Age at which the rows of tasks of distributed queries are deleted. Longer than any query.
    pub task_result_age: Duration,
    /// Only report the objects that would be deleted.
    pub dry_run: bool,
}

impl Default for GarbageCollectorSettings {
    fn default() -> Self {
        Self {
            time_travel: Duration::from_secs(60 * 60),
            segment_grace: Duration::from_secs(120),
            orphan_age: Duration::from_secs(24 * 60 * 60),
            result_age: Duration::from_secs(24 * 60 * 60),
            task_result_age: Duration::from_secs(60 * 60),
            dry_run: false,
        }
    }
}

/// Error: the time-travel period is so short that a query may miss objects that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--time-travel {} s is too short for queries of up to {} s (--query-timeout): it must be at least twice as long",
    time_travel.as_secs(),
    query_timeout.as_secs()
)]
pub struct TimeTravelTooShort {
    /// The period.
    pub time_travel: Duration,
    /// The query timeout.
    pub query_timeout: Duration,
}

impl GarbageCollectorSettings {
    /// Returns the settings for a bucket with a query timeout. A query reads the objects of its snapshot until it ends,
    /// so `time_travel` must be at least twice as long: the second half covers the age of the snapshot and the clock
    /// skew of the store.
    ///
    /// # Errors
    /// `time_travel` is less than twice `query_timeout`.
    pub fn for_queries(
        time_travel: Duration,
        query_timeout: Duration,
    ) -> Result<Self, TimeTravelTooShort> {
        if time_travel < query_timeout.saturating_mul(2) {
            return Err(TimeTravelTooShort { time_travel, query_timeout });
        }
        Ok(Self { time_travel, ..Self::default() })
    }
}
