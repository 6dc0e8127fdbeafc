//! Responses that exceed Lambda's payload limit: their bodies are uploaded to the bucket piece by piece.

use axum::{BoxError, body::Body};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE},
};
use neap_bucket::{Bucket, Key, ObjectHeaders, PresignedObjects, StoreError};
use neap_http::{ApiError, Kind};

use super::error::BodyErrorMapper;

/// A body, read up to a limit.
#[derive(Debug)]
pub(super) enum CollectedBody {
    /// The whole body.
    Whole(Bytes),
    /// The pieces read so far, which exceed the limit, and the unread rest.
    Larger(Vec<Bytes>, Body),
}

/// Reads a body up to a limit.
pub(super) async fn collect(body: Body, limit: usize) -> Result<CollectedBody, BoxError> {
    let mut pieces = Vec::new();
    let mut read = 0_usize;
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(axum::Error::into_inner)?;
        read = read.saturating_add(piece.len());
        pieces.push(piece);
        if read > limit {
            return Ok(CollectedBody::Larger(pieces, Body::from_stream(stream)));
        }
    }
    if let [one] = pieces.as_slice() {
        return Ok(CollectedBody::Whole(one.clone()));
    }
    let mut whole = BytesMut::with_capacity(read);
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    Ok(CollectedBody::Whole(whole.freeze()))
}

/// Reason why a response was not stored in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum LargeResponseError {
    #[error("the response could not be stored in the bucket: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Body(BoxError),
}

impl LargeResponseError {
    pub(super) fn into_api(self, fault_of_body: BodyErrorMapper) -> ApiError {
        match self {
            Self::Body(error) => fault_of_body(error),
            Self::Store(_) => ApiError::json(Kind::Unavailable, self.to_string()),
        }
    }
}

/// Returns the properties of the stored object from the headers of a response.
pub(super) fn content(headers: &HeaderMap) -> ObjectHeaders {
    let text = |name: HeaderName| {
        let value = headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    ObjectHeaders {
        kind: text(CONTENT_TYPE).unwrap_or_else(|| "application/octet-stream".to_owned()),
        encoding: text(CONTENT_ENCODING),
        disposition: text(CONTENT_DISPOSITION),
    }
}

/// Draws a new key for a response of this type.
pub(super) fn key(bucket: &Bucket, content_type: &str) -> Key {
    let kind = content_type.split(';').next();
    let extension = match kind.map(str::trim) {
        Some("application/json") => "json",
        Some("application/jsonl") => "jsonl",
        Some("text/csv" | "application/csv") => "csv",
        Some("application/vnd.apache.parquet") => "parquet",
        Some("application/vnd.apache.arrow.stream") => "arrow",
        Some("text/plain") => "txt",
        Some("application/x-msgpack") => "msgpack",
        _ => "bin",
    };
    Key::QueryResult(bucket.draw_ulid(), extension.to_owned())
}

/// Uploads a response piece by piece. The object appears whole or not at all.
pub(super) async fn store(
    links: &PresignedObjects,
    key: &Key,
    content: ObjectHeaders,
    pieces: Vec<Bytes>,
    rest: Body,
) -> Result<(), LargeResponseError> {
    let mut upload = links.upload(key, content)?;
    let copied = async {
        for piece in pieces {
            upload.put(piece).await?;
        }
        let mut rest = rest.into_data_stream();
        while let Some(piece) = rest.next().await {
            let piece = piece.map_err(|error| LargeResponseError::Body(innermost(error)))?;
            upload.put(piece).await?;
        }
        Ok(())
    };
    match copied.await {
        Ok(()) => Ok(upload.finish().await?),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// Unwraps the error of a body. The rest of a body that [`collect`] has split wraps its error twice.
fn innermost(error: axum::Error) -> BoxError {
    match error.into_inner().downcast::<axum::Error>() {
        Ok(inner) => inner.into_inner(),
        Err(error) => error,
    }
}
