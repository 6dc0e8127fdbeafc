//! How many queries there were since the process started, and what became of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What became of the queries of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Queries of which all rows were given out.
    pub succeeded: u64,
    /// Queries that ended with an error.
    pub failed: u64,
    /// Queries for whose end nobody waited.
    pub cancelled: u64,
    /// Rows that were given out.
    pub rows: u64,
    /// The time from the beginning to the end of all queries together.
    pub time: Duration,
}

/// How a query has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Success,
    Failure,
    Cancellation,
}

/// The counters. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    rows: AtomicU64,
    micros: AtomicU64,
}

impl Totals {
    /// A query has ended.
    pub(crate) fn ended(&self, end: End, time: Duration) {
        let counter = match end {
            End::Success => &self.0.succeeded,
            End::Failure => &self.0.failed,
            End::Cancellation => &self.0.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Rows were given out.
    pub(crate) fn gave(&self, rows: usize) {
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// All of it.
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
