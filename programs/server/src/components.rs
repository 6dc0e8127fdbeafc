//! Assembles the functions of one process.

use std::{sync::Arc, thread};

use axum::Router;
use neap_assembly::{ProcessingEngine, ProcessingParts, plugin_files};
use neap_bucket::{Bucket, ProtocolRules, World};
use neap_catalog::{Catalog, HardDelete};
use neap_compact::{
    CompactParts, Compactor, CompactorSettings, FlushLimits, Flusher, GarbageCollectorSettings,
    MergePolicy, ParallelFlusher,
};
use neap_files::ImportWorker;
use neap_flight::FlightParts;
use neap_http::{
    AccessControl, ClusterId, Metrics, RequestTracer, ServerInfo, ServiceContext, health_routes,
    metrics_routes, with_traced_layers,
};
use neap_mcp::LocalApi;
use neap_query::{Executor, QueryEngine, QuerySettings};
use neap_questdb::QuestDbRoutes;
use neap_row_delete::RowDeleter;
use neap_sql_changes::ChangeExecutor;
use neap_write::{WriteService, WriteServiceParts, WriteSettings};
use tokio_util::sync::CancellationToken;

use super::{
    ServeError,
    backups::{self, Backups},
    cache_refresh::CacheRefreshTask,
    clock_condition::ClockCondition,
    cluster::{self, ClusterMember},
    concurrency_limit::{self, RequestLimits},
    damage::DamageMonitor,
    flush_task::FlushTask,
    heartbeat::OwnNode,
    imports,
    maintenance::{FlushedDatabases, MaintenanceStats, MaintenanceTask},
    mcp,
    memory::{MemoryPlan, MemoryWatcher},
    metrics::{self, MemoryUsers, MetricSources, register_memory},
    nodes,
    options::{ServeArgs, ServeMode},
    plugins, postgres, profiles, query_groups, questdb,
    readiness::{self, Readiness},
    recovery::AdminTokenRecovery,
    rule_evaluation::{RuleEvaluationTask, RuleStats},
    scrub::ScrubTask,
    server_context::ServerContext,
    sync::SyncTask,
    traces::TraceExport,
    version::{REVISION, VERSION},
    view_refresh::{ViewRefreshTask, ViewStats},
    web_console,
};
use crate::stores::Stores;

/// The assembled functions of this process.
#[derive(Debug)]
pub(super) struct ServerComponents {
    /// All routes.
    pub(super) router: Router,
    /// The routes as an API, which the tools of agents call as long as it exists.
    pub(super) api: Arc<LocalApi>,
    /// The databases and tokens.
    pub(super) catalog: Arc<Catalog>,
    /// The write function, if this process accepts writes.
    pub(super) writes: Option<Arc<WriteService>>,
    /// The query function, if this process answers queries.
    pub(super) queries: Option<Arc<QueryEngine>>,
    /// Authenticates requests.
    pub(super) access: AccessControl,
    /// Admin token recovery, if this process accepts writes.
    pub(super) recovery: Option<AdminTokenRecovery>,
    /// Background flush, if this process does it.
    pub(super) flushing: Option<FlushTask>,
    /// Backups and restores, if this process maintains the store.
    pub(super) backups: Option<Backups>,
    /// The search for damage, if this process maintains the store.
    pub(super) scrub: Option<ScrubTask>,
    /// Background cache refresh, if this process answers queries.
    pub(super) feeding: Option<CacheRefreshTask>,
    /// Background refresh of materialized views, if this process does it.
    pub(super) views: Option<ViewRefreshTask>,
    /// Background evaluation of rules, if this process does it.
    pub(super) rules: Option<RuleEvaluationTask>,
    /// Background maintenance, if this process does it.
    pub(super) maintenance: Option<MaintenanceTask>,
    /// Processing engine, if this process runs plugins.
    pub(super) processing: Option<ProcessingEngine>,
    /// Memory watcher.
    pub(super) watching: MemoryWatcher,
    /// Distributed queries, if this process answers queries.
    pub(super) cluster: Option<ClusterMember>,
    /// Import jobs, if this process accepts writes.
    pub(super) imports: Option<Arc<ImportWorker>>,
    /// The synchronization with another cluster.
    pub(super) sync: Option<SyncTask>,
}

