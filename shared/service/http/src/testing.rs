//! The routes of a router, for tests that compare them with [`ENDPOINTS`](crate::ENDPOINTS).

use std::collections::BTreeSet;

use axum::{Extension, Router, body::Body, response::IntoResponse};
use http::{Request, Uri};
use tower::ServiceExt;

/// HTTP methods that a route may have. `GET` includes `HEAD`, and all routes answer `OPTIONS`.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Pairs of a path in axum's syntax and a method.
pub type RouteSet = BTreeSet<(String, &'static str)>;

/// Marks the response to a request that matches no route.
#[derive(Clone, Copy, Debug)]
struct NoRoute;

/// Returns these pairs of a path and a method, with each method in place of `ANY`.
pub fn declared_routes<'a>(routes: impl IntoIterator<Item = (&'a str, &'a str)>) -> RouteSet {
    let mut declared = RouteSet::new();
    for (path, declared_method) in routes {
        let is_declared = |method: &&str| [*method, "ANY"].contains(&declared_method);
        let methods = METHODS.into_iter().filter(is_declared);
        declared.extend(methods.map(|method| (path.to_owned(), method)));
    }
    declared
}

/// Returns the routes that a router serves. The router has no layers of
/// [`with_common_layers`](crate::with_common_layers), which hide its paths.
pub async fn served_routes(routes: Router) -> RouteSet {
    let paths = paths(&routes);
    let no_route = async || Extension(NoRoute).into_response();
    let router = routes.fallback(no_route).method_not_allowed_fallback(no_route);
    let mut served = RouteSet::new();
    for path in paths {
        let Ok(uri) = path.replace("{*path}", "some/path").parse::<Uri>() else {
            continue;
        };
        for method in METHODS {
            let request = Request::builder().method(method).uri(uri.clone());
            let Ok(request) = request.body(Body::empty()) else {
                continue;
            };
            let Ok(answer) = router.clone().oneshot(request).await;
            if answer.extensions().get::<NoRoute>().is_none() {
                served.insert((path.clone(), method));
            }
        }
    }
    served
}

/// Returns the paths of a router. axum exposes them only in its `Debug` output.
fn paths(router: &Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let quoted = shown.split("): \"/").skip(1);
    let paths = quoted.filter_map(|rest| rest.split('"').next());
    paths.map(|path| format!("/{path}")).collect()
}
