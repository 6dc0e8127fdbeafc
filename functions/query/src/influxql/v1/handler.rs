//! The HTTP handlers of the v1 interface.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use neap_catalog::{AUTOGEN, origin};
use neap_formats::{series::AnswerInterface, v1::V1Format};
use neap_http::{ApiError, Caller, ErrorBody, Kind, STAMP_HEADER};
use neap_influxql::Statement;

use super::{
    answer_stream::{AnswerStream, StatementResult},
    body,
    params::{V1QueryParams, pairs},
};
use crate::{
    AnswerEncoding, QueryEngine, QueryRequest,
    answer_cache::AnswerReuse,
    as_of::AS_OF_HEADER,
    http_request::{EngineCall, body_of, query_request},
    http_response::KEPT_STATUS,
    influxql::{
        error::InfluxqlError,
        prepared_statement::{PreparedStatement, RequestedDatabase, prepare_statements},
        session::{AllowedChanges, InfluxqlSession},
    },
};

/// The routes of the v1 interface.
pub(in crate::influxql) fn routes() -> Router<Arc<QueryEngine>> {
    Router::new().route("/query", get(by_url).post(by_body))
}

async fn by_url((State(engine), caller, request): EngineCall) -> Response {
    let (head, _) = request.into_parts();
    allow_all_origins(match params_of_url(&head) {
        Ok(params) => {
            // The library of InfluxDB 1 for Python sends statements about continuous queries by GET.
            let changes = AllowedChanges::ContinuousQueries;
            answer(engine, caller, &head, params, changes).await
        }
        Err(error) => Err(error),
    })
}

async fn by_body((State(engine), caller, request): EngineCall) -> Response {
    let (head, body) = request.into_parts();
    allow_all_origins(match params_of_body(&engine, &head, body).await {
        Ok(params) => answer(engine, caller, &head, params, AllowedChanges::All).await,
        Err(error) => Err(error),
    })
}

/// Answers statements that only read in the interface of InfluxDB 2, with a bucket as their database.
pub(crate) async fn answer_bucket_query(
    engine: Arc<QueryEngine>,
    caller: Caller,
    head: &Parts,
    q: String,
    bucket: Option<String>,
) -> Result<Response, ApiError> {
    let params = V1QueryParams {
        q: Some(q),
        db: bucket.filter(|bucket| !bucket.is_empty()),
        // A bucket is a database, and not the default retention policy of one.
        rp: Some(AUTOGEN.to_owned()),
        ..V1QueryParams::default()
    };
    answer(engine, caller, head, params, AllowedChanges::None).await
}

/// Allows scripts of all origins to read the response, including errors, as InfluxDB 3 does for this interface. All
/// errors are JSON.
fn allow_all_origins(answer: Result<Response, ApiError>) -> Response {
    let answer = answer.map_err(|error| error.with_body(ErrorBody::Json));
    let mut response = answer.into_response();
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

async fn params_of_body(
    engine: &QueryEngine,
    head: &Parts,
    body: Body,
) -> Result<V1QueryParams, ApiError> {
    let mut params = params_of_url(head)?;
    let body = body_of(engine, head, body).await?;
    params.take(body::parameters(&head.headers, &body)?, "body")?;
    Ok(params)
}

fn params_of_url(head: &Parts) -> Result<V1QueryParams, ApiError> {
    let mut params = V1QueryParams::default();
    let query = head.uri.query().unwrap_or_default();
    params.take(pairs(query.as_bytes(), "url")?, "url")?;
    Ok(params)
}

async fn answer(
    engine: Arc<QueryEngine>,
    caller: Caller,
    head: &Parts,
    params: V1QueryParams,
    changes: AllowedChanges,
) -> Result<Response, ApiError> {
    let format = accepted(&head.headers)?.of_request(&params.encoding);
    let text = params.q.as_deref().unwrap_or_default();
    let catalog = engine.catalog();
    let root = catalog.root(catalog.max_age()).await?.value;
    let named = RequestedDatabase {
        database: params.db.as_deref(),
        retention_policy: params.rp.as_deref(),
        is_default: true,
        root: Some(&root),
    };
    let mut session = InfluxqlSession {
        engine,
        caller,
        interface: AnswerInterface::V1,
        changes,
        request: QueryRequest {
            may_delete: changes == AllowedChanges::All,
            parameters: params.params.clone(),
            ..query_request(&head.headers, &head.extensions)?
        },
        origin: origin::current(),
        seen: Arc::default(),
    };
    let encoder = format.encoder(&params.encoding);
    let statements = match prepare_statements(text, &params.params, named) {
        Ok(statements) if statements.is_empty() => {
            let text = "missing required parameter \"q\"";
            return Err(ApiError::json(Kind::Invalid, text));
        }
        Ok(statements) => statements,
        Err(error) => {
            let mut encoder = encoder;
            let mut out = Vec::new();
            encoder.begin(0, &[], &mut out);
            encoder.end(Some(&error.answer_text()), &mut out);
            encoder.finish(&mut out);
            return Ok(respond(format, out.into()));
        }
    };
    session.authorize(&statements).await?;
    if let [only] = statements.as_slice()
        && matches!(only.statement, Statement::Select(_))
    {
        session.request.encoding = Some(AnswerEncoding::Series(format, params.encoding));
    }
    let first = first(&session, &statements).await?;
    let stamps = match &first {
        Some(Ok(answer)) => {
            [(AS_OF_HEADER, answer.rows.as_of), (STAMP_HEADER, answer.rows.deleted_at)]
        }
        _ => [(AS_OF_HEADER, None), (STAMP_HEADER, None)],
    };
    let mut response = match kept_body(first.as_ref()) {
        Some(body) => {
            let mut response = respond(format, body.into());
            let status = HeaderValue::from_static(KEPT_STATUS);
            response.headers_mut().insert(header::CACHE_STATUS, status);
            response
        }
        None => {
            let answering = AnswerStream::new(session, encoder, statements, first);
            respond(format, Body::from_stream(answering.pieces()))
        }
    };
    for (name, stamp) in stamps {
        let stamp = stamp.map(|stamp| (name, HeaderValue::from(stamp.as_u64())));
        response.headers_mut().extend(stamp);
    }
    Ok(response)
}

/// Executes the first statement before the response starts, because an error of the whole request still needs a status.
async fn first(
    session: &InfluxqlSession,
    statements: &[PreparedStatement],
) -> Result<Option<StatementResult>, InfluxqlError> {
    let Some(statement) = statements.first() else {
        return Ok(None);
    };
    match session.run(statement).await {
        Err(error) if error.applies_to_request() => Err(error),
        outcome => Ok(Some(outcome)),
    }
}

/// Returns the body of a kept answer.
fn kept_body(first: Option<&StatementResult>) -> Option<Bytes> {
    match &first?.as_ref().ok()?.rows.reuse {
        AnswerReuse::Kept(kept) => Some(kept.body.clone()),
        AnswerReuse::None | AnswerReuse::Recorded(_) => None,
    }
}

fn accepted(headers: &HeaderMap) -> Result<V1Format, ApiError> {
    let accept = headers
        .get(header::ACCEPT)
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| ApiError::json(Kind::Invalid, "invalid mime type"))?;
    V1Format::accepted(accept).ok_or_else(|| {
        let text = format!("invalid mime type ({})", accept.unwrap_or_default());
        ApiError::json(Kind::Invalid, text)
    })
}

fn respond(format: V1Format, body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let content_type = HeaderValue::from_static(format.content_type());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}