/// The process of the functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessContext<'a> {
    /// Its configured name.
    pub(super) node: Option<&'a str>,
    /// Its record in the list of nodes.
    pub(super) own: &'a Arc<OwnNode>,
    /// Cancelled when it is asked to stop.
    pub(super) stop: &'a CancellationToken,
    pub(super) traces: Option<&'a Arc<TraceExport>>,
}

impl ServerComponents {
    /// Assembles the functions of a process. Creates the cluster in an unused store.
    pub(super) async fn new(
        args: &ServeArgs,
        this: ProcessContext<'_>,
        stores: &mut Stores,
        world: &World,
    ) -> Result<Self, ServeError> {
        let tracer = this.traces.map(|traces| Arc::clone(traces) as Arc<dyn RequestTracer>);
        let maintained = if args.does(ServeMode::Compact) {
            Some(stores.open_again(&args.store)?)
        } else {
            None
        };
        let base = ServerContext::new(args, stores, world).await?;
        let sources = MetricSources {
            requests: stores.requests(),
            backlog: Arc::clone(&base.backlog),
            blocked: Arc::clone(&base.blocked),
            snapshots: Arc::clone(&base.snapshots),
            world: world.clone(),
            build: [VERSION, REVISION],
        };
        metrics::register(&base.metrics, &sources);
        metrics::register_tail(&base.metrics, &sources);
        let backups = Backups::new(args, &base, flush_limits(&base.memory));
        let functions = RequestServices::new(args, &base)?;
        if let Some(queries) = &functions.queries {
            queries.set_store_requests(stores.counted_requests());
        }
        let damage = Arc::new(DamageMonitor::new(Arc::clone(&base.snapshots)));
        damage.register(&base.metrics);
        let sync = SyncTask::new(&args.sync, &base)?;
        let scrub = ScrubTask::new(args, &base, backups.as_ref(), &damage);
        let routes = functions.routes;
        let access = args.access.access(&base.catalog, &base.metrics);
        let api = LocalApi::new(|api| {
            let routes = routes.merge(mcp::routes(args, api, world));
            let routes = all_routes(args, &base, this, routes, backups.as_ref(), &damage);
            add_layers(&base, routes, access.clone(), tracer)
        });
        let flushed = Arc::new(FlushedDatabases::default());
        let maintain = |bucket| {
            let stats = Arc::new(MaintenanceStats::default());
            let compactor = compactor(args, stores, bucket, base.rules, &base.memory)?;
            metrics::register_maintenance(&base.metrics, &stats, &compactor);
            damage.add(compactor.damaged_objects() as _);
            Ok::<_, ServeError>(MaintenanceTask {
                compactor,
                flushed: Arc::clone(&flushed),
                catalog: Arc::clone(&base.catalog),
                stats,
                interval: args.retention_check_interval,
                world: world.clone(),
            })
        };
        let maintenance = maintained.map(maintain).transpose()?;
        let catalog = Arc::clone(&base.catalog);
        let watching = MemoryWatcher {
            monitor: Arc::clone(&base.monitor),
            queries: functions.queries,
            world: world.clone(),
        };
        let flushing = args.does(ServeMode::Compact).then(|| flushing(base, flushed));
        if let Some(flushing) = &flushing {
            damage.add(flushing.flusher.damaged_objects() as _);
        }
        Ok(Self {
            router: api.router(),
            api,
            catalog,
            writes: functions.ingest,
            queries: functions.served,
            access,
            recovery: functions.recovery,
            backups,
            scrub,
            feeding: functions.feeding,
            views: functions.views,
            rules: functions.rules,
            maintenance,
            processing: functions.processing,
            flushing,
            watching,
            cluster: functions.cluster,
            imports: functions.imports,
            sync,
        })
    }
}

/// The functions that answer requests.
struct RequestServices {
    routes: Router,
    /// The write function, if it accepts writes of clients.
    ingest: Option<Arc<WriteService>>,
    recovery: Option<AdminTokenRecovery>,
    feeding: Option<CacheRefreshTask>,
    views: Option<ViewRefreshTask>,
    rules: Option<RuleEvaluationTask>,
    processing: Option<ProcessingEngine>,
    queries: Option<Arc<QueryEngine>>,
    /// The query function, if it answers queries of clients.
    served: Option<Arc<QueryEngine>>,
    cluster: Option<ClusterMember>,
    imports: Option<Arc<ImportWorker>>,
}

