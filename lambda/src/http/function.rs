//! A function that answers HTTP.

use std::{
    any::Any, convert::Infallible, fmt, panic::AssertUnwindSafe, pin::Pin, sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    BoxError, Router,
    body::{Body, BodyDataStream},
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    },
    response::Parts,
};
use lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use neap_bucket::{Bucket, Links, World};
use neap_http::{ApiError, Kind, TimeLimit};
use serde_json::{json, value::RawValue};
use tokio::sync::OnceCell;
use tower::ServiceExt;

use super::{
    Answer, EventError, HttpEvent, Incoming, Source,
    large::{self, Collected},
};
use crate::{
    options::HttpOptions,
    start::{Failure, Output, Reply},
};

/// How long before the end of an invocation the work on a request ends, if it can say so itself.
const RESERVE: Duration = Duration::from_secs(1);

/// How long before the end of an invocation it is answered, whatever is still worked on.
const LAST_RESERVE: Duration = Duration::from_millis(400);

/// How long a client waits before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The largest answer that a load balancer takes from a function.
const LOAD_BALANCER_BYTES: usize = 1_000_000;

/// Headers that are about the body of an answer, and wrong for another one.
const OF_BODY: [HeaderName; 9] = [
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

/// What an answer in pieces is made of.
pub type ReplyStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Tells what made the body of an answer end before its end.
pub type FaultOfBody = fn(BoxError) -> ApiError;

/// What a function serves, once it has read from the store what it can't do without.
#[async_trait]
pub trait Served: fmt::Debug + Send + Sync + 'static {
    /// The routes.
    ///
    /// # Errors
    /// The store does not answer, or what it says is damaged.
    async fn router(&self) -> Result<Router, ApiError>;
}

/// What an [`HttpFunction`] is made of.
#[derive(Debug)]
pub struct HttpParts {
    /// The options.
    pub options: HttpOptions,
    /// Where large answers go.
    pub bucket: Bucket,
    /// By what clients fetch them; `None`: they get an error.
    pub links: Option<Links>,
    /// What is served.
    pub served: Arc<dyn Served>,
    /// What made a body end before its end.
    pub fault_of_body: FaultOfBody,
}

/// A function that answers HTTP.
#[derive(Debug)]
pub struct HttpFunction {
    parts: HttpParts,
    router: OnceCell<Router>,
}

impl HttpFunction {
    /// A function that has asked nothing of the store yet.
    pub fn new(parts: HttpParts) -> Self {
        Self {
            parts,
            router: OnceCell::new(),
        }
    }

    fn world(&self) -> &World {
        self.parts.bucket.world()
    }

    /// The routes, for which the store is asked the first time.
    ///
    /// # Errors
    /// The store does not answer. The next request asks again.
    pub async fn router(&self) -> Result<&Router, ApiError> {
        self.router
            .get_or_try_init(|| self.parts.served.router())
            .await
    }

    /// Answers the request in an event as it came.
    ///
    /// # Errors
    /// The event is no request.
    pub async fn handle(&self, event: &RawValue, left: Duration) -> Result<Reply, Failure> {
        let event = serde_json::from_str::<HttpEvent>(event.get());
        let event = event.map_err(|_| EventError::NotHttp)?;
        Ok(match self.answer(event, left).await? {
            FunctionResponse::BufferedResponse(answer) => {
                FunctionResponse::BufferedResponse(Output::Http(Box::new(answer)))
            }
            FunctionResponse::StreamingResponse(pieces) => {
                FunctionResponse::StreamingResponse(pieces)
            }
        })
    }

