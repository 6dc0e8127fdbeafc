//! The record of a history, which all clients share.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::IndexedRandom};

use super::history::{CellValues, Event, Operation, Stamp, Table};
use crate::harness::{Reply, now};

/// What the clients of a history share.
pub(super) struct HistoryRecorder {
    started_at: Instant,
    events: Mutex<Vec<Event>>,
    /// Answers that no promise permits, and their numbers.
    unexpected: Mutex<BTreeMap<String, u64>>,
    /// The numbers of answers without a result, by kind of request.
    unanswered: Mutex<BTreeMap<&'static str, u64>>,
    last_value: AtomicI64,
    /// The number of requests of each client to the log.
    pub(super) log_requests: Vec<AtomicU64>,
}

impl HistoryRecorder {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            started_at: now(),
            events: Mutex::default(),
            unexpected: Mutex::default(),
            unanswered: Mutex::default(),
            last_value: AtomicI64::new(0),
            log_requests: (0..clients).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns the time since the history began.
    pub(super) fn time(&self) -> Duration {
        self.started_at.elapsed()
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, event: Event) {
        self.events().push(event);
    }

    /// Counts an answer that no promise permits.
    pub(super) fn unexpected(&self, what: &str, reply: &Reply) {
        let text: String = reply.text().chars().take(300).collect();
        let text = format!("{what}: {} {text}", reply.status);
        let mut unexpected = self.unexpected.lock().unwrap_or_else(PoisonError::into_inner);
        *unexpected.entry(text).or_default() += 1;
    }

    pub(super) fn count_unanswered(&self, kind: &'static str) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        *unanswered.entry(kind).or_default() += 1;
    }

    /// Returns a value that no write has had.
    pub(super) fn new_value(&self) -> i64 {
        self.last_value.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a stamp that a request has received, if there is one.
    pub(super) fn draw_stamp(&self, rng: &mut StdRng) -> Option<Stamp> {
        let stamps: Vec<Stamp> = self.events().iter().filter_map(Event::stamp).collect();
        stamps.choose(rng).copied()
    }

    /// Returns the cells of a table whose writes were acknowledged.
    pub(super) fn acknowledged_cells(&self, table: Table) -> CellValues {
        let events = self.events();
        let acknowledged = events.iter().filter(|event| event.is_acknowledged());
        let values = acknowledged.filter_map(|event| match &event.operation {
            Operation::Write { values, .. } => Some(values),
            _ => None,
        });
        let cells = values.flatten().filter(|(cell, _)| cell.table == table);
        cells.map(|(cell, value)| (*cell, *value)).collect()
    }

    /// Returns the events, the unexpected answers, and the numbers of requests without a result.
    pub(super) fn into_parts(self) -> RecordedHistory {
        fn inner<T>(mutex: Mutex<T>) -> T {
            mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
        RecordedHistory {
            events: inner(self.events),
            unexpected: inner(self.unexpected),
            unanswered: inner(self.unanswered),
        }
    }
}

/// The contents of a [`HistoryRecorder`].
pub(super) struct RecordedHistory {
    pub(super) events: Vec<Event>,
    pub(super) unexpected: BTreeMap<String, u64>,
    pub(super) unanswered: BTreeMap<&'static str, u64>,
}
