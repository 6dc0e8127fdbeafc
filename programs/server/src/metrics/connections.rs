//! Metrics of connections.

use std::sync::{Arc, atomic::Ordering};

use neap_http::Metrics;

use crate::listener::ConnectionStats;

/// Registers the metrics of connections.
pub(crate) fn register(metrics: &Metrics, stats: &Arc<ConnectionStats>) {
    let connections = metrics.read_from(Arc::clone(stats));
    connections.gauge("neap_http_connections", "Connections that are open.", |stats| {
        stats.open.count()
    });
    connections.gauge(
        "neap_http_requests_in_flight",
        "Requests whose answers have not ended.",
        |stats| stats.requests.count(),
    );
    connections.counter("neap_http_connections_total", "Accepted connections.", |stats| {
        stats.taken.load(Ordering::Relaxed)
    });
    connections.counter("neap_http_tls_failures_total", "Failed TLS handshakes.", |stats| {
        stats.refused.load(Ordering::Relaxed)
    });
    connections.counter(
        "neap_http_stalled_total",
        "Connections and responses aborted because the client did not read.",
        |stats| stats.traffic.stalled.load(Ordering::Relaxed),
    );
    connections.counter(
        "neap_http_sent_bytes_total",
        "Bytes that were sent to clients, encryption included.",
        |stats| stats.traffic.sent.load(Ordering::Relaxed),
    );
    connections.counter(
        "neap_http_received_bytes_total",
        "Bytes that were received from clients, encryption included.",
        |stats| stats.traffic.received.load(Ordering::Relaxed),
    );
}
