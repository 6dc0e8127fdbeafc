//! How the functions are put together in one process.

use std::{sync::Arc, thread};

use axum::Router;
use neap_bucket::{Bucket, Rules, StoreKind, World};
use neap_catalog::{Catalog, HardDelete};
use neap_compact::{
    CollectSettings, CompactParts, Compactor, CompactorSettings, FlushLimits, FlushTriggers,
    Flusher, MergePolicy,
};
use neap_http::{ClusterId, Common, Server, finish, health_routes, metrics_routes};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{QueryEngine, QuerySettings};
use neap_row_delete::RowDeleter;
use neap_wal::{TailReader, TailSettings, TailWriter, WriterSettings};
use neap_write::{WriteParts, WriteService, WriteSettings};
use tokio_util::sync::CancellationToken;

use super::{
    ServeError,
    backlog::{Backlog, Handover},
    crowding,
    feeding::{Changed, Feeding},
    flushing::Flushing,
    maintenance::{Flushed, Maintenance, MaintenanceStats},
    memory,
    observe::{self, Observed},
    options::{Mode, ServeArgs},
    ready::{self, Readiness},
    recovery::Recovery,
};
use crate::stores::Stores;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that the program was built from, if the build said so.
const REVISION: &str = match option_env!("NEAP_REVISION") {
    Some(revision) => revision,
    None => "0000000",
};

/// The functions of this process, ready to serve.
#[derive(Debug)]
pub(super) struct App {
    /// All routes.
    pub(super) router: Router,
    /// The databases and tokens.
    pub(super) catalog: Arc<Catalog>,
    /// What replaces the admin token, if this process changes anything.
    pub(super) recovery: Option<Recovery>,
    /// What flushes in the background, if this process does that.
    pub(super) flushing: Option<Flushing>,
    /// What keeps caches up to date in the background, if this process answers queries.
    pub(super) feeding: Option<Feeding>,
    /// What merges and tidies up in the background, if this process does that.
    pub(super) maintenance: Option<Maintenance>,
}

/// The memory that each part may use, out of what there is: about two thirds of it, so that requests and what
/// is not counted have room, too.
#[derive(Clone, Copy, Debug)]
struct Shares {
    total: usize,
}

impl Shares {
    fn percent(self, percent: u8) -> usize {
        memory::MemoryAmount::Percent(percent).bytes_of(self.total)
    }
}

