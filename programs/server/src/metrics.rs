//! Registers the metrics of the process for `/metrics`.

mod backups;
mod cluster;
mod connections;
mod memory;
mod process;
mod tail;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neap_bucket::World;
use neap_compact::{CompactionDebt, Compactor};
use neap_http::{MetricKind, Metrics};
use neap_manifest::SnapshotReader;
use neap_query::{CacheStats, DataCacheStats, QueryEngine, QueryStats};

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

/// Sources of the metrics.
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

/// A metric that is read on each scrape: name, help, kind and reader.
type MetricDefinition<T> = (&'static str, &'static str, MetricKind, fn(&T) -> f64);

/// Registers metrics that are read from the same source.
fn collect<S, T>(
    metrics: &Metrics,
    source: &Arc<S>,
    read: fn(&S) -> T,
    shown: impl IntoIterator<Item = MetricDefinition<T>>,
) where
    S: Send + Sync + 'static,
    T: 'static,
{
    for (name, help, kind, value) in shown {
        let source = Arc::clone(source);
        metrics.collect(name, help, kind, move |samples| {
            samples.add(&[], value(&read(&source)));
        });
    }
}

/// Converts a count to a sample, exact up to 9e15.
#[expect(clippy::cast_precision_loss, reason = "whole up to 9e15")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().map_or(f64::NAN, |count: u64| count as f64)
}

/// Registers the metrics of the process and the store. The write function registers the metrics of writes.
pub(super) fn register(metrics: &Metrics, observed: &MetricSources) {
    let [version, revision] = observed.build;
    process::register(metrics, &observed.world, version, revision);
    register_store(metrics, &observed.requests);
}

/// Registers the metrics of queries.
pub(super) fn register_queries(metrics: &Metrics, engine: &Arc<QueryEngine>) {
    let counted = Arc::clone(engine);
    let help = "Finished queries by outcome.";
    metrics.collect(
        "neap_queries_total",
        help,
        MetricKind::Counter,
        move |samples| {
            let stats = counted.query_stats();
            for (outcome, count) in [
                ("success", stats.succeeded),
                ("failure", stats.failed),
                ("cancelled", stats.cancelled),
            ] {
                samples.add(&[("outcome", outcome)], count);
            }
        },
    );
    let shown: [MetricDefinition<QueryStats>; 2] = [
        (
            "neap_query_rows_total",
            "Rows returned by queries.",
            MetricKind::Counter,
            |stats| number(stats.rows),
        ),
        (
            "neap_query_seconds_total",
            "Time from the beginning to the end of all queries together.",
            MetricKind::Counter,
            |stats| stats.time.as_secs_f64(),
        ),
    ];
    collect(metrics, engine, |engine| engine.query_stats(), shown);
    let data: [MetricDefinition<DataCacheStats>; 5] = [
        (
            "neap_data_cache_hits_total",
            "Column chunks of sections that queries found in memory.",
            MetricKind::Counter,
            |stats| number(stats.hits),
        ),
        (
            "neap_data_cache_misses_total",
            "Column chunks of sections that queries read from the store.",
            MetricKind::Counter,
            |stats| number(stats.misses),
        ),
        (
            "neap_data_checksum_failures_total",
            "Reads of footers, pages and bloom filters of sections whose checksum did not match.",
            MetricKind::Counter,
            |stats| number(stats.checksum_failures),
        ),
        (
            "neap_data_cache_chunk_bytes",
            "Bytes of column chunks in memory.",
            MetricKind::Gauge,
            |stats| number(stats.chunk_bytes),
        ),
        (
            "neap_data_cache_footer_bytes",
            "Bytes of decoded footers of sections in memory.",
            MetricKind::Gauge,
            |stats| number(stats.footer_bytes),
        ),
    ];
    collect(metrics, engine, |engine| engine.data_cache_stats(), data);
    register_caches(metrics, engine);
}

/// Registers the metrics of last and distinct value caches.
fn register_caches(metrics: &Metrics, engine: &Arc<QueryEngine>) {
    let shown: [MetricDefinition<CacheStats>; 7] = [
        (
            "neap_cache_bytes",
            "Bytes of contents of last and distinct value caches in memory.",
            MetricKind::Gauge,
            |stats| number(stats.bytes),
        ),
        (
            "neap_cache_entries",
            "Contents of last and distinct value caches in memory.",
            MetricKind::Gauge,
            |stats| number(stats.entries),
        ),
        (
            "neap_cache_hits_total",
            "Reads of caches that found the contents in memory.",
            MetricKind::Counter,
            |stats| number(stats.hits),
        ),
        (
            "neap_cache_misses_total",
            "Reads of caches that had to load or build the contents, or read the table.",
            MetricKind::Counter,
            |stats| number(stats.misses),
        ),
        (
            "neap_cache_loads_total",
            "Contents of caches that were read from the store.",
            MetricKind::Counter,
            |stats| number(stats.loads),
        ),
        (
            "neap_cache_scans_total",
            "Contents of caches that were built by a scan of the table.",
            MetricKind::Counter,
            |stats| number(stats.scans),
        ),
        (
            "neap_cache_load_seconds_total",
            "The time that loading and building contents of caches took.",
            MetricKind::Counter,
            |stats| stats.time.as_secs_f64(),
        ),
    ];
    collect(metrics, engine, |engine| engine.cache_stats(), shown);
}

