//! OTLP over HTTP.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use neap_http::{ApiError, Caller, Kind, STAMP_HEADER, expected_bytes, read_body};
use neap_write::WriteService;
use prost::Message;

use crate::{
    encoding::Encoding,
    export::{ExportError, ExportOutcome, store},
    messages::RpcStatus,
    rows::Signal,
    target::ExportTarget,
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Returns the routes `POST /v1/metrics`, `/v1/logs` and `/v1/traces`, which store OpenTelemetry data with `service`.
///
/// They are merged with the other routes of a process, and wrapped by `neap_http::with_common_layers`, which
/// authenticates requests. They need no other function, so that the write function on Lambda has them, too.
pub fn router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route("/v1/metrics", post(metrics))
        .route("/v1/logs", post(logs))
        .route("/v1/traces", post(traces))
        .with_state(service)
}

async fn metrics(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(&service, Signal::Metrics, request).await
}

async fn logs(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(&service, Signal::Logs, request).await
}

async fn traces(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(&service, Signal::Traces, request).await
}

async fn respond(service: &WriteService, signal: Signal, request: Request) -> Response {
    let encoding = match requested_encoding(request.headers()) {
        Ok(encoding) => encoding,
        Err(error) => return refused(error.into(), Encoding::Json),
    };
    match export(service, signal, encoding, request).await {
        Ok(outcome) => stored(&outcome, signal, encoding),
        Err(error) => refused(error, encoding),
    }
}

async fn export(
    service: &WriteService,
    signal: Signal,
    encoding: Encoding,
    request: Request,
) -> Result<ExportOutcome, ExportError> {
    let (head, body) = request.into_parts();
    let caller = Caller::from_head(&head)?;
    let target = ExportTarget::resolve(service, &caller, &head.headers, &head.uri).await?;
    let limits = service.settings().body_limits();
    let expected = expected_bytes(&head.headers, &limits);
    let reservation = service.reserve(expected).await?;
    let body = read_body(&head.headers, body, &limits, service.world())
        .await
        .map_err(ApiError::from)?;
    store(service, target, reservation, (signal, encoding), body).await
}

/// Returns the encoding that the content type names.
fn requested_encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        _ => Err(ApiError::text(
            Kind::UnsupportedMediaType,
            "unacceptable content-type, expected: application/x-protobuf or application/json",
        )),
    }
}

fn stored(outcome: &ExportOutcome, signal: Signal, encoding: Encoding) -> Response {
    let response = &outcome.response;
    let (content_type, body) = match encoding {
        Encoding::Protobuf => (PROTOBUF, Body::from(response.encode_to_vec())),
        Encoding::Json => {
            let json = response.json(signal.rejected_name());
            (JSON, Body::from(json.to_string()))
        }
    };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    if let Some(stamp) = outcome.stamp {
        let stamp = HeaderValue::from(stamp.as_u64());
        answer.headers_mut().insert(STAMP_HEADER, stamp);
    }
    answer
}

/// Returns the answer to a refused request: `google.rpc.Status`, with the status and headers of the error.
fn refused(refusal: ExportError, encoding: Encoding) -> Response {
    let ExportError { error, detail } = refusal;
    let kind = error.kind();
    let status = RpcStatus::new(kind.grpc_code(), error.message(), detail.as_ref());
    let (content_type, body) = match encoding {
        Encoding::Protobuf => (PROTOBUF, Body::from(status.encode_to_vec())),
        Encoding::Json => (JSON, Body::from(status.json(detail.as_ref()).to_string())),
    };
    let mut answer = error.into_response().map(|_| body);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    if kind == Kind::RequestTimeout {
        // A client retries this status, but not 408.
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}
