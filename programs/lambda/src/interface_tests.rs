//! Checks that the declared routes are the routes that the routers serve.

use std::collections::BTreeSet;

use axum::{Extension, Router, body::Body, response::IntoResponse};
use http::Request;
use neap_bucket::World;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
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

/// HTTP methods that a route may have. `GET` includes `HEAD`, and all routes answer `OPTIONS`.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Pairs of a method and a path.
type RouteSet = BTreeSet<(&'static str, String)>;

/// Marks the response to a request that matches no route.
#[derive(Clone, Copy, Debug)]
struct NoRoute;

/// Returns the options of a function whose store is a directory, and that store.
fn open<P: Program>(place: &TempDir) -> (P::Options, FunctionStore) {
    let path = place.path().display().to_string();
    let arguments = ["neap", "--object-store", "file", "--data-dir", &path];
    let options = options::parse::<P::Options>(&arguments).unwrap();
    let common: &options::CommonOptions = options.as_ref();
    let opened = FunctionStore::open(&common.store, &World::system()).unwrap();
    (options, opened)
}

/// Returns the paths of a router in API Gateway's syntax. axum exposes them only in its `Debug` output.
fn paths(router: &Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let quoted = shown.split("): \"/").skip(1);
    let paths = quoted.map(|rest| format!("/{}", rest.split('"').next().unwrap()));
    let paths: BTreeSet<String> = paths
        .map(|path| path.replace("{*path}", "{proxy+}"))
        .collect();
    assert!(paths.contains("/health"), "axum shows routers otherwise");
    paths
}

/// Returns the routes that a router serves.
async fn served(routes: Router, opened: &FunctionStore) -> RouteSet {
    let routes = routes.merge(monitoring_routes(opened));
    let paths = paths(&routes);
    let no_route = async || Extension(NoRoute).into_response();
    let router = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_route);
    let mut served = RouteSet::new();
    for path in paths {
        for method in METHODS {
            let request = Request::builder()
                .method(method)
                .uri(path.replace("{proxy+}", "some/path"))
                .body(Body::empty());
            let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
            if answer.extensions().get::<NoRoute>().is_none() {
                served.insert((method, path.clone()));
            }
        }
    }
    served
}

/// Returns the routes that a function declares.
fn declared(routes: &[Route]) -> RouteSet {
    let mut declared = RouteSet::new();
    for route in routes {
        for method in METHODS {
            if [method, "ANY"].contains(&route.method) {
                declared.insert((method, route.path.to_owned()));
            }
        }
    }
    declared
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
        .routes()
        .await
        .unwrap();
    let engine = (EngineProgram::INTERFACE, served(routes, &opened).await);

    for (interface, served) in [write, query, engine] {
        let declared = declared(interface.routes);
        let unserved: Vec<_> = declared.difference(&served).collect();
        let undeclared: Vec<_> = served.difference(&declared).collect();
        assert!(
            unserved.is_empty() && undeclared.is_empty(),
            "{}: {unserved:?} are not served, {undeclared:?} not declared",
            interface.function
        );
    }
}
