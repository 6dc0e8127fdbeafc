//! The routes of a process, and the layers around them.

use std::sync::Arc;

use axum::Router;
use neap_http::{
    AccessControl, ClusterId, Metrics, RequestTracer, ServerInfo, ServiceContext, health_routes,
    metrics_routes, with_traced_layers,
};
use neap_query::QueryEngine;
use neap_write::WriteService;

use super::{function_settings::write_settings, process_context::ProcessContext};
use crate::{
    backups::{self, Backups},
    clock_condition::ClockCondition,
    concurrency_limit::{self, RequestLimits},
    damage::DamageMonitor,
    nodes,
    options::ServeArgs,
    profiles, query_groups,
    readiness::{self, Readiness},
    server_context::ServerContext,
    version::{REVISION, VERSION},
    web_console,
};

/// Returns the routes that store rows; none without the write function.
pub(super) fn write_routes(service: Option<&Arc<WriteService>>, metrics: &Metrics) -> Router {
    let Some(service) = service else {
        return Router::new();
    };
    neap_write::router(Arc::clone(service))
        .merge(neap_write::row_delete_router(Arc::clone(service)))
        .merge(neap_files::router(Arc::clone(service)))
        .merge(neap_sync::router(Arc::clone(service)))
        .merge(neap_influxdb2::router(Arc::clone(service)))
        .merge(neap_prometheus::remote_write::router(Arc::clone(service), metrics))
        .merge(neap_otlp::router(Arc::clone(service)))
        .merge(neap_otlp::grpc_router(Arc::clone(service)))
}

/// Returns the routes that answer queries; none without the query function.
pub(super) fn query_routes(args: &ServeArgs, engine: Option<&Arc<QueryEngine>>) -> Router {
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
        .merge(neap_prometheus::remote_read::router(Arc::clone(engine), database))
}

/// Adds the routes of the process to those of its functions.
pub(super) fn all_routes(
    args: &ServeArgs,
    base: &ServerContext,
    this: ProcessContext<'_>,
    routes: Router,
    backups: Option<&Backups>,
    damage: &Arc<DamageMonitor>,
) -> Router {
    let ProcessContext { node, own, stop, .. } = this;
    let (metrics, world) = (&base.metrics, &base.world);
    let routes = routes
        .merge(web_console::routes(args, base, node))
        .merge(nodes::routes(base.bucket.clone(), Arc::clone(own)))
        .merge(backups::routes(backups))
        .merge(query_groups::routes(Arc::clone(&base.catalog), world.clone()));
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
        .merge(health_routes(ServerInfo::new(VERSION, REVISION, world), args.ping))
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
pub(super) fn add_layers(
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