/// Registers the metrics of materialized views.
pub(super) fn register_views(metrics: &Metrics, stats: &Arc<ViewStats>) {
    type Read = fn(&ViewStats) -> &AtomicU64;
    let values: [(&'static str, &'static str, MetricKind, Read); 4] = [
        (
            "neap_view_windows_total",
            "Windows of materialized views that were computed.",
            MetricKind::Counter,
            |stats| &stats.windows,
        ),
        (
            "neap_view_rows_total",
            "Rows of materialized views that were written.",
            MetricKind::Counter,
            |stats| &stats.rows,
        ),
        (
            "neap_view_failures_total",
            "Failed refreshes of materialized views, which are retried.",
            MetricKind::Counter,
            |stats| &stats.failures,
        ),
        (
            "neap_view_databases_behind",
            "Databases with a materialized view that was behind its source after the last refresh.",
            MetricKind::Gauge,
            |stats| &stats.behind,
        ),
    ];
    for (name, help, kind, read) in values {
        let stats = Arc::clone(stats);
        metrics.collect(name, help, kind, move |samples| {
            samples.add(&[], read(&stats).load(Ordering::Relaxed));
        });
    }
}

/// Registers the metrics of rules.
pub(super) fn register_rules(metrics: &Metrics, stats: &Arc<RuleStats>) {
    type Read = fn(&RuleStats) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Read); 4] = [
        (
            "neap_rule_evaluations_total",
            "Evaluations of groups of rules.",
            |stats| &stats.evaluations,
        ),
        (
            "neap_rule_failures_total",
            "Rules that could not be evaluated, and databases whose rules were not.",
            |stats| &stats.failures,
        ),
        (
            "neap_rule_notifications_total",
            "Alerts that targets of notifications have acknowledged.",
            |stats| &stats.notifications,
        ),
        (
            "neap_rule_undelivered_total",
            "Notifications that a target did not acknowledge, which are sent again.",
            |stats| &stats.undelivered,
        ),
    ];
    for (name, help, read) in counters {
        let stats = Arc::clone(stats);
        metrics.collect(name, help, MetricKind::Counter, move |samples| {
            samples.add(&[], read(&stats).load(Ordering::Relaxed));
        });
    }
}

/// Registers the metrics of maintenance.
pub(super) fn register_maintenance(
    metrics: &Metrics,
    stats: &Arc<MaintenanceStats>,
    compactor: &Compactor,
) {
    type Read = fn(&MaintenanceStats) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Read); 5] = [
        (
            "neap_compaction_merges_total",
            "Merges that were committed.",
            |stats| &stats.merges,
        ),
        (
            "neap_compaction_removed_sections_total",
            "Sections removed without a merge: expired, or of dropped tables.",
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
            "Failed maintenance runs of a database, which are retried.",
            |stats| &stats.failures,
        ),
    ];
    for (name, help, read) in counters {
        let stats = Arc::clone(stats);
        metrics.collect(name, help, MetricKind::Counter, move |samples| {
            samples.add(&[], read(&stats).load(Ordering::Relaxed));
        });
    }
    let shown = Arc::clone(stats);
    metrics.collect(
        "neap_row_delete_requests_pending",
        "Row delete requests whose rows some object still has, at the last maintenance of all databases.",
        MetricKind::Gauge,
        move |samples| {
            let pending = &shown.pending_row_deletes;
            samples.add(&[], pending.load(Ordering::Relaxed));
        },
    );
    let debt: [MetricDefinition<CompactionDebt>; 3] = [
        (
            "neap_compaction_due_merges",
            "Merges pending at the last check of the databases.",
            MetricKind::Gauge,
            |debt| number(debt.merges),
        ),
        (
            "neap_compaction_due_sections",
            "Sections that are to be merged.",
            MetricKind::Gauge,
            |debt| number(debt.sections),
        ),
        (
            "neap_compaction_due_bytes",
            "Bytes of sections that are to be merged.",
            MetricKind::Gauge,
            |debt| number(debt.bytes),
        ),
    ];
    let compactor = Arc::new(compactor.clone());
    collect(metrics, &compactor, Compactor::debt, debt);
}

fn register_store(metrics: &Metrics, requests: &StoreRequestCounts) {
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

#[cfg(test)]
mod tests;
