//! Metrics of connections.

use std::sync::{Arc, atomic::Ordering};

use neap_http::{
    MetricKind::{Counter, Gauge},
    Metrics,
};

use super::{MetricDefinition, collect, number};
use crate::listener::ConnectionStats;

type Stats = Arc<ConnectionStats>;

/// Registers the metrics of connections.
pub(crate) fn register(metrics: &Metrics, stats: &Stats) {
    let shown: [MetricDefinition<Stats>; 7] = [
        (
            "neap_http_connections",
            "Connections that are open.",
            Gauge,
            |stats| number(stats.open.count()),
        ),
        (
            "neap_http_requests_in_flight",
            "Requests whose answers have not ended.",
            Gauge,
            |stats| number(stats.requests.count()),
        ),
        (
            "neap_http_connections_total",
            "Accepted connections.",
            Counter,
            |stats| number(stats.taken.load(Ordering::Relaxed)),
        ),
        (
            "neap_http_tls_failures_total",
            "Failed TLS handshakes.",
            Counter,
            |stats| number(stats.refused.load(Ordering::Relaxed)),
        ),
        (
            "neap_http_stalled_total",
            "Connections and responses aborted because the client did not read.",
            Counter,
            |stats| number(stats.traffic.stalled.load(Ordering::Relaxed)),
        ),
        (
            "neap_http_sent_bytes_total",
            "Bytes that were sent to clients, encryption included.",
            Counter,
            |stats| number(stats.traffic.sent.load(Ordering::Relaxed)),
        ),
        (
            "neap_http_received_bytes_total",
            "Bytes that were received from clients, encryption included.",
            Counter,
            |stats| number(stats.traffic.received.load(Ordering::Relaxed)),
        ),
    ];
    let shared = Arc::new(Arc::clone(stats));
    collect(metrics, &shared, Arc::clone, shown);
}
