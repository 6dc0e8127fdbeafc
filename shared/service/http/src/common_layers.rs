//! The layers around the routes of all functions: authentication, CORS, request ids, logs, metrics.
//!
//! [`with_common_layers`] wraps the merged routes of the functions of a process. A request passes these steps, in the order of
//! InfluxDB 3:
//!
//! ```text
//!   CORS preflight: answered ── tokens switched off: 405 ── authentication: 400, 401 ── no such route: 404
//!     ── not for this token: 403 ── handler
//! ```

use std::{convert::identity, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW,
    },
};
use neap_bucket::World;
use neap_catalog::origin;
use tracing::{Instrument, Span};

use crate::{
    AccessControl, ApiError, CLUSTER_HEADER, Caller, ClusterId, CounterFamily, HistogramFamily,
    Kind, LATENCY_BUCKETS, Metrics, RequestId,
    auth::{AdmittedRequest, admit, check_route, is_for_own_pages},
    error::AnsweredError,
    grpc,
    iceberg_errors::{into_iceberg, is_of_iceberg},
    influxdb2_errors::{into_influxdb2, is_of_influxdb2},
    influxdb2_missing::no_route,
    request_trace::{RequestTracer, open_span, record_outcome},
};

const ANY: HeaderValue = HeaderValue::from_static("*");
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The parameters of [`with_common_layers`].
#[derive(Clone, Debug)]
pub struct ServiceContext {
    /// The UUID for the header `cluster-uuid`.
    pub cluster: ClusterId,
    /// The clock, and the source of randomness for request ids.
    pub world: World,
    /// The registry of the request metrics.
    pub metrics: Metrics,
    /// Whether requests need a token.
    pub access: AccessControl,
}

#[derive(Debug)]
struct LayerState {
    access: AccessControl,
    cluster: ClusterId,
    world: World,
    tracer: Option<Arc<dyn RequestTracer>>,
    requests: CounterFamily,
    seconds: HistogramFamily,
}

/// Wraps the routes of all functions in the layers that every answer needs: `cluster-uuid`, the request id, CORS
/// headers, 404 for unknown paths and methods, 500 for panics, and for each request a span, a log line and metrics.
/// Must be the outermost layer.
pub fn with_common_layers(routes: Router, common: ServiceContext) -> Router {
    with_traced_layers(routes, common, None)
}

/// The same as [`with_common_layers`], with traces of the requests whose clients ask for one.
pub fn with_traced_layers(
    routes: Router,
    common: ServiceContext,
    tracer: Option<Arc<dyn RequestTracer>>,
) -> Router {
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
    let shared = Arc::new(LayerState {
        access: common.access,
        cluster: common.cluster,
        world: common.world,
        tracer,
        requests,
        seconds,
    });
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(from_fn(record_route));
    // The routes are a service of another router, because axum adds `Allow` outside of the layers.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(shared, handle_request))
}

/// The route that a request matched. Stored in the extensions of its answer.
#[derive(Clone, Debug)]
struct MatchedRoute(MatchedPath);

