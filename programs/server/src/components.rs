//! Assembles the functions of one process.

mod background_tasks;
mod function_settings;
mod process_context;
mod request_services;
mod routers;

use std::sync::Arc;

use axum::Router;
use neap_assembly::ProcessingEngine;
use neap_bucket::World;
use neap_catalog::Catalog;
use neap_files::ImportWorker;
use neap_http::{AccessControl, RequestTracer};
use neap_mcp::LocalApi;
use neap_query::QueryEngine;
use neap_write::WriteService;

pub(super) use self::process_context::ProcessContext;
use self::{
    background_tasks::{compactor, flushing},
    function_settings::flush_limits,
    request_services::RequestServices,
    routers::{add_layers, all_routes},
};
use super::{
    ServeError,
    backups::Backups,
    cache_refresh::CacheRefreshTask,
    cluster::ClusterMember,
    damage::DamageMonitor,
    flush_task::FlushTask,
    maintenance::{FlushedDatabases, MaintenanceStats, MaintenanceTask},
    mcp,
    memory::MemoryWatcher,
    metrics::{self, MetricSources},
    options::{ServeArgs, ServeMode},
    recovery::AdminTokenRecovery,
    rule_evaluation::RuleEvaluationTask,
    scrub::ScrubTask,
    server_context::ServerContext,
    sync::SyncTask,
    version::{REVISION, VERSION},
    view_refresh::ViewRefreshTask,
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

#[cfg(test)]
mod tests;