/// Returns the parts of Arrow Flight over the functions that this process offers to clients.
fn flight_parts(
    args: &ServeArgs,
    base: &ServerContext,
    queries: Option<&Arc<QueryEngine>>,
    writes: Option<&Arc<WriteService>>,
) -> FlightParts {
    FlightParts {
        queries: queries.map(Arc::clone),
        writes: writes.map(Arc::clone),
        metrics: base.metrics.clone(),
        world: base.world.clone(),
        // A message is a part of the memory for writes, of which several are under way.
        max_message_bytes: (base.memory.bodies / 4).clamp(4 << 20, 64 << 20),
        message_timeout: args.limits.http_timeout,
    }
}

impl RequestServices {
    fn new(args: &ServeArgs, base: &ServerContext) -> Result<Self, ServeError> {
        // Plugins query and write in process, even if the HTTP endpoints are disabled.
        let has_plugins = plugins::are_on(args);
        let writes = (args.does(ServeMode::Ingest) || has_plugins)
            .then(|| write_service(args, base))
            .transpose()?;
        let ingest = writes.as_ref().filter(|_| args.does(ServeMode::Ingest));
        let (queries, cluster) = if args.does(ServeMode::Query) || has_plugins {
            let (queries, cluster) = query_engine(args, base, ingest)?;
            (Some(queries), cluster)
        } else {
            (None, None)
        };
        let served = queries.clone().filter(|_| args.does(ServeMode::Query));
        let mut routes = write_routes(ingest, &base.metrics)
            .merge(query_routes(args, served.as_ref()))
            .merge(web_console::assistant(args, base)?);
        if let Some(queries) = &served {
            let executor = ChangeExecutor::new(Arc::clone(queries), ingest.map(Arc::clone));
            routes = routes.merge(neap_sql_changes::router(executor));
        }
        let imports = ingest.map(|service| imports::worker(args, base, service));
        if let Some(imports) = &imports {
            routes = routes.merge(neap_files::import_router(Arc::clone(imports)));
        }
        routes = routes.merge(neap_questdb::router(QuestDbRoutes {
            queries: served.clone(),
            writes: ingest.map(Arc::clone),
            default_database: args.default_database.clone(),
        }));
        let flight = flight_parts(args, base, served.as_ref(), ingest);
        if flight.queries.is_some() || flight.writes.is_some() {
            routes = routes.merge(neap_flight::router(flight));
        }
        register_memory(
            &base.metrics,
            &MemoryUsers {
                monitor: Arc::clone(&base.monitor),
                queries: queries.clone(),
                writes: writes.clone(),
                writer: base.writer.clone(),
                snapshots: Arc::clone(&base.snapshots),
            },
        );
        let watched = queries.clone();
        let accepting = ingest.map(Arc::clone);
        let recovery = ingest.map(|service| AdminTokenRecovery::new(Arc::clone(service)));
        let feeding = queries.as_ref().map(|engine| CacheRefreshTask {
            engine: Arc::clone(engine),
            changed: Arc::clone(&base.changed),
            world: base.world.clone(),
        });
        let views = views_task(args, base, queries.as_ref());
        let rules = rules_task(args, base, queries.as_ref());
        let processing = match (writes, queries) {
            (Some(writes), Some(queries)) if has_plugins => {
                Some(processing(args, base, writes, queries))
            }
            (_, Some(queries)) => {
                let code = plugins::settings(args, base.is_sole_writer).code;
                queries.set_plugin_files(plugin_files(Arc::clone(&base.catalog), code));
                None
            }
            _ => None,
        };
        if let Some(processing) = &processing {
            routes = routes.merge(processing.routes());
        } else if args.does(ServeMode::Process) {
            routes = routes.merge(plugins::refusals());
        }
        Ok(Self {
            routes,
            ingest: accepting,
            recovery,
            feeding,
            views,
            rules,
            processing,
            queries: watched,
            served,
            cluster,
            imports,
        })
    }
}

