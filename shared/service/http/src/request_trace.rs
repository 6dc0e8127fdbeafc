//! Traces of requests whose clients ask for one.
//!
//! This crate opens the span of a request, and the functions open spans for its steps. A process that exports traces
//! provides a [`RequestTracer`]; without one, no request is traced.

use std::{fmt, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use neap_bucket::TRACE_TARGET;
use tracing::{Span, field::Empty};

use crate::RequestId;

/// Connects the spans of requests with the traces of their clients.
pub trait RequestTracer: fmt::Debug + Send + Sync {
    /// Returns whether a client asks for a trace.
    fn is_requested(&self, headers: &HeaderMap) -> bool;

    /// Makes the span of an admitted request a part of the client's trace. `admission` is the time that admission took,
    /// until now.
    fn attach(&self, span: &Span, headers: &HeaderMap, admission: Duration);

    /// Names the span of a request after its route.
    fn rename(&self, span: &Span, name: String);
}

/// Opens the span of a request. It has no attribute that the client may fill with a secret, such as the query of the URL.
pub(crate) fn open_span(method: &Method, id: RequestId) -> Span {
    tracing::trace_span!(
        target: TRACE_TARGET,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = Empty,
        http.response.status_code = Empty,
        request_id = %id,
    )
}

/// Adds the outcome of a request to its span.
pub(crate) fn record_outcome(
    tracer: &dyn RequestTracer,
    span: &Span,
    method: &Method,
    route: &str,
    status: StatusCode,
) {
    tracer.rename(span, format!("{method} {route}"));
    span.record("http.route", route);
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
