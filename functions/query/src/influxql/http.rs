//! `/api/v3/query_influxql`: answers one InfluxQL statement in the formats of SQL.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::get};
use http::request::Parts;
use neap_catalog::origin;
use neap_formats::Format;
use neap_http::{ApiError, Caller, Kind, parse_query};
use serde::Deserialize;

use super::v1;
use crate::{
    ClientQuery, Language, Parameters, QueryEngine, QueryRequest,
    http_request::{EngineCall, bad_json, body_of, chosen_format, query_request},
    http_response::respond,
};

/// The routes of InfluxQL queries.
pub(crate) fn routes() -> Router<Arc<QueryEngine>> {
    Router::new()
        .route("/api/v3/query_influxql", get(query_by_url).post(query_by_body))
        .merge(v1::routes())
}

/// The JSON body of a query.
#[derive(Debug, Deserialize)]
struct QueryBody {
    db: Option<String>,
    q: String,
    format: Option<Format>,
    #[serde(default)]
    params: Parameters,
}

/// The parameters of a query in a URL.
#[derive(Debug, Deserialize)]
struct QueryUrlParams {
    db: Option<String>,
    q: String,
    format: Option<Format>,
    params: Option<String>,
}

async fn query_by_url((State(engine), caller, request): EngineCall) -> Result<Response, ApiError> {
    if request.uri().query().is_none() {
        let text = "missing query parameters 'db' and 'q'";
        return Err(ApiError::text(Kind::Invalid, text));
    }
    let url: QueryUrlParams = parse_query(request.uri())?;
    let params = url
        .params
        .map(|params| serde_json::from_str(&params))
        .transpose()
        .map_err(|error| bad_json(&error))?;
    let query = QueryBody {
        db: url.db,
        q: url.q,
        format: url.format,
        params: params.unwrap_or_default(),
    };
    let (head, _) = request.into_parts();
    answer(engine, caller, &head, query).await
}

async fn query_by_body((State(engine), caller, request): EngineCall) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = body_of(&engine, &head, body).await?;
    // The content type is ignored because curl sends a form by default.
    let query = serde_json::from_slice(&body).map_err(|error| bad_json(&error))?;
    answer(engine, caller, &head, query).await
}

async fn answer(
    engine: Arc<QueryEngine>,
    caller: Caller,
    head: &Parts,
    query: QueryBody,
) -> Result<Response, ApiError> {
    let format = chosen_format(query.format, &head.headers)?;
    let query = ClientQuery {
        caller,
        origin: origin::current(),
        database: query.db,
        language: Language::InfluxQl,
        request: QueryRequest {
            text: query.q,
            parameters: query.params,
            encoding: Some(format.into()),
            ..query_request(&head.headers, &head.extensions)?
        },
    };
    respond(&engine, format, engine.query_as(query).await?).await
}