async fn record_route(request: Request, next: Next) -> Response {
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let mut response = match check_route(&request, route.as_str()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(MatchedRoute(route));
    response
}

async fn handle_request(
    State(shared): State<Arc<LayerState>>,
    request: Request,
    next: Next,
) -> Response {
    let started_at = shared.world.clock.monotonic();
    let id = RequestId::draw(&shared.world);
    let is_grpc = grpc::is_grpc(request.headers());
    let method = request.method().clone();
    let is_for_all_pages = !is_for_own_pages(request.uri().path());
    let into_error_form = error_form(request.uri().path());
    let mut trace = Span::none();
    let mut response = if method == Method::OPTIONS {
        preflight()
    } else {
        let (head, body) = request.into_parts();
        match admit(&shared.access, &head, id).await {
            Ok(admitted) => {
                if let Some(tracer) = &shared.tracer
                    && tracer.is_requested(&head.headers)
                {
                    let admission = shared.world.clock.monotonic().saturating_sub(started_at);
                    trace = open_span(&method, id);
                    tracer.attach(&trace, &head.headers, admission);
                }
                let request = Request::from_parts(head, body);
                let answer = answer(request, next, id, admitted);
                answer.instrument(trace.clone()).await
            }
            Err(error) => error.into_response(),
        }
    };
    response = into_error_form(response);
    let status = response.status();
    let is_forbidden = status == StatusCode::FORBIDDEN || grpc::is_permission_denied(&response);
    if let (true, AccessControl::Tokens(authenticator)) = (is_forbidden, &shared.access) {
        authenticator.count_forbidden();
    }
    let headers = response.headers_mut();
    headers.remove(ALLOW);
    headers.insert(RequestId::HEADER, id.header_value());
    if status.is_success() && is_for_all_pages {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
    if let Some(cluster) = shared.cluster.header_value(&shared.world).await {
        response.headers_mut().insert(CLUSTER_HEADER, cluster);
    }
    let took = shared.world.clock.monotonic().saturating_sub(started_at);
    record_request(&shared, id, &method, &response, took);
    let has_route = response.extensions().get::<MatchedRoute>().is_some();
    if let Some(tracer) = shared.tracer.as_ref().filter(|_| !trace.is_disabled()) {
        let route = route_of(&response);
        record_outcome(tracer.as_ref(), &trace, &method, route, status);
    }
    if is_grpc {
        grpc::into_grpc(response, has_route)
    } else {
        response
    }
}

/// Returns the function that turns errors into those of the interface to which a path belongs.
fn error_form(path: &str) -> fn(Response) -> Response {
    if is_of_influxdb2(path) {
        into_influxdb2
    } else if is_of_iceberg(path) {
        into_iceberg
    } else {
        identity
    }
}

/// Runs an admitted request in a span and with the origin of its changes.
async fn answer(
    mut request: Request,
    next: Next,
    id: RequestId,
    AdmittedRequest { caller, origin }: AdmittedRequest,
) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("request", %id, %method, path, token = caller.token_name());
    let extensions = request.extensions_mut();
    extensions.insert(id);
    extensions.insert(caller.clone());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut answer = origin::scope(origin, answer.instrument(span))
        .await
        .unwrap_or_else(|panic| panicked(panic.as_ref()));
    // Used for the log line.
    answer.extensions_mut().insert(caller);
    answer
}

/// Returns the route that a request matched.
fn route_of(response: &Response) -> &str {
    let route = response.extensions().get::<MatchedRoute>();
    route.map_or("unmatched", |MatchedRoute(path)| path.as_str())
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
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("of unknown cause"), "a request panicked");
    ApiError::json(Kind::Internal, "internal error").into_response()
}

fn record_request(
    shared: &LayerState,
    id: RequestId,
    method: &Method,
    response: &Response,
    took: Duration,
) {
    let status = response.status().as_u16();
    let extensions = response.extensions();
    let path = route_of(response);
    // A message with a status of 500 or more is about the server and not about the request.
    let fault = extensions
        .get::<AnsweredError>()
        .filter(|_| response.status().is_server_error());
    let token = extensions.get::<Caller>().and_then(Caller::token_name);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match fault {
        Some(AnsweredError { message, .. }) => {
            tracing::warn!(%id, %method, path, status, took_us, token, error = message, "request");
        }
        None => tracing::info!(%id, %method, path, status, took_us, token, "request"),
    }
    let method = known_method(method);
    let status = response.status();
    shared.requests.add(&[method, path, status.as_str()], 1);
    shared.seconds.observe(&[method, path], took.as_secs_f64());
}

/// Returns the method as a label. Other methods are counted together, because clients may invent any number of them.
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
#[path = "common_layers_tests.rs"]
mod tests;