/// Returns the routes that store rows; none without the write function.
fn write_routes(service: Option<&Arc<WriteService>>, metrics: &Metrics) -> Router {
    let Some(service) = service else {
        return Router::new();
    };
    neap_write::router(Arc::clone(service))
        .merge(neap_write::row_delete_router(Arc::clone(service)))
        .merge(neap_files::router(Arc::clone(service)))
        .merge(neap_sync::router(Arc::clone(service)))
        .merge(neap_influxdb2::router(Arc::clone(service)))
        .merge(neap_prometheus::remote_write::router(
            Arc::clone(service),
            metrics,
        ))
        .merge(neap_otlp::router(Arc::clone(service)))
        .merge(neap_otlp::grpc_router(Arc::clone(service)))
}

/// Returns the routes that answer queries; none without the query function.
fn query_routes(args: &ServeArgs, engine: Option<&Arc<QueryEngine>>) -> Router {
    let Some(engine) = engine else {
        return Router::new();
    };
    let database = args.default_database.clone();
    neap_query::router(Arc::clone(engine))
        .merge(neap_query::export_router(Arc::clone(engine)))
        .merge(neap_query::concurrency_limit_router(Arc::clone(engine)))
        .merge(neap_query::view_router(Arc::clone(engine)))
        .merge(neap_iceberg::router(Arc::clone(engine), &args.store))
        .merge(neap_jaeger::router(Arc::clone(engine), database.clone()))
        .merge(neap_prometheus::remote_read::router(
            Arc::clone(engine),
            database,
        ))
}

fn write_service(args: &ServeArgs, base: &ServerContext) -> Result<Arc<WriteService>, ServeError> {
    let service = WriteService::new(WriteServiceParts {
        catalog: Arc::clone(&base.catalog),
        writer: base.writer.clone(),
        rules: base.rules,
        metrics: base.metrics.clone(),
        settings: write_settings(args, &base.memory),
    })
    .with_pressure(base.monitor.pressure())
    .with_identity(args.access.identity(&base.catalog)?);
    Ok(Arc::new(service))
}

/// Returns whether this process refreshes materialized views: it must flush, query and write.
fn refreshes_views(args: &ServeArgs) -> bool {
    let modes = [ServeMode::Ingest, ServeMode::Query, ServeMode::Compact];
    modes.into_iter().all(|mode| args.does(mode))
}

/// Returns the background refresh of materialized views, if this process does it.
fn views_task(
    args: &ServeArgs,
    base: &ServerContext,
    engine: Option<&Arc<QueryEngine>>,
) -> Option<ViewRefreshTask> {
    let engine = engine.filter(|_| refreshes_views(args))?;
    let stats = Arc::new(ViewStats::default());
    metrics::register_views(&base.metrics, &stats);
    Some(ViewRefreshTask {
        engine: Arc::clone(engine),
        catalog: Arc::clone(&base.catalog),
        flushed: Arc::clone(&base.flushed_sources),
        backlog: Arc::clone(&base.backlog),
        stats,
        interval: args.rollup_interval,
        world: base.world.clone(),
    })
}

/// Returns the background evaluation of rules, if this process does it: where views are refreshed.
fn rules_task(
    args: &ServeArgs,
    base: &ServerContext,
    engine: Option<&Arc<QueryEngine>>,
) -> Option<RuleEvaluationTask> {
    let engine = engine.filter(|_| refreshes_views(args))?;
    let stats = Arc::new(RuleStats::default());
    metrics::register_rules(&base.metrics, &stats);
    Some(RuleEvaluationTask {
        engine: Arc::clone(engine),
        catalog: Arc::clone(&base.catalog),
        stats,
        world: base.world.clone(),
    })
}

