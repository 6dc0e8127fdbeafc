//! The HTTP interface of SQL queries, compatible with InfluxDB 3.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use http::request::Parts;
use neap_catalog::origin;
use neap_formats::Format;
use neap_http::{ApiError, Caller, Kind, parse_query};
use serde::Deserialize;

use crate::{
    ClientQuery, ClientQueryError, Language, Parameters, QueryEngine, QueryError, QueryErrorKind,
    QueryRequest, Rows,
    http_request::{EngineCall, bad_json, body_of, chosen_format, query_request},
    http_response::respond,
};

/// The default `Retry-After` of temporary errors.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The routes of the query function.
pub fn router(engine: Arc<QueryEngine>) -> Router {
    Router::new()
        .route("/api/v3/query_sql", get(query_by_url).post(query_by_body))
        .route("/api/v3/configure/database", get(list_databases))
        .merge(crate::influxql::routes())
        .merge(crate::flux::routes())
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
        return Err(ApiError::text(Kind::Invalid, "missing query parameters 'db' and 'q'"));
    }
    let QueryUrlParams { db, q, format, params } = parse_query(request.uri())?;
    let params = params
        .map(|params| serde_json::from_str(&params))
        .transpose()
        .map_err(|error| bad_json(&error))?
        .unwrap_or_default();
    let query = QueryBody { db, q, format, params };
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
    let body = body_of(&engine, &head, body).await?;
    // The content type is ignored because curl sends a form by default.
    let query = serde_json::from_slice(&body).map_err(|error| bad_json(&error))?;
    answer(&engine, &head, query, ChangePolicy::Allowed).await
}

async fn answer(
    engine: &Arc<QueryEngine>,
    head: &Parts,
    query: QueryBody,
    changes: ChangePolicy,
) -> Result<Response, ApiError> {
    let format = chosen_format(query.format, &head.headers)?;
    let query = ClientQuery {
        caller: Caller::from_head(head)?,
        origin: origin::current(),
        database: Some(query.db),
        language: Language::Sql,
        request: QueryRequest {
            text: query.q,
            parameters: query.params,
            may_delete: changes == ChangePolicy::Allowed,
            may_copy: changes == ChangePolicy::Allowed,
            encoding: Some(format.into()),
            ..query_request(&head.headers, &head.extensions)?
        },
    };
    let rows = engine.query_as(query).await.map_err(query_sql_error)?;
    respond(engine, format, rows).await
}

/// Converts an error of `/api/v3/query_sql`. As in InfluxDB 3 Core, the status of an unknown column is 500, on this path only.
fn query_sql_error(error: ClientQueryError) -> ApiError {
    match error {
        ClientQueryError::Query(error) if error.is_unknown_column() => {
            ApiError::text(Kind::Internal, error.to_string())
        }
        error => error.into(),
    }
}

/// The parameters of the list of databases.
#[derive(Debug, Deserialize)]
struct DatabaseListParams {
    format: Option<Format>,
    #[serde(default)]
    show_deleted: bool,
    /// Specific to Neap.
    #[serde(default)]
    show_settings: bool,
}

async fn list_databases(
    (State(engine), caller, request): EngineCall,
) -> Result<Response, ApiError> {
    let DatabaseListParams { format, show_deleted, show_settings } = parse_query(request.uri())?;
    let format = chosen_format(format, request.headers())?;
    let sees = |database| caller.can_see(database);
    let databases = engine.databases(show_deleted, show_settings, sees).await?;
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
            QueryError::Delete(error) => {
                answer.retry_after(error.retry_after).with_stamp(error.stamp)
            }
            _ => answer,
        }
    }
}
