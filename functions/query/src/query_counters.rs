//! Counters of the queries since the process started.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The outcomes of a process's queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Queries whose rows were all sent.
    pub succeeded: u64,
    /// Queries that ended with an error.
    pub failed: u64,
    /// Queries whose receiver was dropped before their end.
    pub cancelled: u64,
    /// Rows that were sent.
    pub rows: u64,
    /// The total duration of all queries, from start to end.
    pub time: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum QueryOutcome {
    Success,
    Failure,
    Cancellation,
}

/// Shared counters. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryCounters(Arc<QueryCountersInner>);

#[derive(Debug, Default)]
struct QueryCountersInner {
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    rows: AtomicU64,
    micros: AtomicU64,
}

impl QueryCounters {
    /// Counts a query that has ended.
    pub(crate) fn ended(&self, end: QueryOutcome, time: Duration) {
        let counter = match end {
            QueryOutcome::Success => &self.0.succeeded,
            QueryOutcome::Failure => &self.0.failed,
            QueryOutcome::Cancellation => &self.0.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts rows that were sent.
    pub(crate) fn count_rows(&self, rows: usize) {
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Returns a snapshot of the counters.
    pub(crate) fn stats(&self) -> QueryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QueryStats {
            succeeded: read(&self.0.succeeded),
            failed: read(&self.0.failed),
            cancelled: read(&self.0.cancelled),
            rows: read(&self.0.rows),
            time: Duration::from_micros(read(&self.0.micros)),
        }
    }
}
