//! `GET /exec`: a statement with an answer in QuestDB's JSON.
//!
//! Statements that change something are accepted because QuestDB's clients send them so, though not of web pages, which can send a
//! GET to any server that a browser reaches.
//!
//! The database is that of the parameter `db`, which QuestDB does not have, or the default database. An error is
//! answered with the query, the text and a position, which is always 0.

mod params;
mod rows;
mod statement;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt, stream};
use http::{HeaderValue, header::CONTENT_TYPE, request::Parts};
use neap_catalog::origin;
use neap_http::{ApiError, Caller, Kind, STAMP_HEADER, refuse_web_pages};
use neap_query::{ClientQuery, Language, QueryEngine, QueryRequest, query_request};
use neap_sql_changes::{Change, ChangeExecutor};
use neap_write::WriteService;
use serde_json::json;

use self::{
    params::ExecParams,
    rows::{QueryTimings, stream_answer},
    statement::translate,
};

/// The components of `/exec`.
#[derive(Debug)]
struct ExecState {
    changes: ChangeExecutor,
    default_database: Option<String>,
}

/// Returns the route `/exec`.
pub(crate) fn routes(
    engine: Arc<QueryEngine>,
    writes: Option<Arc<WriteService>>,
    default_database: Option<String>,
) -> Router {
    let state = ExecState {
        changes: ChangeExecutor::new(engine, writes),
        default_database,
    };
    Router::new().route("/exec", get(exec)).with_state(Arc::new(state))
}

async fn exec(State(state): State<Arc<ExecState>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let params = match ExecParams::parse(&head.uri) {
        Ok(params) => params,
        Err(error) => return refused("", &error),
    };
    match answer(&state, &head, &params).await {
        Ok(response) => response,
        Err(error) => refused(&params.query, &error),
    }
}

async fn answer(
    state: &ExecState,
    head: &Parts,
    params: &ExecParams,
) -> Result<Response, ApiError> {
    if params.query.trim().is_empty() {
        return Err(ApiError::text(Kind::Invalid, "empty query"));
    }
    let database = params.database.as_ref().or(state.default_database.as_ref());
    let missing = || ApiError::text(Kind::Invalid, "missing query parameter 'db'");
    let query = ClientQuery {
        caller: Caller::from_head(head)?,
        origin: origin::current(),
        database: Some(database.ok_or_else(missing)?.clone()),
        language: Language::Sql,
        request: QueryRequest {
            text: translate(&params.query).into_owned(),
            ..query_request(&head.headers, &head.extensions)?
        },
    };
    if let Some(change) = Change::from_text(&query.request.text)? {
        refuse_web_pages(&head.headers)?;
        return execute(state, &change, query).await;
    }
    let engine = state.changes.queries();
    let mut timings = QueryTimings::begin(engine.world().clone());
    let rows = engine.query_as(query).await.map_err(ApiError::from)?;
    timings.record_plan();
    let mut body = Box::pin(stream_answer(rows, params, timings));
    // An error before the first rows has a status of its own; a later one aborts the body.
    let first = body.next().await.transpose()?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(body));
    Ok(with_json(body.into_response()))
}

/// Executes a change.
async fn execute(
    state: &ExecState,
    change: &Change,
    query: ClientQuery,
) -> Result<Response, ApiError> {
    let changed = state.changes.execute(change, query).await?;
    let kind = match change {
        Change::Insert { .. } | Change::Delete => "dml",
        Change::Define(_) | Change::Engine(_) => "ddl",
    };
    let mut response = with_json(json!({ kind: "OK" }).to_string().into_response());
    let stamp = changed.stamp.map(|stamp| (STAMP_HEADER, HeaderValue::from(stamp.as_u64())));
    response.headers_mut().extend(stamp);
    Ok(response)
}

fn with_json(mut response: Response) -> Response {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Returns the answer to a refused query. An error of authorization has the form that it has everywhere.
fn refused(query: &str, error: &ApiError) -> Response {
    if matches!(error.kind(), Kind::Unauthenticated | Kind::Forbidden) {
        return error.clone().into_response();
    }
    let body = json!({ "query": query, "error": error.message(), "position": 0 });
    let status = match error.kind() {
        // QuestDB does not distinguish errors of a statement.
        Kind::NotFound | Kind::NotAllowed | Kind::Conflict => Kind::Invalid.status(),
        kind => kind.status(),
    };
    with_json((status, body.to_string()).into_response())
}
