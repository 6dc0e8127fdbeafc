//! Checks that the declared routes are the routes that the routers serve.

use axum::Router;
use neap_bucket::World;
use neap_http::testing::{RouteSet, declared_routes, served_routes};
use tempfile::TempDir;

use crate::{
    engine::{EngineProgram, EngineRouteProvider},
    http::RouteProvider,
    http_service::monitoring_routes,
    options,
    query::{QueryProgram, QueryRouteProvider},
    runtime::Program,
    store::FunctionStore,
    write::{WriteProgram, WriteRouteProvider},
};

/// Returns the options of a function whose store is a directory, and that store.
fn open<P: Program>(place: &TempDir) -> (P::Options, FunctionStore) {
    let path = place.path().display().to_string();
    let arguments = ["neap", "--object-store", "file", "--data-dir", &path];
    let options = options::parse::<P::Options>(&arguments).unwrap();
    let common: &options::CommonOptions = options.as_ref();
    let opened = FunctionStore::open(&common.store, &World::system()).unwrap();
    (options, opened)
}

/// Returns the routes that a function serves.
async fn served(routes: Router, opened: &FunctionStore) -> RouteSet {
    served_routes(routes.merge(monitoring_routes(opened))).await
}

#[tokio::test]
async fn declared_routes_are_those_that_are_served() {
    let place = tempfile::tempdir().unwrap();
    let (options, opened) = open::<WriteProgram>(&place);
    let routes = WriteRouteProvider::new(&options, opened.clone())
        .unwrap()
        .routes()
        .await
        .unwrap();
    let write = (WriteProgram::INTERFACE, served(routes, &opened).await);

    let (options, opened) = open::<QueryProgram>(&place);
    let routes = QueryRouteProvider::new(&options, opened.clone())
        .unwrap()
        .routes()
        .await
        .unwrap();
    let query = (QueryProgram::INTERFACE, served(routes, &opened).await);

    let (options, opened) = open::<EngineProgram>(&place);
    let routes = EngineRouteProvider::new(&options, opened.clone())
        .unwrap()
        .routes()
        .await
        .unwrap();
    let engine = (EngineProgram::INTERFACE, served(routes, &opened).await);

    for (interface, served) in [write, query, engine] {
        let declared = declared_routes(interface.routes());
        let unserved: Vec<_> = declared.difference(&served).collect();
        let undeclared: Vec<_> = served.difference(&declared).collect();
        assert!(
            unserved.is_empty() && undeclared.is_empty(),
            "{}: {unserved:?} are not served, {undeclared:?} not declared",
            interface.function
        );
    }
}