    /// Answers a request within the time that is left of an invocation.
    ///
    /// # Errors
    /// The event is no request.
    pub async fn answer(
        &self,
        event: HttpEvent,
        left: Duration,
    ) -> Result<FunctionResponse<Answer, ReplyStream>, EventError> {
        let source = event.source()?;
        let left = match event.is_through_gateway() {
            true => left.min(self.parts.options.request_timeout),
            false => left,
        };
        let Incoming { request, .. } = match event.into_request(&self.parts.options.base_path) {
            Ok(incoming) => incoming,
            Err(error) => {
                let error = ApiError::text(Kind::Invalid, error.to_string());
                return Ok(self.whole(source, error).await);
            }
        };
        let work = AssertUnwindSafe(self.serve(source, request, left)).catch_unwind();
        let limit = left.saturating_sub(LAST_RESERVE);
        let error = match self.world().timeout(limit, work).await {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(panic)) => panicked(panic.as_ref()),
            None => out_of_time(),
        };
        Ok(self.whole(source, error).await)
    }

    async fn serve(
        &self,
        source: Source,
        mut request: Request,
        left: Duration,
    ) -> FunctionResponse<Answer, ReplyStream> {
        let now = self.world().clock.monotonic();
        let ends = now.saturating_add(left.saturating_sub(RESERVE));
        request.extensions_mut().insert(TimeLimit { ends });
        let router = match self.router().await {
            Ok(router) => router.clone(),
            Err(error) => return self.whole(source, error).await,
        };
        let answered: Result<Response, Infallible> = router.oneshot(request).await;
        let Ok(response) = answered;
        match self.parts.options.response_streaming {
            true => FunctionResponse::StreamingResponse(streamed(response)),
            false => FunctionResponse::BufferedResponse(self.buffered(source, response).await),
        }
    }

    /// An answer that is small for sure.
    async fn whole(
        &self,
        source: Source,
        error: ApiError,
    ) -> FunctionResponse<Answer, ReplyStream> {
        let response = error.into_response();
        match self.parts.options.response_streaming {
            true => FunctionResponse::StreamingResponse(streamed(response)),
            false => FunctionResponse::BufferedResponse(self.buffered(source, response).await),
        }
    }

    /// An answer in one piece: the one that was given, if it is small enough, or where to find it.
    async fn buffered(&self, source: Source, response: Response) -> Answer {
        let (head, body) = response.into_parts();
        let limit = self.limit(source);
        let (pieces, rest) = match large::collect(body, limit).await {
            Ok(Collected::Whole(body)) => {
                let answer = Answer::new(source, head.status, head.headers.clone(), body.clone());
                if answer.encoded_bytes() <= limit {
                    return answer;
                }
                (vec![body], Body::empty())
            }
            Ok(Collected::Larger(pieces, rest)) => (pieces, rest),
            Err(error) => {
                return self
                    .fault(source, &head, (self.parts.fault_of_body)(error))
                    .await;
            }
        };
        if !head.status.is_success() {
            return self.shortened(source, &head);
        }
        match self.hand_over(&head, pieces, rest).await {
            Ok(url) => elsewhere(source, &head, &url),
            Err(error) => self.fault(source, &head, error).await,
        }
    }

    /// Puts a body into the bucket; the URL by which it can be fetched.
    async fn hand_over(
        &self,
        head: &Parts,
        pieces: Vec<Bytes>,
        rest: Body,
    ) -> Result<String, ApiError> {
        let Some(links) = &self.parts.links else {
            let limit = self.parts.options.payload_limit;
            let text = format!(
                "query error: the answer has more than {limit} bytes, which is the limit of this function; ask for \
                 less or add LIMIT"
            );
            return Err(ApiError::text(Kind::Invalid, text));
        };
        let content = large::content(&head.headers);
        let key = large::key(&self.parts.bucket, &content.kind);
        let lasts = self.parts.options.result_url_lifetime;
        let stored = large::store(links, &key, content, pieces, rest);
        stored
            .await
            .map_err(|error| error.into_api(self.parts.fault_of_body))?;
        let url = links.url(&key, lasts).await;
        url.map_err(|error| large::LargeError::from(error).into_api(self.parts.fault_of_body))
    }

    /// An error in place of an answer that was begun, with the headers that every answer has.
    async fn fault(&self, source: Source, begun: &Parts, error: ApiError) -> Answer {
        tracing::warn!(%error, "an answer was not completed");
        Answer::of_error(source, error, without_body(&begun.headers)).await
    }

    /// An answer that is no success, and too large: whoever is sent elsewhere takes what is there for a success, so it
    /// keeps its status and loses its body.
    fn shortened(&self, source: Source, head: &Parts) -> Answer {
        let limit = self.limit(source);
        tracing::warn!(status = %head.status, limit, "an answer was too large and lost its body");
        let text = format!(
            "the answer has more than {limit} bytes, which is the limit of this function, and is left out"
        );
        let body = json!({ "error": text }).to_string();
        let headers = without_body(&head.headers);
        Answer::new(source, head.status, headers, body.into())
    }

    fn limit(&self, source: Source) -> usize {
        let limit = self.parts.options.payload_limit;
        match source {
            Source::LoadBalancer { .. } => limit.min(LOAD_BALANCER_BYTES),
            Source::V1 | Source::V2 => limit,
        }
    }
}

/// An answer that says where the body is.
fn elsewhere(source: Source, head: &Parts, url: &str) -> Answer {
    let mut headers = without_body(&head.headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What the signer makes is a URL, which is a valid header.
    headers.extend(HeaderValue::from_str(url).ok().map(|url| (LOCATION, url)));
    Answer::new(source, StatusCode::SEE_OTHER, headers, Bytes::new())
}

/// The headers of an answer, without those that are about its body.
fn without_body(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in OF_BODY {
        headers.remove(name);
    }
    headers
}

/// An answer in pieces.
fn streamed(response: Response) -> StreamResponse<ReplyStream> {
    let (head, body) = response.into_parts();
    let pieces: BodyDataStream = body.into_data_stream();
    StreamResponse {
        metadata_prelude: MetadataPrelude {
            status_code: head.status,
            headers: head.headers,
            cookies: Vec::new(),
        },
        stream: Box::pin(pieces.map(|piece| piece.map_err(axum::Error::into_inner))),
    }
}

fn out_of_time() -> ApiError {
    let text = "the time of the function is over; whether it was done is not known";
    ApiError::json(Kind::Unknown, text).retry_after(Some(RETRY_AFTER))
}

/// What a handler answers that panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = text.unwrap_or("of unknown cause"),
        "an event panicked"
    );
    ApiError::json(Kind::Internal, "internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_sent_elsewhere_is_told_there_what_the_body_is() {
        let response = Response::builder()
            .header("content-type", "text/csv")
            .header("content-encoding", "gzip")
            .header("content-disposition", "attachment")
            .header("etag", "\"1\"")
            .header("access-control-allow-origin", "*");
        let (head, ()) = response.body(()).unwrap().into_parts();
        let content = large::content(&head.headers);
        assert_eq!(
            (content.kind.as_str(), content.encoding, content.disposition),
            ("text/csv", Some("gzip".into()), Some("attachment".into()))
        );
        let answer = elsewhere(Source::V2, &head, "https://store/results/1.csv");
        insta::assert_json_snapshot!(answer, @r#"
        {
          "statusCode": 303,
          "headers": {
            "access-control-allow-origin": "*",
            "cache-control": "no-store",
            "location": "https://store/results/1.csv"
          },
          "isBase64Encoded": false,
          "body": ""
        }
        "#);
    }
}
