//! Streamed responses.

use std::pin::Pin;

use axum::{BoxError, response::Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    response::Parts,
};
use lambda_runtime::{MetadataPrelude, StreamResponse};
use neap_http::{ApiError, Kind};

use super::{error::BodyErrorMapper, response};

/// The pieces of a streamed response.
pub type ReplyStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Builds a streamed response. If the body breaks off, the status has been sent and nothing closes the connection:
/// `lambda_runtime` writes its own error text into the body, and a function URL ends the response as if it were
/// complete (<https://github.com/by-nir/aws-lambda-zig/issues/3>). Therefore the last piece contains the error: JSON
/// and Parquet become invalid, and a CSV ends with that line.
pub(super) async fn stream_response(
    response: Response,
    fault_of_body: BodyErrorMapper,
) -> StreamResponse<ReplyStream> {
    let (mut head, body) = response.into_parts();
    let pieces = body.into_data_stream().map(move |piece| {
        Ok::<_, BoxError>(piece.unwrap_or_else(|error| {
            let error = fault_of_body(error.into_inner());
            tracing::warn!(%error, "a response broke off");
            Bytes::from(format!("\n{error}\n"))
        }))
    });
    let mut pieces: ReplyStream = Box::pin(pieces);
    if !response::has_body(head.status) {
        head.headers.remove(CONTENT_LENGTH);
        pieces = Box::pin(stream::empty());
    }
    if !head.headers.contains_key(CONTENT_TYPE) {
        // Without a content type, a browser would download an error as a file. Errors are in memory, so the first piece
        // is available at once.
        let first = pieces.next().await.and_then(Result::ok).unwrap_or_default();
        let kind = match first.first() {
            Some(b'{') => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        let kind = HeaderValue::from_static(kind);
        head.headers.insert(CONTENT_TYPE, kind);
        pieces = Box::pin(stream::iter([Ok(first)]).chain(pieces));
    }
    StreamResponse { metadata_prelude: prelude(head), stream: pieces }
}

/// Builds a streamed response from a body in memory.
pub(crate) async fn stream_from_memory(response: Response) -> StreamResponse<ReplyStream> {
    stream_response(response, |_| ApiError::json(Kind::Internal, "the response broke off")).await
}

fn prelude(head: Parts) -> MetadataPrelude {
    let (headers, cookies) = response::join_values(head.headers);
    MetadataPrelude { status_code: head.status, headers, cookies }
}
