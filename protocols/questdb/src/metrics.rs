//! Metrics of connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neap_http::{CounterFamily, MetricKind, Metrics};

/// Counters of all connections. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    counters: Arc<Counters>,
    closed: CounterFamily,
}

#[derive(Debug, Default)]
struct Counters {
    open: AtomicU64,
    lines: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counters = Arc::new(Counters::default());
        let collect = |name, help, kind, value: fn(&Counters) -> &AtomicU64| {
            let counters = Arc::clone(&counters);
            metrics.collect(name, help, kind, move |samples| {
                samples.add(&[], value(&counters).load(Ordering::Relaxed));
            });
        };
        collect(
            "neap_questdb_connections",
            "Open connections of QuestDB's clients over TCP.",
            MetricKind::Gauge,
            |counters| &counters.open,
        );
        collect(
            "neap_questdb_lines_total",
            "Lines of QuestDB's clients over TCP that were stored.",
            MetricKind::Counter,
            |counters| &counters.lines,
        );
        collect(
            "neap_questdb_lines_skipped_total",
            "Lines of QuestDB's clients over TCP that were skipped, because all their values are null.",
            MetricKind::Counter,
            |counters| &counters.skipped,
        );
        collect(
            "neap_questdb_bytes_total",
            "Bytes of QuestDB's clients over TCP that were received.",
            MetricKind::Counter,
            |counters| &counters.bytes,
        );
        let closed = metrics.counter(
            "neap_questdb_connections_closed_total",
            "Closed connections of QuestDB's clients over TCP, by reason.",
            &["reason"],
        );
        Self { counters, closed }
    }

    /// Counts an open connection, until the guard is dropped.
    pub(crate) fn open(&self) -> OpenConnection {
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(&self.counters))
    }

    pub(crate) fn count_lines(&self, lines: usize) {
        self.counters.lines.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_skipped(&self, lines: usize) {
        self.counters.skipped.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_bytes(&self, bytes: usize) {
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self, reason: &'static str) {
        self.closed.add(&[reason], 1);
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Counters>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
