//! What the process shows of itself at `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neap_http::{MetricKind, Metrics};
use neap_manifest::SnapshotReader;
use neap_query::{CacheStats, QueryEngine};

use super::{backlog::Backlog, maintenance::MaintenanceStats};
use crate::stores::Requests;

/// What is shown.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) requests: Requests,
    pub(super) backlog: Arc<Backlog>,
    pub(super) snapshots: Arc<SnapshotReader>,
}

/// Adds the metrics of the store, the tails and the caches. Those of writes are the write function's.
pub(super) fn register(metrics: &Metrics, observed: &Observed) {
    register_store(metrics, &observed.requests);
    let backlog = Arc::clone(&observed.backlog);
    let help = "Bytes of segments that this process has put and that are not flushed.";
    metrics.collect("neap_tail_bytes", help, MetricKind::Gauge, move |samples| {
        samples.add(&[], backlog.bytes());
    });
    let backlog = Arc::clone(&observed.backlog);
    let help = "Segments that this process has put and that are not flushed.";
    metrics.collect(
        "neap_tail_segments",
        help,
        MetricKind::Gauge,
        move |samples| {
            let segments: usize = backlog
                .segments()
                .iter()
                .map(|(_, segments)| segments)
                .sum();
            samples.add(&[], segments);
        },
    );
    let snapshots = Arc::clone(&observed.snapshots);
    let help = "Bytes of tails and manifests kept between queries.";
    metrics.collect(
        "neap_snapshot_bytes",
        help,
        MetricKind::Gauge,
        move |samples| {
            samples.add(&[], snapshots.retained_bytes());
        },
    );
}

/// Adds the metrics of last and distinct value caches.
pub(super) fn register_caches(metrics: &Metrics, engine: &Arc<QueryEngine>) {
    type Read = fn(&CacheStats) -> f64;
    #[expect(clippy::cast_precision_loss, reason = "whole up to 9e15")]
    let shown: [(&'static str, &'static str, MetricKind, Read); 7] = [
        (
            "neap_cache_bytes",
            "Bytes of contents of last and distinct value caches in memory.",
            MetricKind::Gauge,
            |stats| stats.bytes as f64,
        ),
        (
            "neap_cache_entries",
            "Contents of last and distinct value caches in memory.",
            MetricKind::Gauge,
            |stats| stats.entries as f64,
        ),
        (
            "neap_cache_hits_total",
            "Reads of caches that found the contents in memory.",
            MetricKind::Counter,
            |stats| stats.hits as f64,
        ),
        (
            "neap_cache_misses_total",
            "Reads of caches that had to load or build the contents, or read the table.",
            MetricKind::Counter,
            |stats| stats.misses as f64,
        ),
        (
            "neap_cache_loads_total",
            "Contents of caches that were read from the store.",
            MetricKind::Counter,
            |stats| stats.loads as f64,
        ),
        (
            "neap_cache_scans_total",
            "Contents of caches that were built by a scan of the table.",
            MetricKind::Counter,
            |stats| stats.scans as f64,
        ),
        (
            "neap_cache_load_seconds_total",
            "The time that loading and building contents of caches took.",
            MetricKind::Counter,
            |stats| stats.time.as_secs_f64(),
        ),
    ];
    for (name, help, kind, read) in shown {
        let engine = Arc::clone(engine);
        metrics.collect(name, help, kind, move |samples| {
            samples.add(&[], read(&engine.cache_stats()));
        });
    }
}

/// Adds the metrics of maintenance.
pub(super) fn register_maintenance(metrics: &Metrics, stats: &Arc<MaintenanceStats>) {
    type Read = fn(&MaintenanceStats) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Read); 5] = [
        (
            "neap_compaction_merges_total",
            "Merges that were committed.",
            |stats| &stats.merges,
        ),
        (
            "neap_compaction_removed_sections_total",
            "Sections that left without being read: expired, or of dropped tables.",
            |stats| &stats.removed_sections,
        ),
        (
            "neap_compaction_filled_caches_total",
            "Last value and distinct value caches that were filled from sections.",
            |stats| &stats.filled_caches,
        ),
        (
            "neap_compaction_deleted_objects_total",
            "Objects that were deleted from the store.",
            |stats| &stats.deleted_objects,
        ),
        (
            "neap_compaction_failures_total",
            "Maintenance of a database that failed and is tried again.",
            |stats| &stats.failures,
        ),
    ];
    for (name, help, read) in counters {
        let stats = Arc::clone(stats);
        metrics.collect(name, help, MetricKind::Counter, move |samples| {
            samples.add(&[], read(&stats).load(Ordering::Relaxed));
        });
    }
}

fn register_store(metrics: &Metrics, requests: &Requests) {
    let counted = requests.clone();
    let help = "Requests to the store by operation and class of key.";
    metrics.collect(
        "neap_store_requests_total",
        help,
        MetricKind::Counter,
        move |samples| {
            for (operation, class, count) in counted.counts() {
                let labels = [("operation", operation.as_str()), ("class", class.as_str())];
                samples.add(&labels, count.requests);
            }
        },
    );
    let counted = requests.clone();
    let help = "Bytes read from and written to the store by operation and class of key.";
    metrics.collect(
        "neap_store_bytes_total",
        help,
        MetricKind::Counter,
        move |samples| {
            for (operation, class, count) in counted.counts() {
                let labels = [("operation", operation.as_str()), ("class", class.as_str())];
                samples.add(&labels, count.bytes);
            }
        },
    );
}
