//! The parts of an HTTP request that all queries have: the options in the headers, and the body.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Extensions, HeaderMap, HeaderValue, header, request::Parts};
use neap_formats::Format;
use neap_http::{
    ApiError, BodyLimits, Call, Kind, RequestDeadline, RequestId, read_body, requested_stamp,
};

use crate::{AnswerEncoding, QueryEngine, QueryRequest, RollupUse, as_of::requested_as_of};

/// The parameters of a handler.
pub(crate) type EngineCall = Call<Arc<QueryEngine>>;

/// The maximum size of a query's request body, in bytes.
const MAX_QUERY_BYTES: usize = 4 << 20;

/// The maximum age of a query's snapshot, as a duration such as `500ms` or `10s`.
const MAX_STALENESS_HEADER: &str = "x-neap-max-staleness";

/// `off`: read tables even if a last or distinct value cache has the rows. `on` is the default.
const CACHE_HEADER: &str = "x-neap-cache";

/// `exact`: read materialized views where the answer is the same, as by default. `on`: read them also for means and sums
/// of floats over several windows. `off`: read tables only.
const ROLLUPS_HEADER: &str = "x-neap-rollups";

/// `columns`: a table without rows (`pretty`) has its columns. By default it is that of InfluxDB 3, which has none.
pub const EMPTY_TABLE_HEADER: &str = "x-neap-empty-table";

#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerFormat {
    pub(crate) format: Format,
    /// Whether a table without rows has its columns.
    pub(crate) has_empty_columns: bool,
}

impl From<AnswerFormat> for AnswerEncoding {
    fn from(answer: AnswerFormat) -> Self {
        Self::Table {
            format: answer.format,
            has_empty_columns: answer.has_empty_columns,
        }
    }
}

/// Builds a query request without a statement from the headers and extensions of an HTTP request.
///
/// # Errors
/// `Invalid` if a header is malformed.
pub fn query_request(
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<QueryRequest, ApiError> {
    Ok(QueryRequest {
        max_staleness: max_staleness(headers)?,
        after: requested_stamp(headers)?,
        as_of: requested_as_of(headers)?,
        without_caches: without_caches(headers)?,
        rollups: rollup_use(headers)?,
        ends: extensions.get::<RequestDeadline>().map(|limit| limit.ends),
        trace_id: extensions.get().map(RequestId::to_string),
        ..QueryRequest::default()
    })
}

/// Returns the format of the parameter, or else of the `Accept` header. The header must be valid in both cases.
pub(crate) fn chosen_format(
    parameter: Option<Format>,
    headers: &HeaderMap,
) -> Result<AnswerFormat, ApiError> {
    let accept = headers.get(header::ACCEPT).map(HeaderValue::to_str);
    let accepted = match accept {
        None => None,
        Some(Ok(accept)) => Some(
            Format::from_accept(accept)
                .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?,
        ),
        Some(Err(_)) => return Err(ApiError::text(Kind::Invalid, "invalid mime type")),
    };
    Ok(AnswerFormat {
        format: parameter.or(accepted).unwrap_or(Format::Json),
        has_empty_columns: has_empty_columns(headers)?,
    })
}

fn has_empty_columns(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(EMPTY_TABLE_HEADER).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(b"columns") => Ok(true),
        Some(_) => {
            let text = format!("header {EMPTY_TABLE_HEADER} is not columns");
            Err(ApiError::text(Kind::Invalid, text))
        }
    }
}

fn max_staleness(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(MAX_STALENESS_HEADER) else {
        return Ok(None);
    };
    let duration = value.to_str().ok().and_then(|text| humantime::parse_duration(text).ok());
    duration.map(Some).ok_or_else(|| {
        let text = format!("header {MAX_STALENESS_HEADER} is not a duration such as 500ms or 10s");
        ApiError::text(Kind::Invalid, text)
    })
}

fn without_caches(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(CACHE_HEADER).map(HeaderValue::as_bytes) {
        None | Some(b"on") => Ok(false),
        Some(b"off") => Ok(true),
        Some(_) => {
            let text = format!("header {CACHE_HEADER} is neither on nor off");
            Err(ApiError::text(Kind::Invalid, text))
        }
    }
}

fn rollup_use(headers: &HeaderMap) -> Result<RollupUse, ApiError> {
    match headers.get(ROLLUPS_HEADER).map(HeaderValue::as_bytes) {
        None | Some(b"exact") => Ok(RollupUse::Exact),
        Some(b"on") => Ok(RollupUse::On),
        Some(b"off") => Ok(RollupUse::Off),
        Some(_) => {
            let text = format!("header {ROLLUPS_HEADER} is neither on, exact nor off");
            Err(ApiError::text(Kind::Invalid, text))
        }
    }
}

/// Reads the body of a request, up to the maximum size of a query.
pub(crate) async fn body_of(
    engine: &QueryEngine,
    head: &Parts,
    body: Body,
) -> Result<bytes::Bytes, ApiError> {
    let limits = BodyLimits::with_max_bytes(MAX_QUERY_BYTES);
    Ok(read_body(&head.headers, body, &limits, engine.world()).await?)
}

pub(crate) fn bad_json(error: &serde_json::Error) -> ApiError {
    ApiError::text(Kind::Invalid, format!("serde json error: {error}"))
}
