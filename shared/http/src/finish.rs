//! What every answer has, whichever function gives it.
//!
//! [`finish`] is put around the merged routes of the functions of a process, outside of authentication:
//! InfluxDB 3 answers CORS preflights without a token.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW,
    },
};
use neap_bucket::World;
use tracing::Instrument;

use crate::{
    ApiError, ClusterId, CounterFamily, HistogramFamily, Kind, LATENCY_BUCKETS, Metrics, RequestId,
    error::ServerFault,
};

const CLUSTER_HEADER: HeaderName = HeaderName::from_static("cluster-uuid");
const ANY: HeaderValue = HeaderValue::from_static("*");
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// What [`finish`] needs.
#[derive(Clone, Debug)]
pub struct Common {
    /// The UUID for the header `cluster-uuid`.
    pub cluster: ClusterId,
    /// Time, and chance for the ids of requests.
    pub world: World,
    /// Where requests are counted.
    pub metrics: Metrics,
}

#[derive(Debug)]
struct Shared {
    cluster: ClusterId,
    world: World,
    requests: CounterFamily,
    seconds: HistogramFamily,
}

/// Puts around the routes of all functions what every answer has: `cluster-uuid`, the id of the request,
/// CORS headers, 404 for unknown paths and methods, 500 for panics; a span and a line of log for each
/// request, and its place in the metrics. Must be the outermost layer.
pub fn finish(routes: Router, common: Common) -> Router {
    let requests = common.metrics.counter(
        "http_requests_total",
        "Requests by method, route and status.",
        &["method", "path", "status"],
    );
    let seconds = common.metrics.histogram(
        "http_request_duration_seconds",
        "Time from the head of a request to the head of its answer.",
        &["method", "path"],
        LATENCY_BUCKETS,
    );
    let shared = Arc::new(Shared {
        cluster: common.cluster,
        world: common.world,
        requests,
        seconds,
    });
    let no_route = async || ApiError::no_route();
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(from_fn(note_route));
    // The routes are a service of another router, because axum adds `Allow` outside of the layers.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(shared, around))
}

/// The route that a request took, left in the extensions of its answer.
#[derive(Clone, Debug)]
struct Route(MatchedPath);

async fn note_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route));
    }
    response
}

async fn around(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let begun = shared.world.clock.monotonic();
    let id = RequestId::draw(&shared.world);
    let method = request.method().clone();
    let mut response = if method == Method::OPTIONS {
        preflight()
    } else {
        request.extensions_mut().insert(id);
        let span = tracing::info_span!("request", %id, %method, path = request.uri().path());
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        let answer = answer.instrument(span).await;
        answer.unwrap_or_else(|panic| panicked(panic.as_ref()))
    };
    let status = response.status();
    let headers = response.headers_mut();
    headers.remove(ALLOW);
    headers.insert(RequestId::HEADER, id.header_value());
    if status.is_success() {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
    if let Some(cluster) = shared.cluster.header_value(&shared.world).await {
        response.headers_mut().insert(CLUSTER_HEADER, cluster);
    }
    let took = shared.world.clock.monotonic().saturating_sub(begun);
    note_request(&shared, id, &method, &response, took);
    response
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, ANY),
        (ACCESS_CONTROL_ALLOW_HEADERS, ANY),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = text.unwrap_or("of unknown cause"),
        "a request panicked"
    );
    ApiError::json(Kind::Internal, "internal error").into_response()
}

fn note_request(
    shared: &Shared,
    id: RequestId,
    method: &Method,
    response: &Response,
    took: Duration,
) {
    let status = response.status().as_u16();
    let extensions = response.extensions();
    let route = extensions.get::<Route>().map(|Route(path)| path.as_str());
    let path = route.unwrap_or("unmatched");
    let fault = extensions.get::<ServerFault>();
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match fault {
        Some(ServerFault(error)) => {
            tracing::warn!(%id, %method, path, status, took_us, error, "request");
        }
        None => tracing::info!(%id, %method, path, status, took_us, "request"),
    }
    let method = known_method(method);
    let status = response.status();
    shared.requests.add(&[method, path, status.as_str()], 1);
    shared.seconds.observe(&[method, path], took.as_secs_f64());
}

/// The method as a label: clients may make up others.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
