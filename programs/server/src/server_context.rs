//! State shared by the functions of a process: the catalogs, the database snapshots, and the one writer.

use std::sync::Arc;

use neap_bucket::{Bucket, ObjectUploads, ProtocolRules, StoreKind, World};
use neap_catalog::Catalog;
use neap_compact::FlushTriggers;
use neap_http::Metrics;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_memory::{MemoryMonitor, limit_retained_memory};
use neap_wal::{TailReader, TailReaderSettings, TailWriter, TailWriterSettings};

use super::{
    ServeError,
    backlog::{FlushBacklog, SegmentDispatcher},
    blocked_flushes::BlockedFlushes,
    cache_refresh::ChangedDatabases,
    memory::MemoryPlan,
    options::ServeArgs,
    plugins::EngineHandle,
};
use crate::stores::Stores;

/// State shared by the functions of a process.
#[derive(Debug)]
pub(super) struct ServerContext {
    pub(super) memory: MemoryPlan,
    /// Monitors the memory of the process.
    pub(super) monitor: Arc<MemoryMonitor>,
    pub(super) bucket: Bucket,
    pub(super) catalog: Arc<Catalog>,
    pub(super) rules: ProtocolRules,
    pub(super) manifests: ManifestStore,
    pub(super) tail: TailReader,
    pub(super) snapshots: Arc<SnapshotReader>,
    pub(super) writer: TailWriter,
    /// As far as is known, no other process writes to the store.
    pub(super) is_sole_writer: bool,
    /// Unflushed segments of this process.
    pub(super) backlog: Arc<FlushBacklog>,
    /// Databases whose flushes fail.
    pub(super) blocked: Arc<BlockedFlushes>,
    /// Databases whose caches need a refresh.
    pub(super) changed: Arc<ChangedDatabases>,
    /// Databases whose materialized views may need a refresh, because they were flushed.
    pub(super) flushed_sources: Arc<ChangedDatabases>,
    /// Receives segments for triggers.
    pub(super) triggers: Arc<EngineHandle>,
    /// Uploads of objects that `COPY` statements produce.
    pub(super) uploads: ObjectUploads,
    pub(super) metrics: Metrics,
    pub(super) world: World,
}

impl ServerContext {
    /// Creates the shared state, and the cluster if the store is unused.
    pub(super) async fn new(
        args: &ServeArgs,
        stores: &Stores,
        world: &World,
    ) -> Result<Self, ServeError> {
        let memory = MemoryPlan::new(args.memory_limit, args.query_memory())
            .with_answers(args.answer_cache_size);
        limit_retained_memory(memory.limit);
        let bucket = stores.bucket.clone();
        let is_sole_writer = args.sole_writer || stores.kind == StoreKind::Memory;
        let catalog = Arc::new(
            Catalog::new(bucket.clone(), stores.margins, None)
                .with_limits(args.limits.catalog.limits())
                .with_sole_process(is_sole_writer),
        );
        let rules = catalog.rules().await?;
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail_settings = TailReaderSettings {
            cache_bytes: memory.snapshots as u64 / 2,
            ..TailReaderSettings::default()
        };
        let tail = TailReader::new(bucket.clone(), tail_settings);
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail.clone(),
            rules,
            SnapshotSettings {
                sole_writer: is_sole_writer,
                retained_bytes: memory.snapshots / 2,
                max_tail_bytes: memory.query_segments,
                ..SnapshotSettings::default()
            },
        ));
        let clock = Arc::clone(&world.clock);
        let triggers = FlushTriggers::default();
        let triggers = FlushTriggers {
            bytes: triggers.bytes.min(memory.query_segments as u64 / 4),
            ..triggers
        };
        let backlog = Arc::new(FlushBacklog::new(clock, rules.flush_lag, triggers));
        let unflushed = Arc::clone(&backlog);
        // 80% of the segment memory of one query; the rest is headroom for segments that arrive while writes are
        // throttled.
        let bound = memory.query_segments as u64 / 10 * 8;
        let monitor = MemoryMonitor::new(memory.limit);
        let monitor = Arc::new(monitor.with_tail(bound, move || unflushed.bytes()));
        let changed = Arc::new(ChangedDatabases::default());
        let triggers = Arc::new(EngineHandle::default());
        // With other writers on a network store, each refresh would list the tail over the network; queries read new
        // segments there instead.
        let is_cheap = args.sole_writer || stores.kind != StoreKind::Network;
        let handover = SegmentDispatcher {
            snapshots: Arc::clone(&snapshots),
            backlog: Arc::clone(&backlog),
            changed: is_cheap.then(|| Arc::clone(&changed)),
            triggers: Arc::clone(&triggers),
        };
        let settings = writer_settings(args, stores.kind, &memory);
        let handover = Some(Arc::new(handover) as _);
        let writer = TailWriter::new(bucket.clone(), rules, settings, handover);
        Ok(Self {
            memory,
            monitor,
            bucket,
            catalog,
            rules,
            manifests,
            tail,
            snapshots,
            writer,
            is_sole_writer,
            backlog,
            blocked: Arc::default(),
            changed,
            flushed_sources: Arc::default(),
            triggers,
            uploads: stores.uploads.clone(),
            metrics: stores.metrics.clone(),
            world: world.clone(),
        })
    }
}

fn writer_settings(args: &ServeArgs, kind: StoreKind, memory: &MemoryPlan) -> TailWriterSettings {
    let usual = match kind {
        StoreKind::Memory | StoreKind::Directory => TailWriterSettings::LOCAL,
        StoreKind::Network => TailWriterSettings::NETWORK,
    };
    TailWriterSettings {
        flush_interval: args.wal_flush_interval.unwrap_or(usual.flush_interval),
        flush_burst: args.wal_flush_burst,
        max_in_flight_bytes: memory.segments,
        ..usual
    }
}
