//! The HTTP response with the rows of a query.

use std::{mem, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use neap_formats::{Format, FormatLimits, empty_table_with_columns, stream as stream_chunks};
use neap_http::{ApiError, STAMP_HEADER};

use crate::{
    QueryEngine, QueryError, Rows, answer_cache::AnswerReuse, as_of::AS_OF_HEADER,
    http_request::AnswerFormat,
};

/// The header with the number of workers that a query was distributed over. Queries that ran in one process have none.
pub const WORKERS_HEADER: HeaderName = HeaderName::from_static("x-neap-workers");

/// The value of `Cache-Status` (RFC 9211) in a kept answer.
pub(crate) const KEPT_STATUS: &str = "neap; hit";

/// Encodes rows as a response. An error before the first chunk gets its own status; a later error aborts the body.
pub(crate) async fn respond(
    engine: &QueryEngine,
    answer: AnswerFormat,
    mut rows: Rows,
) -> Result<Response, ApiError> {
    let content_type = HeaderValue::from_static(answer.format.content_type());
    let stamps = [(AS_OF_HEADER, rows.as_of), (STAMP_HEADER, rows.deleted_at)];
    let workers = rows.workers;
    let reuse = mem::replace(&mut rows.reuse, AnswerReuse::None);
    let is_kept = matches!(reuse, AnswerReuse::Kept(_));
    let body = match reuse {
        AnswerReuse::Kept(kept) => Body::from(kept.body.clone()),
        AnswerReuse::Recorded(recorder) => {
            Body::from_stream(recorder.record(encode(engine, answer, rows).await?))
        }
        AnswerReuse::None => Body::from_stream(encode(engine, answer, rows).await?),
    };
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if is_kept {
        headers.insert(header::CACHE_STATUS, HeaderValue::from_static(KEPT_STATUS));
    }
    for (name, stamp) in stamps {
        headers.extend(stamp.map(|stamp| (name, HeaderValue::from(stamp.as_u64()))));
    }
    if workers > 0 {
        headers.insert(WORKERS_HEADER, HeaderValue::from(workers));
    }
    Ok(response)
}

/// Encodes rows as chunks of a body, and waits for the first one.
async fn encode(
    engine: &QueryEngine,
    answer: AnswerFormat,
    rows: Rows,
) -> Result<BoxStream<'static, Result<Bytes, QueryError>>, ApiError> {
    let format = answer.format;
    let has_columns = answer.has_empty_columns && format == Format::Pretty;
    let columns = has_columns.then(|| Arc::clone(&rows.schema));
    let limits = FormatLimits {
        table_bytes: engine.settings().pretty_bytes,
        ..FormatLimits::default()
    };
    let logged = rows.logged;
    let encoded = stream_chunks(format, rows.schema, rows.batches, limits);
    let mut chunks = Box::pin(encoded.inspect_err(move |_: &QueryError| {
        logged.iter().for_each(|query| query.fail());
    }));
    let first = chunks.next().await.transpose()?.map(|chunk| {
        let table = columns.and_then(|columns| empty_table_with_columns(&chunk, &columns));
        table.map_or(chunk, Bytes::from)
    });
    Ok(stream::iter(first.map(Ok)).chain(chunks).boxed())
}
