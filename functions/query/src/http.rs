//! The HTTP interface of SQL queries, compatible with InfluxDB 3.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt, TryStreamExt, stream};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use neap_catalog::origin;
use neap_formats::{Format, FormatLimits, stream as stream_chunks};
use neap_http::{
    ApiError, BodyLimits, Caller, Kind, RequestDeadline, RequestId, STAMP_HEADER, parse_query,
    read_body, requested_stamp,
};
use serde::Deserialize;

use crate::{
    ClientQuery, Language, Parameters, QueryEngine, QueryError, QueryErrorKind, QueryRequest,
    RollupUse, Rows,
    as_of::{AS_OF_HEADER, requested_as_of},
};

/// The maximum size of a query's request body, in bytes.
pub(crate) const MAX_QUERY_BYTES: usize = 4 << 20;

/// The maximum age of a query's snapshot, as a duration such as `500ms` or `10s`.
const MAX_STALENESS_HEADER: &str = "x-neap-max-staleness";

/// The header with the number of workers that a query was distributed over. Queries that ran in one process have none.
pub const WORKERS_HEADER: HeaderName = HeaderName::from_static("x-neap-workers");

/// `off`: read tables even if a last or distinct value cache has the rows. `on` is the default.
const CACHE_HEADER: &str = "x-neap-cache";

/// `exact`: read materialized views where the answer is the same, as by default. `on`: read them also for means and sums
/// of floats over several windows. `off`: read tables only.
const ROLLUPS_HEADER: &str = "x-neap-rollups";

/// The default `Retry-After` of temporary errors.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The routes of the query function.
pub fn router(engine: Arc<QueryEngine>) -> Router {
    Router::new()
        .route("/api/v3/query_sql", get(query_by_url).post(query_by_body))
        .route("/api/v3/configure/database", get(list_databases))
        .merge(crate::influxql::routes())
        .with_state(engine)
}

/// The JSON body of a query.
#[derive(Debug, Deserialize)]
struct QueryBody {
    db: String,
    q: String,
    format: Option<Format>,
    #[serde(default)]
    params: Parameters,
}

/// The parameters of a query in a URL.
#[derive(Debug, Deserialize)]
struct QueryUrlParams {
    db: String,
    q: String,
    format: Option<Format>,
    params: Option<String>,
}

async fn query_by_url(
    State(engine): State<Arc<QueryEngine>>,
    request: Request,
) -> Result<Response, ApiError> {
    if request.uri().query().is_none() {
        return Err(ApiError::text(
            Kind::Invalid,
            "missing query parameters 'db' and 'q'",
        ));
    }
    let QueryUrlParams {
        db,
        q,
        format,
        params,
    } = parse_query(request.uri())?;
    let params = params
        .map(|params| serde_json::from_str(&params))
        .transpose();
    let params = params
        .map_err(|error| bad_json(&error))?
        .unwrap_or_default();
    let query = QueryBody {
        db,
        q,
        format,
        params,
    };
    let (head, _) = request.into_parts();
    answer(&engine, &head, query, ChangePolicy::Refused).await
}

/// Whether a statement may change data or write files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangePolicy {
    Allowed,
    /// Because clients may repeat, prefetch and link a GET.
    Refused,
}

async fn query_by_body(
    State(engine): State<Arc<QueryEngine>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits {
        max_bytes: MAX_QUERY_BYTES,
        ..BodyLimits::default()
    };
    let body = read_body(&head.headers, body, &limits, engine.world()).await?;
    // The content type is ignored because curl sends a form by default.
    let query = serde_json::from_slice(&body).map_err(|error| bad_json(&error))?;
    answer(&engine, &head, query, ChangePolicy::Allowed).await
}

pub(crate) fn bad_json(error: &serde_json::Error) -> ApiError {
    ApiError::text(Kind::Invalid, format!("serde json error: {error}"))
}

async fn answer(
    engine: &Arc<QueryEngine>,
    head: &Parts,
    query: QueryBody,
    changes: ChangePolicy,
) -> Result<Response, ApiError> {
    let format = chosen_format(query.format, &head.headers)?;
    let query = ClientQuery {
        caller: Caller::of(head)?,
        origin: origin::current(),
        database: Some(query.db),
        language: Language::Sql,
        request: QueryRequest {
            text: query.q,
            parameters: query.params,
            may_delete: changes == ChangePolicy::Allowed,
            may_copy: changes == ChangePolicy::Allowed,
            ..query_request(&head.headers, &head.extensions)?
        },
    };
    respond(engine, format, engine.query_as(query).await?).await
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
) -> Result<Format, ApiError> {
    let accept = headers.get(header::ACCEPT).map(HeaderValue::to_str);
    let accepted = match accept {
        None => None,
        Some(Ok(accept)) => Some(
            Format::from_accept(accept)
                .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?,
        ),
        Some(Err(_)) => return Err(ApiError::text(Kind::Invalid, "invalid mime type")),
    };
    Ok(parameter.or(accepted).unwrap_or(Format::Json))
}

fn max_staleness(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(MAX_STALENESS_HEADER) else {
        return Ok(None);
    };
    let duration = value
        .to_str()
        .ok()
        .and_then(|text| humantime::parse_duration(text).ok());
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

/// Encodes rows as a response. An error before the first chunk gets its own status; a later error aborts the body.
pub(crate) async fn respond(
    engine: &QueryEngine,
    format: Format,
    rows: Rows,
) -> Result<Response, ApiError> {
    let limits = FormatLimits {
        table_bytes: engine.settings().pretty_bytes,
        ..FormatLimits::default()
    };
    let logged = rows.logged;
    let body = stream_chunks(format, rows.schema, rows.batches, limits);
    let body = body.inspect_err(move |_: &QueryError| {
        logged.iter().for_each(|query| query.fail());
    });
    let mut body = Box::pin(body);
    let first = body.next().await.transpose()?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(body));
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

/// The parameters of the list of databases.
#[derive(Debug, Deserialize)]
struct DatabaseListParams {
    format: Option<Format>,
    #[serde(default)]
    show_deleted: bool,
}

async fn list_databases(
    State(engine): State<Arc<QueryEngine>>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let DatabaseListParams {
        format,
        show_deleted,
    } = parse_query(request.uri())?;
    let format = chosen_format(format, request.headers())?;
    let databases = engine
        .databases(show_deleted, |database| caller.can_see(database))
        .await?;
    respond(&engine, format, Rows::from_batch(databases)).await
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        let wait = error.retry_after().unwrap_or(RETRY_AFTER);
        let answer = match error.kind() {
            QueryErrorKind::NotFound => Self::json(Kind::NotFound, text),
            QueryErrorKind::Invalid => Self::text(Kind::Invalid, text),
            QueryErrorKind::Gone => Self::text(Kind::Gone, text),
            QueryErrorKind::NotImplemented => Self::text(Kind::NotAllowed, text),
            QueryErrorKind::Unavailable => {
                Self::text(Kind::Unavailable, text).retry_after(Some(wait))
            }
            QueryErrorKind::Internal => Self::text(Kind::Internal, text),
        };
        match error {
            QueryError::Delete(error) => answer
                .retry_after(error.retry_after)
                .with_stamp(error.stamp),
            _ => answer,
        }
    }
}
