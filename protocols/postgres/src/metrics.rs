//! Metrics of connections and statements.

use neap_http::{ConnectionCounts, CounterFamily, Metrics};

/// Counters of all connections. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    pub(crate) connections: ConnectionCounts,
    statements: CounterFamily,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            connections: ConnectionCounts::new(
                metrics,
                (
                    "neap_postgres_connections",
                    "Open connections of PostgreSQL's protocol.",
                ),
                (
                    "neap_postgres_connections_closed_total",
                    "Closed connections of PostgreSQL's protocol, by reason.",
                ),
            ),
            statements: metrics.counter(
                "neap_postgres_statements_total",
                "Statements over PostgreSQL's protocol, by the class of their SQLSTATE; 00 for success.",
                &["class"],
            ),
        }
    }

    /// Counts a statement with its SQLSTATE.
    pub(crate) fn count_statement(&self, state: &'static str) {
        let class = state.get(..2).unwrap_or(state);
        self.statements.add(&[class], 1);
    }
}