/// Creates the query engine, which deletes rows through `deleter`, if any, and runs queries on workers, if it may.
fn query_engine(
    args: &ServeArgs,
    base: &ServerContext,
    deleter: Option<&Arc<WriteService>>,
) -> Result<(Arc<QueryEngine>, Option<ClusterMember>), ServeError> {
    let identity = match deleter {
        Some(writes) => writes.identity().cloned(),
        None => args.access.identity(&base.catalog)?,
    };
    let settings = query_settings(args, &base.memory);
    let settings = QuerySettings {
        pressure: base.monitor.pressure(),
        executor: Executor::with_threads(settings.partitions)?,
        ..settings
    };
    let engine = QueryEngine::new(
        base.bucket.clone(),
        Arc::clone(&base.catalog),
        base.manifests.clone(),
        Arc::clone(&base.snapshots),
        settings,
    )?
    .with_exports(base.uploads.clone())
    .with_identity(identity)
    .with_notifier(args.notifications.notifier()?);
    let engine = match deleter {
        Some(deleter) => engine
            .with_deleter(Arc::clone(deleter) as Arc<dyn RowDeleter>)
            .with_row_writer(Arc::clone(deleter) as _),
        None => engine,
    };
    let engine = if deleter.is_some() && refreshes_views(args) {
        engine.with_views()
    } else {
        engine
    };
    let member = args.does(ServeMode::Query).then(|| {
        let environment = engine.scan_environment(base.tail.clone());
        ClusterMember::new(args, base, environment, &format!("{VERSION}-{REVISION}"))
    });
    let engine = match &member {
        Some(member) if cluster::is_coordinator(args) => {
            engine.with_distributor(member.distributor(args, base))
        }
        _ => engine,
    };
    let engine = Arc::new(engine);
    metrics::register_queries(&base.metrics, &engine);
    if let Some(member) = &member {
        metrics::register_cluster(&base.metrics, &engine, member);
    }
    Ok((engine, member))
}

/// Creates the processing engine and subscribes it to segments.
fn processing(
    args: &ServeArgs,
    base: &ServerContext,
    writes: Arc<WriteService>,
    queries: Arc<QueryEngine>,
) -> ProcessingEngine {
    let processing = ProcessingEngine::new(ProcessingParts {
        catalog: Arc::clone(&base.catalog),
        rules: base.rules,
        tail: base.tail.clone(),
        writes,
        queries,
        metrics: base.metrics.clone(),
        settings: plugins::settings(args, base.is_sole_writer),
    });
    base.triggers.tell(processing.engine());
    processing
}

/// Adds the routes of the process to those of its functions.
fn all_routes(
    args: &ServeArgs,
    base: &ServerContext,
    this: ProcessContext<'_>,
    routes: Router,
    backups: Option<&Backups>,
    damage: &Arc<DamageMonitor>,
) -> Router {
    let ProcessContext {
        node, own, stop, ..
    } = this;
    let (metrics, world) = (&base.metrics, &base.world);
    let routes = routes
        .merge(web_console::routes(args, base, node))
        .merge(nodes::routes(base.bucket.clone(), Arc::clone(own)))
        .merge(backups::routes(backups))
        .merge(query_groups::routes(
            Arc::clone(&base.catalog),
            world.clone(),
        ));
    let limits = RequestLimits {
        requests: args.limits.max_concurrent_requests,
        // The reservation of a write is several times the size of its body; half of the write memory is left for other
        // requests.
        stalled_bytes: write_settings(args, &base.memory).max_bytes_in_flight / 6,
        body_bytes: args.limits.max_http_request_size,
    };
    // Health endpoints and the page are outside the limit, so that they answer under load.
    concurrency_limit::limit_concurrency(routes, limits, metrics, world)
        .merge(web_console::page_routes(args))
        .merge(health_routes(
            ServerInfo::new(VERSION, REVISION, world),
            args.ping,
        ))
        .merge(metrics_routes(metrics.clone()))
        .merge(profiles::routes(stop.clone(), world.clone()))
        .merge(readiness::routes(Readiness {
            catalog: Arc::clone(&base.catalog),
            stop: stop.clone(),
            started_micros: world.clock.wall_micros(),
            world: world.clone(),
            conditions: vec![
                Arc::new(ClockCondition(base.bucket.clone())),
                Arc::clone(&base.blocked) as _,
                Arc::clone(damage) as _,
            ],
        }))
}

/// Wraps all routes in the layers that every answer needs.
fn add_layers(
    base: &ServerContext,
    routes: Router,
    access: AccessControl,
    tracer: Option<Arc<dyn RequestTracer>>,
) -> Router {
    let common = ServiceContext {
        cluster: ClusterId::new(Arc::clone(&base.catalog)),
        world: base.world.clone(),
        metrics: base.metrics.clone(),
        access,
    };
    with_traced_layers(routes, common, tracer)
}

