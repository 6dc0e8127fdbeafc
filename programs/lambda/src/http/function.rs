//! A function that answers HTTP.

use std::{
    convert::Infallible,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    },
    response::Parts,
};
use lambda_runtime::FunctionResponse;
use neap_bucket::{Bucket, PresignedObjects, World};
use neap_http::{
    ApiError, CLUSTER_HEADER, CounterFamily, Kind, Metrics, RequestDeadline, RequestId,
};
use serde_json::{json, value::RawValue};
use tokio::sync::OnceCell;
use tower::ServiceExt;

use super::{
    EventError, HttpEvent, HttpEventRequest, HttpEventResponse, HttpSource,
    error::{BodyErrorMapper, panic_error},
    large_responses::{self, CollectedBody},
    streamed_response::{ReplyStream, stream_response},
};
use crate::{
    options::HttpOptions,
    runtime::{BufferedReply, EventFailure, EventReply},
};

/// Time before the deadline of an invocation at which work on a request ends with its own error, if it can.
const RESERVE: Duration = Duration::from_secs(1);

/// Time before the deadline of an invocation at which it is answered, even if work still runs.
const LAST_RESERVE: Duration = Duration::from_millis(400);

/// Time after which clients should retry.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Maximum response that a load balancer accepts from a function, in bytes.
const LOAD_BALANCER_BYTES: usize = 1_000_000;

/// Headers that describe the body of a response and are wrong for any other body.
const BODY_HEADERS: [HeaderName; 9] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
];

/// Paths of the monitoring routes. They are served even if the store does not answer, as far as they require no token.
const MONITORING_PATHS: [&str; 4] = ["/health", "/api/v1/health", "/ping", "/metrics"];

/// The routes of a function. They are created when the required objects have been read from the store.
#[async_trait]
pub trait RouteProvider: fmt::Debug + Send + Sync + 'static {
    /// Creates the routes of this function alone.
    ///
    /// # Errors
    /// The store does not answer, or an object in it is damaged.
    async fn routes(&self) -> Result<Router, ApiError>;

    /// Adds what all functions have: the routes of `/health`, `/ping` and `/metrics`, and the layers of every response. Sends
    /// no requests to the store.
    fn complete(&self, routes: Router) -> Router;

    /// Flushes waiting batches and disables batching, because the instance is about to end.
    fn begin_shutdown(&self) {}
}

/// Components of an [`HttpFunction`].
#[derive(Debug)]
pub struct HttpFunctionParts {
    /// The options.
    pub options: HttpOptions,
    /// The bucket for large responses.
    pub bucket: Bucket,
    /// Signs the URLs of large responses. If `None`, large responses become errors.
    pub links: Option<PresignedObjects>,
    /// The metrics of the instance.
    pub metrics: Metrics,
    /// The routes of the function.
    pub served: Arc<dyn RouteProvider>,
    /// Converts the error with which a body broke off.
    pub fault_of_body: BodyErrorMapper,
}

/// A function that answers HTTP.
#[derive(Debug)]
pub struct HttpFunction {
    parts: HttpFunctionParts,
    /// The common routes alone, for use until the others exist.
    monitoring: Router,
    router: OnceCell<Router>,
    errors: CounterFamily,
    /// The cluster's UUID, taken from the first response that has it.
    cluster: OnceLock<HeaderValue>,
}

/// The facts about a request that its response and the log need.
#[derive(Debug)]
struct RequestInfo {
    source: HttpSource,
    /// Method and path, for the log.
    name: String,
}

impl HttpFunction {
    /// Creates the function without sending requests to the store.
    pub fn new(parts: HttpFunctionParts) -> Self {
        let errors = parts.metrics.counter(
            "neap_function_errors_total",
            "Requests answered outside the routes, by status.",
            &["status"],
        );
        Self {
            // Created before the other routes, because the last registration of a metric counts.
            monitoring: parts.served.complete(Router::new()),
            parts,
            router: OnceCell::new(),
            errors,
            cluster: OnceLock::new(),
        }
    }

    fn world(&self) -> &World {
        self.parts.bucket.world()
    }

    /// Returns whether responses are streamed.
    pub fn streams(&self) -> bool {
        self.parts.options.response_streaming
    }

    /// Flushes waiting batches and disables batching, because the instance is about to end.
    pub fn begin_shutdown(&self) {
        self.parts.served.begin_shutdown();
    }

    /// Returns the routes. The first call reads from the store.
    ///
    /// # Errors
    /// The store does not answer. The next call tries again.
    pub async fn router(&self) -> Result<&Router, ApiError> {
        let served = &self.parts.served;
        let create = async || Ok(served.complete(served.routes().await?));
        self.router.get_or_try_init(create).await
    }

    /// Creates the routes before the first event. A failure is logged.
    pub async fn warm(&self) {
        if let Err(error) = self.router().await {
            tracing::warn!(%error, "warm-up failed; the first event retries");
        }
    }

