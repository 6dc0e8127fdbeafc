//! Counters of the worker port of a process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the process started.
#[derive(Debug, Default)]
pub struct WorkerPortStats {
    refused_tickets: AtomicU64,
}

impl WorkerPortStats {
    /// Requests that were refused because they have no valid ticket.
    pub fn refused_tickets(&self) -> u64 {
        self.refused_tickets.load(Ordering::Relaxed)
    }

    pub(crate) fn count_refused_ticket(&self) {
        self.refused_tickets.fetch_add(1, Ordering::Relaxed);
    }
}
