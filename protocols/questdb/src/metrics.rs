//! Metrics of connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neap_http::{ConnectionCounts, Metrics};

/// Counters of all connections. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    pub(crate) connections: ConnectionCounts,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    lines: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counters = Arc::new(Counters::default());
        let received = metrics.read_from(Arc::clone(&counters));
        received.counter(
            "neap_questdb_lines_total",
            "Lines of QuestDB's clients over TCP that were stored.",
            |counters| counters.lines.load(Ordering::Relaxed),
        );
        received.counter(
            "neap_questdb_lines_skipped_total",
            "Lines of QuestDB's clients over TCP that were skipped, because all their values are null.",
            |counters| counters.skipped.load(Ordering::Relaxed),
        );
        received.counter(
            "neap_questdb_bytes_total",
            "Bytes of QuestDB's clients over TCP that were received.",
            |counters| counters.bytes.load(Ordering::Relaxed),
        );
        let connections = ConnectionCounts::new(
            metrics,
            ("neap_questdb_connections", "Open connections of QuestDB's clients over TCP."),
            (
                "neap_questdb_connections_closed_total",
                "Closed connections of QuestDB's clients over TCP, by reason.",
            ),
        );
        Self { connections, counters }
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
}
