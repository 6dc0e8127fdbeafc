//! What the functions of a process share: the catalogs, the states of databases, and the one writer.

use std::sync::Arc;

use neap_bucket::{Bucket, Rules, StoreKind, World};
use neap_catalog::Catalog;
use neap_compact::FlushTriggers;
use neap_http::Metrics;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_wal::{TailReader, TailSettings, TailWriter, WriterSettings};

use super::{
    ServeError,
    backlog::{Backlog, Handover},
    blocked_flushes::BlockedFlushes,
    feeding::Changed,
    memory,
    options::ServeArgs,
    plugins::Told,
};
use crate::stores::Stores;

/// The memory that each part may use, out of what there is: about two thirds of it, so that requests and what
/// is not counted have room, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) total: usize,
}

impl Shares {
    pub(super) fn percent(self, percent: u8) -> usize {
        memory::MemoryAmount::Percent(percent).bytes_of(self.total)
    }
}

/// What the functions of a process share.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) shares: Shares,
    pub(super) bucket: Bucket,
    pub(super) catalog: Arc<Catalog>,
    pub(super) rules: Rules,
    pub(super) manifests: ManifestStore,
    pub(super) tail: TailReader,
    pub(super) snapshots: Arc<SnapshotReader>,
    pub(super) writer: TailWriter,
    /// Nobody else writes to the store, as far as is known.
    pub(super) is_sole_writer: bool,
    /// What was written and nobody has flushed.
    pub(super) backlog: Arc<Backlog>,
    /// Databases whose flushes give up.
    pub(super) blocked: Arc<BlockedFlushes>,
    /// Databases whose caches are to be fed.
    pub(super) changed: Arc<Changed>,
    /// Who is told of segments for triggers.
    pub(super) triggers: Arc<Told>,
    pub(super) metrics: Metrics,
    pub(super) world: World,
}

impl Base {
    /// Creates the cluster in an unused store.
    pub(super) async fn new(
        args: &ServeArgs,
        stores: &Stores,
        world: &World,
    ) -> Result<Self, ServeError> {
        let shares = Shares {
            total: memory::total_bytes(),
        };
        let bucket = stores.bucket.clone();
        let is_sole_writer = args.sole_writer || stores.kind == StoreKind::Memory;
        let catalog = Catalog::new(bucket.clone(), stores.margins, None);
        let catalog = catalog.with_limits(args.limits.of_catalog());
        let catalog = Arc::new(catalog.of_sole_process(is_sole_writer));
        let rules = catalog.rules().await?;
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail_settings = TailSettings {
            cache_bytes: shares.percent(5) as u64,
            ..TailSettings::default()
        };
        let tail = TailReader::new(bucket.clone(), tail_settings);
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail.clone(),
            rules,
            SnapshotSettings {
                sole_writer: is_sole_writer,
                retained_bytes: shares.percent(5),
                max_tail_bytes: shares.percent(10),
                ..SnapshotSettings::default()
            },
        ));
        let clock = Arc::clone(&world.clock);
        let triggers = FlushTriggers::default();
        let backlog = Arc::new(Backlog::new(clock, rules.flush_lag, triggers));
        let changed = Arc::new(Changed::default());
        let triggers = Arc::new(Told::default());
        // Elsewhere each round would list the tail over the network: there, queries take in what is new.
        let is_cheap = args.sole_writer || stores.kind != StoreKind::Network;
        let handover = Handover {
            snapshots: Arc::clone(&snapshots),
            backlog: Arc::clone(&backlog),
            changed: is_cheap.then(|| Arc::clone(&changed)),
            triggers: Arc::clone(&triggers),
        };
        let settings = writer_settings(args, stores.kind, shares);
        let handover = Some(Arc::new(handover) as _);
        let writer = TailWriter::new(bucket.clone(), rules, settings, handover);
        Ok(Self {
            shares,
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
            triggers,
            metrics: stores.metrics.clone(),
            world: world.clone(),
        })
    }
}

fn writer_settings(args: &ServeArgs, kind: StoreKind, shares: Shares) -> WriterSettings {
    let usual = match kind {
        StoreKind::Memory | StoreKind::Directory => WriterSettings::LOCAL,
        StoreKind::Network => WriterSettings::NETWORK,
    };
    WriterSettings {
        flush_interval: args.wal_flush_interval.unwrap_or(usual.flush_interval),
        max_in_flight_bytes: shares.percent(5).max(usual.max_in_flight_bytes),
        ..usual
    }
}
