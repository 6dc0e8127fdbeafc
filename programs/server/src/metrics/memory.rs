//! Metrics of memory: the reservations of the components, the resident memory, and the limit.

use std::sync::Arc;

use neap_http::{MetricKind, Metrics};
use neap_manifest::SnapshotReader;
use neap_memory::{MemoryMonitor, resident_bytes};
use neap_query::QueryEngine;
use neap_wal::TailWriter;
use neap_write::WriteService;

/// The components that reserve memory.
#[derive(Clone, Debug)]
pub(crate) struct MemoryUsers {
    pub(crate) monitor: Arc<MemoryMonitor>,
    pub(crate) queries: Option<Arc<QueryEngine>>,
    pub(crate) writes: Option<Arc<WriteService>>,
    pub(crate) writer: TailWriter,
    pub(crate) snapshots: Arc<SnapshotReader>,
}

impl MemoryUsers {
    /// Returns the reservation of each component, in bytes.
    fn charged(&self) -> Vec<(&'static str, u64)> {
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut charged = vec![
            ("segments", self.writer.stats().in_flight_bytes),
            ("snapshots", count(self.snapshots.retained_bytes())),
        ];
        if let Some(writes) = &self.writes {
            charged.push(("bodies", count(writes.reserved_bytes())));
        }
        if let Some(queries) = &self.queries {
            let (memory, data) = (queries.memory_stats(), queries.data_cache_stats());
            charged.extend([
                ("queries", memory.queries),
                ("tails", memory.tails),
                ("chunks", data.chunk_bytes),
                ("answers", queries.answer_cache_stats().bytes),
                ("footers", data.footer_bytes),
                ("caches", queries.cache_stats().bytes),
            ]);
        }
        charged
    }
}

/// Registers the metrics of memory.
pub(crate) fn register(metrics: &Metrics, users: &MemoryUsers) {
    let limit = users.monitor.limit_bytes();
    metrics.collect(
        "neap_memory_limit_bytes",
        "The memory that the process may use.",
        MetricKind::Gauge,
        move |samples| samples.add(&[], limit),
    );
    metrics.collect(
        "neap_memory_held_bytes",
        "The memory that the process holds, without pages of files.",
        MetricKind::Gauge,
        |samples| samples.add(&[], resident_bytes().unwrap_or_default()),
    );
    let users = users.clone();
    metrics.collect(
        "neap_memory_charged_bytes",
        "Memory reserved by the components of the process.",
        MetricKind::Gauge,
        move |samples| {
            for (part, bytes) in users.charged() {
                samples.add(&[("part", part)], bytes);
            }
        },
    );
}
