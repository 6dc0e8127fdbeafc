//! The HTTP response with the rows of a query.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use neap_formats::{Format, FormatLimits, empty_table_with_columns, stream as stream_chunks};
use neap_http::{ApiError, STAMP_HEADER};

use crate::{QueryEngine, QueryError, Rows, as_of::AS_OF_HEADER, http_request::AnswerFormat};

/// The header with the number of workers that a query was distributed over. Queries that ran in one process have none.
pub const WORKERS_HEADER: HeaderName = HeaderName::from_static("x-neap-workers");

/// Encodes rows as a response. An error before the first chunk gets its own status; a later error aborts the body.
pub(crate) async fn respond(
    engine: &QueryEngine,
    answer: AnswerFormat,
    rows: Rows,
) -> Result<Response, ApiError> {
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
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(chunks));
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    let stamps = [(AS_OF_HEADER, rows.as_of), (STAMP_HEADER, rows.deleted_at)];
    for (name, stamp) in stamps {
        headers.extend(stamp.map(|stamp| (name, HeaderValue::from(stamp.as_u64()))));
    }
    if rows.workers > 0 {
        headers.insert(WORKERS_HEADER, HeaderValue::from(rows.workers));
    }
    Ok(response)
}
