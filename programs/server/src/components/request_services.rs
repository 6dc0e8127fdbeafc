//! The functions that answer requests: writes, queries and plugins.

use std::sync::Arc;

use axum::Router;
use neap_assembly::{ProcessingEngine, ProcessingParts, plugin_files};
use neap_files::ImportWorker;
use neap_flight::FlightParts;
use neap_query::{Executor, QueryEngine, QuerySettings};
use neap_questdb::QuestDbRoutes;
use neap_row_delete::RowDeleter;
use neap_sql_changes::ChangeExecutor;
use neap_write::{WriteService, WriteServiceParts};

use super::{
    background_tasks::{refreshes_views, rules_task, views_task},
    function_settings::{query_settings, write_settings},
    routers::{query_routes, write_routes},
};
use crate::{
    ServeError,
    cache_refresh::CacheRefreshTask,
    cluster::{self, ClusterMember},
    imports,
    metrics::{self, MemoryUsers, register_memory},
    options::{ServeArgs, ServeMode},
    plugins,
    recovery::AdminTokenRecovery,
    rule_evaluation::RuleEvaluationTask,
    server_context::ServerContext,
    version::{REVISION, VERSION},
    view_refresh::ViewRefreshTask,
    web_console,
};

/// The functions that answer requests.
pub(super) struct RequestServices {
    pub(super) routes: Router,
    /// The write function, if it accepts writes of clients.
    pub(super) ingest: Option<Arc<WriteService>>,
    pub(super) recovery: Option<AdminTokenRecovery>,
    pub(super) feeding: Option<CacheRefreshTask>,
    pub(super) views: Option<ViewRefreshTask>,
    pub(super) rules: Option<RuleEvaluationTask>,
    pub(super) processing: Option<ProcessingEngine>,
    pub(super) queries: Option<Arc<QueryEngine>>,
    /// The query function, if it answers queries of clients.
    pub(super) served: Option<Arc<QueryEngine>>,
    pub(super) cluster: Option<ClusterMember>,
    pub(super) imports: Option<Arc<ImportWorker>>,
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
    pub(super) fn new(args: &ServeArgs, base: &ServerContext) -> Result<Self, ServeError> {
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
