//! Metrics of connections and statements.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neap_http::{CounterFamily, MetricKind, Metrics};

/// Counters of all connections. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    open: Arc<AtomicU64>,
    closed: CounterFamily,
    statements: CounterFamily,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let open = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&open);
        metrics.collect(
            "neap_postgres_connections",
            "Open connections of PostgreSQL's protocol.",
            MetricKind::Gauge,
            move |samples| samples.add(&[], shown.load(Ordering::Relaxed)),
        );
        Self {
            open,
            closed: metrics.counter(
                "neap_postgres_connections_closed_total",
                "Closed connections of PostgreSQL's protocol, by reason.",
                &["reason"],
            ),
            statements: metrics.counter(
                "neap_postgres_statements_total",
                "Statements over PostgreSQL's protocol, by the class of their SQLSTATE; 00 for success.",
                &["class"],
            ),
        }
    }

    /// Counts an open connection, until the guard is dropped.
    pub(crate) fn open(&self) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(&self.open))
    }

    pub(crate) fn count_closed(&self, reason: &'static str) {
        self.closed.add(&[reason], 1);
    }

    /// Counts a statement with its SQLSTATE.
    pub(crate) fn count_statement(&self, state: &'static str) {
        let class = state.get(..2).unwrap_or(state);
        self.statements.add(&[class], 1);
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<AtomicU64>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
