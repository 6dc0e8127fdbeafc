//! Tests of the routes of a process.

use neap_http::{
    ENDPOINTS,
    testing::{declared_routes, served_routes},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{heartbeat::OwnNode, tests::parse};

/// Returns the routes of a process with all functions, without the layers around them.
async fn routes() -> Router {
    let args = parse(&["--object-store", "memory"]).unwrap();
    let world = World::system();
    let stores = Stores::open(&args.store, &world).unwrap();
    let base = ServerContext::new(&args, &stores, &world).await.unwrap();
    let services = RequestServices::new(&args, &base).unwrap();
    let backups = Backups::new(&args, &base, flush_limits(&base.memory));
    let damage = Arc::new(DamageMonitor::new(Arc::clone(&base.snapshots)));
    // Profiles end early when the process is asked to stop.
    let stop = CancellationToken::new();
    stop.cancel();
    let this = ProcessContext {
        node: None,
        own: &Arc::new(OwnNode::new(&stores.bucket)),
        stop: &stop,
        traces: None,
    };
    let mut routes = Router::new();
    LocalApi::new(|api| {
        let functions = services.routes.merge(mcp::routes(&args, api, &world));
        routes = all_routes(&args, &base, this, functions, backups.as_ref(), &damage);
        Router::new()
    });
    routes
}

#[tokio::test]
async fn a_process_serves_exactly_the_declared_endpoints() {
    let served = served_routes(routes().await).await;
    let endpoints = ENDPOINTS.iter();
    let declared = declared_routes(endpoints.map(|endpoint| (endpoint.path, endpoint.method)));
    let unserved: Vec<_> = declared.difference(&served).collect();
    // The service of Flight itself refuses other methods.
    let undeclared: Vec<_> = served
        .difference(&declared)
        .filter(|(path, method)| {
            !path.starts_with("/arrow.flight.protocol.FlightService/") || *method == "POST"
        })
        .collect();
    assert!(
        unserved.is_empty() && undeclared.is_empty(),
        "{unserved:?} are not served, {undeclared:?} not declared"
    );
}
