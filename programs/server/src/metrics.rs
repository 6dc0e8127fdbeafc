//! Registers the metrics of the process for `/metrics`.

mod backups;
mod cluster;
mod connections;
mod memory;
mod process;
mod tail;

use std::sync::{Arc, atomic::Ordering};

use neap_bucket::World;
use neap_compact::Compactor;
use neap_http::{MetricKind, Metrics};
use neap_manifest::SnapshotReader;
use neap_query::QueryEngine;

pub(super) use self::{
    backups::register as register_backups,
    cluster::{register as register_cluster, register_tasks},
    connections::register as register_connections,
    memory::{MemoryUsers, register as register_memory},
    tail::register as register_tail,
};
use super::{
    backlog::FlushBacklog, blocked_flushes::BlockedFlushes, maintenance::MaintenanceStats,
    rule_evaluation::RuleStats, view_refresh::ViewStats,
};
use crate::stores::StoreRequestCounts;

#[derive(Debug)]
pub(super) struct MetricSources {
    pub(super) requests: StoreRequestCounts,
    pub(super) backlog: Arc<FlushBacklog>,
    pub(super) blocked: Arc<BlockedFlushes>,
    pub(super) snapshots: Arc<SnapshotReader>,
    pub(super) world: World,
    /// Version and revision of the program.
    pub(super) build: [&'static str; 2],
}

/// Registers the metrics of the process and the store. The write function registers the metrics of writes.
pub(super) fn register(metrics: &Metrics, observed: &MetricSources) {
    let [version, revision] = observed.build;
    process::register(metrics, &observed.world, version, revision);
    register_store(metrics, &observed.requests);
}

pub(super) fn register_queries(metrics: &Metrics, engine: &Arc<QueryEngine>) {
    let counted = Arc::clone(engine);
    let help = "Finished queries by outcome.";
    metrics.collect("neap_queries_total", help, MetricKind::Counter, move |samples| {
        let stats = counted.query_stats();
        for (outcome, count) in [
            ("success", stats.succeeded),
            ("failure", stats.failed),
            ("cancelled", stats.cancelled),
        ] {
            samples.add(&[("outcome", outcome)], count);
        }
    });
    let queries = metrics.read_from(Arc::clone(engine));
    queries.counter("neap_query_rows_total", "Rows returned by queries.", |engine| {
        engine.query_stats().rows
    });
    queries.counter(
        "neap_query_seconds_total",
        "Time from the beginning to the end of all queries together.",
        |engine| engine.query_stats().time.as_secs_f64(),
    );
    queries.counter(
        "neap_data_cache_hits_total",
        "Column chunks of sections that queries found in memory.",
        |engine| engine.data_cache_stats().hits,
    );
    queries.counter(
        "neap_data_cache_misses_total",
        "Column chunks of sections that queries read from the store.",
        |engine| engine.data_cache_stats().misses,
    );
    queries.counter(
        "neap_data_checksum_failures_total",
        "Reads of footers, pages and bloom filters of sections whose checksum did not match.",
        |engine| engine.data_cache_stats().checksum_failures,
    );
    queries.gauge("neap_data_cache_chunk_bytes", "Bytes of column chunks in memory.", |engine| {
        engine.data_cache_stats().chunk_bytes
    });
    queries.gauge(
        "neap_data_cache_footer_bytes",
        "Bytes of decoded footers of sections in memory.",
        |engine| engine.data_cache_stats().footer_bytes,
    );
    queries.counter(
        "neap_answer_cache_hits_total",
        "Answers of queries that were kept ones.",
        |engine| engine.answer_cache_stats().hits,
    );
    queries.counter(
        "neap_answer_cache_misses_total",
        "Answers of queries that were computed although they may be kept.",
        |engine| engine.answer_cache_stats().misses,
    );
    queries.gauge(
        "neap_answer_cache_bytes",
        "Bytes of kept answers of queries in memory.",
        |engine| engine.answer_cache_stats().bytes,
    );
    register_caches(metrics, engine);
}

/// Registers the metrics of last and distinct value caches.
fn register_caches(metrics: &Metrics, engine: &Arc<QueryEngine>) {
    let caches = metrics.read_from(Arc::clone(engine));
    caches.gauge(
        "neap_cache_bytes",
        "Bytes of contents of last and distinct value caches in memory.",
        |engine| engine.cache_stats().bytes,
    );
    caches.gauge(
        "neap_cache_entries",
        "Contents of last and distinct value caches in memory.",
        |engine| engine.cache_stats().entries,
    );
    caches.counter(
        "neap_cache_hits_total",
        "Reads of caches that found the contents in memory.",
        |engine| engine.cache_stats().hits,
    );
    caches.counter(
        "neap_cache_misses_total",
        "Reads of caches that had to load or build the contents, or read the table.",
        |engine| engine.cache_stats().misses,
    );
    caches.counter(
        "neap_cache_loads_total",
        "Contents of caches that were read from the store.",
        |engine| engine.cache_stats().loads,
    );
    caches.counter(
        "neap_cache_scans_total",
        "Contents of caches that were built by a scan of the table.",
        |engine| engine.cache_stats().scans,
    );
    caches.counter(
        "neap_cache_load_seconds_total",
        "The time that loading and building contents of caches took.",
        |engine| engine.cache_stats().time.as_secs_f64(),
    );
}

/// Registers the metrics of materialized views.
pub(super) fn register_views(metrics: &Metrics, stats: &Arc<ViewStats>) {
    let views = metrics.read_from(Arc::clone(stats));
    views.counter(
        "neap_view_windows_total",
        "Windows of materialized views that were computed.",
        |stats| stats.windows.load(Ordering::Relaxed),
    );
    views.counter(
        "neap_view_rows_total",
        "Rows of materialized views that were written.",
        |stats| stats.rows.load(Ordering::Relaxed),
    );
    views.counter(
        "neap_view_failures_total",
        "Failed refreshes of materialized views, which are retried.",
        |stats| stats.failures.load(Ordering::Relaxed),
    );
    views.gauge(
        "neap_view_databases_behind",
        "Databases with a materialized view that was behind its source after the last refresh.",
        |stats| stats.behind.load(Ordering::Relaxed),
    );
}

pub(super) fn register_rules(metrics: &Metrics, stats: &Arc<RuleStats>) {
    let rules = metrics.read_from(Arc::clone(stats));
    rules.counter("neap_rule_evaluations_total", "Evaluations of groups of rules.", |stats| {
        stats.evaluations.load(Ordering::Relaxed)
    });
    rules.counter(
        "neap_rule_failures_total",
        "Rules that could not be evaluated, and databases whose rules were not.",
        |stats| stats.failures.load(Ordering::Relaxed),
    );
    rules.counter(
        "neap_rule_notifications_total",
        "Alerts that targets of notifications have acknowledged.",
        |stats| stats.notifications.load(Ordering::Relaxed),
    );
    rules.counter(
        "neap_rule_undelivered_total",
        "Notifications that a target did not acknowledge, which are sent again.",
        |stats| stats.undelivered.load(Ordering::Relaxed),
    );
}

/// Registers the metrics of maintenance.
pub(super) fn register_maintenance(
    metrics: &Metrics,
    stats: &Arc<MaintenanceStats>,
    compactor: &Compactor,
) {
    let maintenance = metrics.read_from(Arc::clone(stats));
    maintenance.counter("neap_compaction_merges_total", "Merges that were committed.", |stats| {
        stats.merges.load(Ordering::Relaxed)
    });
    maintenance.counter(
        "neap_compaction_removed_sections_total",
        "Sections removed without a merge: expired, or of dropped tables.",
        |stats| stats.removed_sections.load(Ordering::Relaxed),
    );
    maintenance.counter(
        "neap_compaction_filled_caches_total",
        "Last value and distinct value caches that were filled from sections.",
        |stats| stats.filled_caches.load(Ordering::Relaxed),
    );
    maintenance.counter(
        "neap_compaction_deleted_objects_total",
        "Objects that were deleted from the store.",
        |stats| stats.deleted_objects.load(Ordering::Relaxed),
    );
    maintenance.counter(
        "neap_compaction_failures_total",
        "Failed maintenance runs of a database, which are retried.",
        |stats| stats.failures.load(Ordering::Relaxed),
    );
    maintenance.gauge(
        "neap_row_delete_requests_pending",
        "Row delete requests whose rows some object still has, at the last maintenance of all databases.",
        |stats| stats.pending_row_deletes.load(Ordering::Relaxed),
    );
    let merges = metrics.read_from(compactor.clone());
    merges.gauge(
        "neap_compaction_due_merges",
        "Merges pending at the last check of the databases.",
        |compactor| compactor.debt().merges,
    );
    merges.gauge("neap_compaction_due_sections", "Sections that are to be merged.", |compactor| {
        compactor.debt().sections
    });
    merges.gauge(
        "neap_compaction_due_bytes",
        "Bytes of sections that are to be merged.",
        |compactor| compactor.debt().bytes,
    );
}

fn register_store(metrics: &Metrics, requests: &StoreRequestCounts) {
    let counted = requests.clone();
    let help = "Requests to the store by operation and class of key.";
    metrics.collect("neap_store_requests_total", help, MetricKind::Counter, move |samples| {
        for (operation, class, count) in counted.counts() {
            let labels = [("operation", operation.as_str()), ("class", class.as_str())];
            samples.add(&labels, count.requests);
        }
    });
    let counted = requests.clone();
    let help = "Bytes read from and written to the store by operation and class of key.";
    metrics.collect("neap_store_bytes_total", help, MetricKind::Counter, move |samples| {
        for (operation, class, count) in counted.counts() {
            let labels = [("operation", operation.as_str()), ("class", class.as_str())];
            samples.add(&labels, count.bytes);
        }
    });
}

#[cfg(test)]
mod tests;