    /// Answers the request in an event.
    ///
    /// # Errors
    /// The event is not a request.
    pub async fn handle(
        &self,
        event: &RawValue,
        left: Duration,
    ) -> Result<EventReply, EventFailure> {
        let event =
            serde_json::from_str::<HttpEvent>(event.get()).map_err(|_| EventError::NotHttp)?;
        Ok(match self.answer(event, left).await? {
            FunctionResponse::BufferedResponse(answer) => {
                FunctionResponse::BufferedResponse(BufferedReply::Http(Box::new(answer)))
            }
            FunctionResponse::StreamingResponse(pieces) => {
                FunctionResponse::StreamingResponse(pieces)
            }
        })
    }

    /// Answers a request within the time that is left of the invocation.
    ///
    /// # Errors
    /// The event is not a request.
    pub async fn answer(
        &self,
        event: HttpEvent,
        left: Duration,
    ) -> Result<FunctionResponse<HttpEventResponse, ReplyStream>, EventError> {
        let asked = RequestInfo { source: event.source()?, name: event.name() };
        let left = if event.is_through_gateway() {
            left.min(self.parts.options.request_timeout)
        } else {
            left
        };
        let HttpEventRequest { request, .. } =
            match event.into_request(&self.parts.options.base_path) {
                Ok(incoming) => incoming,
                Err(error) => {
                    return Ok(self.refuse(&asked, &error, event_error_response(&error)).await);
                }
            };
        let work = AssertUnwindSafe(self.serve(&asked, request, left)).catch_unwind();
        let limit = left.saturating_sub(LAST_RESERVE);
        let error = match self.world().timeout(limit, work).await {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(panic)) => panic_error(panic.as_ref()),
            None => out_of_time(),
        };
        Ok(self.fail(&asked, error).await)
    }

    async fn serve(
        &self,
        asked: &RequestInfo,
        mut request: Request,
        left: Duration,
    ) -> FunctionResponse<HttpEventResponse, ReplyStream> {
        let now = self.world().clock.monotonic();
        let ends = now.saturating_add(left.saturating_sub(RESERVE));
        request.extensions_mut().insert(RequestDeadline { ends });
        let is_monitoring = MONITORING_PATHS.contains(&request.uri().path());
        let router = if is_monitoring && !self.router.initialized() {
            &self.monitoring
        } else {
            match self.router().await {
                Ok(router) => router,
                Err(error) => return self.fail(asked, error).await,
            }
        };
        let answered: Result<Response, Infallible> = router.clone().oneshot(request).await;
        let Ok(response) = answered;
        if let Some(cluster) = response.headers().get(CLUSTER_HEADER) {
            self.cluster.get_or_init(|| cluster.clone());
        }
        self.reply(asked.source, response).await
    }

    async fn fail(
        &self,
        asked: &RequestInfo,
        error: ApiError,
    ) -> FunctionResponse<HttpEventResponse, ReplyStream> {
        let response = error.clone().into_response();
        self.refuse(asked, &error, response).await
    }

    /// Builds the response for an error that occurred outside the routes, with the headers of every response. The body
    /// is always small.
    async fn refuse(
        &self,
        asked: &RequestInfo,
        error: &(dyn fmt::Display + Sync),
        mut response: Response,
    ) -> FunctionResponse<HttpEventResponse, ReplyStream> {
        let id = RequestId::draw(self.world());
        let status = response.status();
        let headers = response.headers_mut();
        headers.insert(RequestId::HEADER, id.header_value());
        if let Some(cluster) = self.cluster.get() {
            headers.insert(CLUSTER_HEADER, cluster.clone());
        }
        tracing::warn!(%id, request = asked.name, status = status.as_u16(), %error, "a request failed outside the routes");
        self.errors.add(&[status.as_str()], 1);
        self.reply(asked.source, response).await
    }

    /// Returns a streamed response if the function is invoked with streaming, otherwise a buffered one.
    async fn reply(
        &self,
        source: HttpSource,
        response: Response,
    ) -> FunctionResponse<HttpEventResponse, ReplyStream> {
        if self.parts.options.response_streaming {
            let fault = self.parts.fault_of_body;
            FunctionResponse::StreamingResponse(stream_response(response, fault).await)
        } else {
            FunctionResponse::BufferedResponse(self.buffered(source, response).await)
        }
    }

    /// Buffers a response. If it exceeds the limit, stores its body in the bucket and redirects the client there.
    async fn buffered(&self, source: HttpSource, response: Response) -> HttpEventResponse {
        let (head, body) = response.into_parts();
        let limit = self.limit(source);
        let (pieces, rest) = match large_responses::collect(body, limit).await {
            Ok(CollectedBody::Whole(body)) => {
                let answer =
                    HttpEventResponse::new(source, head.status, head.headers.clone(), body.clone());
                if answer.encoded_bytes() <= limit {
                    return answer;
                }
                (vec![body], Body::empty())
            }
            Ok(CollectedBody::Larger(pieces, rest)) => (pieces, rest),
            Err(error) => {
                return self
                    .replace_with_error(source, &head, (self.parts.fault_of_body)(error))
                    .await;
            }
        };
        if !head.status.is_success() {
            return self.drop_body(source, &head);
        }
        match self.store_body(&head, pieces, rest).await {
            Ok(url) => redirect(source, &head, &url),
            Err(error) => self.replace_with_error(source, &head, error).await,
        }
    }

    /// Stores a body in the bucket and returns a URL from which clients can fetch it.
    async fn store_body(
        &self,
        head: &Parts,
        pieces: Vec<Bytes>,
        rest: Body,
    ) -> Result<String, ApiError> {
        let Some(links) = &self.parts.links else {
            let limit = self.parts.options.payload_limit;
            let text = format!(
                "query error: the response has more than {limit} bytes, the limit of this function; select \
                 fewer rows or add LIMIT"
            );
            return Err(ApiError::text(Kind::Invalid, text));
        };
        let content = large_responses::content(&head.headers);
        let key = large_responses::key(&self.parts.bucket, &content.kind);
        let lasts = self.parts.options.result_url_lifetime;
        let stored = large_responses::store(links, &key, content, pieces, rest);
        stored.await.map_err(|error| error.into_api(self.parts.fault_of_body))?;
        let url = links.url(&key, lasts).await;
        url.map_err(|error| {
            large_responses::LargeResponseError::from(error).into_api(self.parts.fault_of_body)
        })
    }

    /// Returns an error instead of the response that has started, with the headers of every response.
    async fn replace_with_error(
        &self,
        source: HttpSource,
        started_at: &Parts,
        error: ApiError,
    ) -> HttpEventResponse {
        let status = error.kind().status().as_u16();
        tracing::warn!(%error, status, "a response broke off");
        HttpEventResponse::of_error(source, error, without_body_headers(&started_at.headers)).await
    }

    /// Returns an error response without its body, because the body is too large. It is not redirected to the bucket:
    /// the client would receive it there with a success status.
    fn drop_body(&self, source: HttpSource, head: &Parts) -> HttpEventResponse {
        let limit = self.limit(source);
        tracing::warn!(status = %head.status, limit, "a response exceeded the limit and lost its body");
        let text = format!(
            "the response has more than {limit} bytes, the limit of this function, and was dropped"
        );
        let body = json!({ "error": text }).to_string();
        let headers = without_body_headers(&head.headers);
        HttpEventResponse::new(source, head.status, headers, body.into())
    }

    fn limit(&self, source: HttpSource) -> usize {
        let limit = self.parts.options.payload_limit;
        match source {
            HttpSource::LoadBalancer { .. } => limit.min(LOAD_BALANCER_BYTES),
            HttpSource::V1 | HttpSource::V2 => limit,
        }
    }
}