/// Returns the resource limits of a flush.
fn flush_limits(memory: &MemoryPlan) -> FlushLimits {
    FlushLimits {
        segment_bytes: (memory.flush as u64 / 8).clamp(1 << 20, 64 << 20),
        // A flush holds the rows of a table with caches, and beside them the encoded sections; of other tables, a few
        // columns at a time.
        table_bytes: memory.flush as u64 / 4,
        cached_bytes: memory.cache_objects as u64,
        ..FlushLimits::default()
    }
}

/// Creates the background flush.
fn flushing(base: ServerContext, flushed: Arc<FlushedDatabases>) -> FlushTask {
    let limits = flush_limits(&base.memory);
    FlushTask {
        flusher: ParallelFlusher::new(Flusher::new(
            base.bucket,
            Arc::clone(&base.catalog),
            base.manifests,
            base.tail,
            base.rules,
            limits,
        )),
        catalog: base.catalog,
        backlog: base.backlog,
        blocked: base.blocked,
        flushed,
        changed: base.changed,
        flushed_sources: base.flushed_sources,
        snapshots: base.snapshots,
        triggers: base.triggers,
        writer: base.writer,
        pressure: base.monitor.pressure(),
        world: base.world,
    }
}

/// Creates a compactor with its own bucket connections and caches.
fn compactor(
    args: &ServeArgs,
    stores: &Stores,
    bucket: Bucket,
    rules: ProtocolRules,
    memory: &MemoryPlan,
) -> Result<Compactor, ServeError> {
    let jobs = args.compaction_jobs.max(1);
    let parts = CompactParts {
        bucket,
        margins: stores.margins,
        rules,
        flush: flush_limits(memory),
        merge: MergePolicy::default(),
        collect: GarbageCollectorSettings::for_queries(
            args.time_travel,
            args.limits.query_timeout,
        )?,
        settings: CompactorSettings {
            merge_memory_bytes: (memory.merges / jobs) as u64,
            parallel_merges: jobs,
            ..CompactorSettings::default()
        },
    };
    let compactor = parts.assemble(None);
    Ok(match args.publish.settings(&args.store)? {
        Some(settings) => compactor.publishing(settings),
        None => compactor,
    })
}

fn write_settings(args: &ServeArgs, memory: &MemoryPlan) -> WriteSettings {
    let of_questdb = args.questdb_bind.as_ref().map_or(0, |_| questdb::buffered_bytes(memory));
    let of_postgres = args.postgres_bind.as_ref().map_or(0, |_| postgres::buffered_bytes(memory));
    let of_bodies = memory.bodies.saturating_sub(of_questdb + of_postgres);
    WriteSettings {
        max_request_bytes: args.limits.max_http_request_size,
        body_timeout: args.limits.http_timeout,
        // The minima of the listeners may exceed the memory of a small process.
        max_bytes_in_flight: of_bodies.max(memory.bodies / 2),
        questdb_over_tcp: args.questdb_bind.is_some(),
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        default_database: args.default_database.clone(),
        legacy_writes: args.legacy_writes,
        max_new_tables: args.limits.max_new_tables,
        ..WriteSettings::default()
    }
}

fn query_settings(args: &ServeArgs, memory: &MemoryPlan) -> QuerySettings {
    let concurrent_queries = memory.queries_within(args.limits.max_concurrent_queries);
    QuerySettings {
        memory_pool_bytes: memory.queries,
        spill_dir: args.spill_dir.clone(),
        spill_bytes: args.max_spill_bytes as u64,
        tail_bytes: memory.tails,
        metadata_cache_bytes: memory.footers as u64,
        chunk_cache_bytes: memory.chunks as u64,
        cache_bytes: memory.caches as u64,
        answer_cache_bytes: memory.answers,
        pretty_bytes: (memory.results / concurrent_queries).min(64 << 20),
        use_caches: !args.disable_caches,
        partitions: thread::available_parallelism().map_or(1, usize::from),
        timeout: args.limits.query_timeout,
        max_rows: args.limits.max_result_rows.map(|rows| rows as u64),
        max_windows: args.limits.max_windows as u64,
        concurrent_queries,
        max_staleness: args.max_staleness,
        query_log_size: args.query_log_entries(),
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        with_authentication: !args.access.without_auth,
        ..QuerySettings::default()
    }
}

#[cfg(test)]
mod tests;