impl App {
    /// Puts the functions together. Creates the cluster in an unused store.
    pub(super) async fn new(
        args: &ServeArgs,
        stores: &mut Stores,
        world: &World,
        stop: &CancellationToken,
    ) -> Result<Self, ServeError> {
        let shares = Shares {
            total: memory::total_bytes(),
        };
        let maintained = match args.does(Mode::Compact) {
            true => Some(stores.open_again(&args.store)?),
            false => None,
        };
        let bucket = &stores.bucket;
        let catalog = Catalog::new(bucket.clone(), stores.margins, None);
        let catalog = Arc::new(catalog.with_limits(args.limits.of_catalog()));
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
                sole_writer: args.sole_writer || stores.kind == StoreKind::Memory,
                retained_bytes: shares.percent(5),
                max_tail_bytes: shares.percent(10),
                ..SnapshotSettings::default()
            },
        ));
        let clock = Arc::clone(&world.clock);
        let backlog = Arc::new(Backlog::new(
            clock,
            rules.flush_lag,
            FlushTriggers::default(),
        ));
        let changed = Arc::new(Changed::default());
        // Elsewhere each round would list the tail over the network: there, queries take in what is new.
        let is_cheap = args.sole_writer || stores.kind != StoreKind::Network;
        let handover = Handover {
            snapshots: Arc::clone(&snapshots),
            backlog: Arc::clone(&backlog),
            changed: is_cheap.then(|| Arc::clone(&changed)),
        };
        let writer = TailWriter::new(
            bucket.clone(),
            rules,
            writer_settings(args, stores.kind, shares),
            Some(Arc::new(handover)),
        );
        let metrics = stores.metrics.clone();
        observe::register(
            &metrics,
            &Observed {
                requests: stores.requests(),
                backlog: Arc::clone(&backlog),
                snapshots: Arc::clone(&snapshots),
                world: world.clone(),
                build: [VERSION, REVISION],
            },
        );
        let mut routes = Router::new();
        let (mut deleter, mut recovery) = (None, None);
        if args.does(Mode::Ingest) {
            let service = WriteService::new(WriteParts {
                catalog: Arc::clone(&catalog),
                writer: writer.clone(),
                rules,
                metrics: metrics.clone(),
                settings: write_settings(args, shares),
            });
            let service = Arc::new(service);
            deleter = Some(Arc::clone(&service) as Arc<dyn RowDeleter>);
            recovery = Some(Recovery::new(Arc::clone(&service)));
            routes = routes.merge(neap_write::router(service));
        }
        let mut feeding = None;
        if args.does(Mode::Query) {
            let engine = QueryEngine::new(
                bucket.clone(),
                Arc::clone(&catalog),
                manifests.clone(),
                Arc::clone(&snapshots),
                query_settings(args, shares),
            )?;
            let engine = match deleter {
                Some(deleter) => engine.with_deleter(deleter),
                None => engine,
            };
            let engine = Arc::new(engine);
            observe::register_queries(&metrics, &engine);
            feeding = Some(Feeding {
                engine: Arc::clone(&engine),
                changed: Arc::clone(&changed),
                world: world.clone(),
            });
            routes = routes.merge(neap_query::router(engine));
        }
        let most = args.limits.max_concurrent_requests;
        // Whoever looks after the process is answered however much there is to do.
        let routes = crowding::limited(routes, most, &metrics, world)
            .merge(health_routes(Server::new(VERSION, REVISION, world)))
            .merge(metrics_routes(metrics.clone()))
            .merge(ready::routes(Readiness {
                catalog: Arc::clone(&catalog),
                stop: stop.clone(),
                world: world.clone(),
            }));
        let access = args.access.access(&catalog, &metrics);
        let common = Common {
            cluster: ClusterId::of(Arc::clone(&catalog)),
            world: world.clone(),
            metrics,
            access,
        };
        let flushed = Arc::new(Flushed::default());
        let maintenance = maintained.map(|bucket| {
            let stats = Arc::new(MaintenanceStats::default());
            let compactor = compactor(args, stores, bucket, rules, shares);
            observe::register_maintenance(&common.metrics, &stats, &compactor);
            Maintenance {
                compactor,
                flushed: Arc::clone(&flushed),
                catalog: Arc::clone(&catalog),
                stats,
                interval: args.retention_check_interval,
                world: world.clone(),
            }
        });
        let limits = FlushLimits {
            // Rows take about ten times as much memory while they are folded.
            segment_bytes: (shares.total as u64 / 64).clamp(4 << 20, 64 << 20),
            trust_store_clock: args.trust_store_clock,
            ..FlushLimits::default()
        };
        let flushing = args.does(Mode::Compact).then(|| Flushing {
            flusher: Flusher::new(
                bucket.clone(),
                Arc::clone(&catalog),
                manifests,
                tail,
                rules,
                limits,
            ),
            catalog: Arc::clone(&catalog),
            backlog,
            flushed,
            changed,
            snapshots,
            writer,
            world: world.clone(),
        });
        Ok(Self {
            router: finish(routes, common),
            catalog,
            recovery,
            flushing,
            feeding,
            maintenance,
        })
    }
}

/// Merges and tidies up over a bucket and caches of its own.
fn compactor(
    args: &ServeArgs,
    stores: &Stores,
    bucket: Bucket,
    rules: Rules,
    shares: Shares,
) -> Compactor {
    let parts = CompactParts {
        bucket,
        margins: stores.margins,
        rules,
        flush: FlushLimits {
            trust_store_clock: args.trust_store_clock,
            ..FlushLimits::default()
        },
        merge: MergePolicy::default(),
        collect: CollectSettings {
            time_travel: args.time_travel,
            ..CollectSettings::default()
        },
        settings: CompactorSettings {
            merge_memory_bytes: shares.percent(10).clamp(256 << 20, 1 << 30) as u64,
            parallel_merges: args.compaction_jobs,
            ..CompactorSettings::default()
        },
    };
    parts.assemble(None)
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

fn write_settings(args: &ServeArgs, shares: Shares) -> WriteSettings {
    WriteSettings {
        max_request_bytes: args.limits.max_http_request_size,
        body_timeout: args.limits.http_timeout,
        max_bytes_in_flight: shares.percent(10),
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        default_database: args.default_database.clone(),
        ..WriteSettings::default()
    }
}

fn query_settings(args: &ServeArgs, shares: Shares) -> QuerySettings {
    QuerySettings {
        memory_pool_bytes: args.exec_mem_pool_bytes.bytes_of(shares.total),
        tail_bytes: shares.percent(15),
        metadata_cache_bytes: shares.percent(2) as u64,
        chunk_cache_bytes: shares.percent(10) as u64,
        cache_bytes: shares.percent(8) as u64,
        use_caches: !args.disable_caches,
        partitions: thread::available_parallelism().map_or(1, usize::from),
        timeout: args.limits.query_timeout,
        max_rows: args.limits.max_result_rows.map(|rows| rows as u64),
        concurrent_queries: args.limits.max_concurrent_queries.max(1),
        max_staleness: args.max_staleness,
        query_log_size: args.query_log_size,
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        with_authentication: !args.access.without_auth,
        ..QuerySettings::default()
    }
}