/// Builds a redirect to the URL of the body.
fn redirect(source: HttpSource, head: &Parts, url: &str) -> HttpEventResponse {
    let mut headers = without_body_headers(&head.headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The signer returns a URL, which is a valid header value.
    headers.extend(HeaderValue::from_str(url).ok().map(|url| (LOCATION, url)));
    HttpEventResponse::new(source, StatusCode::SEE_OTHER, headers, Bytes::new())
}

/// Returns the headers of a response without those that describe its body.
fn without_body_headers(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in BODY_HEADERS {
        headers.remove(name);
    }
    headers
}

/// Builds the response to an event that can't be parsed, in the form that the InfluxDB API specifies.
fn event_error_response(error: &EventError) -> Response {
    match error {
        EventError::TooManyHeaders => {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            (status, Body::from(error.to_string())).into_response()
        }
        EventError::NotHttp | EventError::Malformed(_) => {
            ApiError::text(Kind::Invalid, error.to_string()).into_response()
        }
    }
}

fn out_of_time() -> ApiError {
    let text = "the function timed out; the outcome of the request is unknown";
    ApiError::json(Kind::Unknown, text).retry_after(Some(RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_drops_the_body_headers_and_the_stored_object_keeps_them() {
        let response = Response::builder()
            .header("content-type", "text/csv")
            .header("content-encoding", "gzip")
            .header("content-disposition", "attachment")
            .header("etag", "\"1\"")
            .header("access-control-allow-origin", "*");
        let (head, ()) = response.body(()).unwrap().into_parts();
        let content = large_responses::content(&head.headers);
        assert_eq!(
            (content.kind.as_str(), content.encoding, content.disposition),
            ("text/csv", Some("gzip".into()), Some("attachment".into()))
        );
        let answer = redirect(HttpSource::V2, &head, "https://store/results/1.csv");
        let expected = json!({
            "statusCode": 303,
            "headers": {
                "access-control-allow-origin": "*", "cache-control": "no-store",
                "location": "https://store/results/1.csv",
            },
            "isBase64Encoded": false, "body": "",
        });
        assert_eq!(serde_json::to_value(answer).unwrap(), expected);
    }
}
