//! The HTTP handler.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header, request::Parts};
use neap_flux::{Environment, Source, compile};
use neap_flux_planner::BucketList;
use neap_formats::annotated_csv::AnnotatedCsvWriter;
use neap_http::{ApiError, Caller, Kind};

use super::{answer_stream::AnswerStream, buckets, error::refusal, query_body::QueryBody};
use crate::{
    QueryEngine, QueryRequest,
    as_of::AS_OF_HEADER,
    http_request::{EngineCall, body_of, query_request},
    influxql::answer_bucket_query,
};

/// The content type of annotated CSV.
const CSV_TYPE: &str = "text/csv; charset=utf-8";

pub(crate) fn routes() -> Router<Arc<QueryEngine>> {
    Router::new().route("/api/v2/query", post(query))
}

async fn query((State(engine), caller, request): EngineCall) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let bytes = body_of(&engine, &head, body).await?;
    let body = QueryBody::parse(&head.headers, &bytes)?;
    match body.language.as_deref() {
        None | Some("" | "flux") => flux(engine, caller, &head, body).await,
        Some("influxql") => {
            answer_bucket_query(engine, caller, &head, body.query, body.bucket).await
        }
        Some(other) => {
            let text = format!("unknown query type: {other}");
            Err(ApiError::v2(Kind::Invalid, text))
        }
    }
}

async fn flux(
    engine: Arc<QueryEngine>,
    caller: Caller,
    head: &Parts,
    body: QueryBody,
) -> Result<Response, ApiError> {
    let writer = AnnotatedCsvWriter::new(body.dialect()?);
    let environment = Environment {
        now: now(&engine, &body)?,
        extern_file: body.extern_file,
        params: body.params.unwrap_or_default(),
    };
    let program = compile(&body.query, environment)
        .map_err(|error| ApiError::v2(Kind::Invalid, error.to_string()))?;
    let lists_buckets = program.results.iter().any(|it| it.pipeline.source == Source::Buckets);
    let results = buckets::resolve(&engine, &caller, program).await?;
    let buckets = if lists_buckets {
        buckets::list(&engine, &caller).await?
    } else {
        BucketList::default()
    };
    let mut answer = AnswerStream {
        request: QueryRequest {
            text: body.query,
            ..query_request(&head.headers, &head.extensions)?
        },
        started_at: engine.world().clock.monotonic(),
        engine,
        buckets: Arc::new(buckets),
        writer,
        results: results.into(),
        current: None,
        rows: None,
        out: Vec::new(),
        has_sent: false,
        is_finished: false,
        as_of: None,
    };
    let first = answer.next_piece().await.transpose().map_err(refusal)?;
    let as_of = answer.as_of.map(|stamp| (AS_OF_HEADER, HeaderValue::from(stamp.as_u64())));
    let pieces = stream::iter(first.map(Ok)).chain(answer.pieces());
    let mut response = (StatusCode::OK, Body::from_stream(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CSV_TYPE));
    headers.extend(as_of);
    Ok(response)
}

/// Returns the time of `now()` in nanoseconds since the Unix epoch: that of the request, or the present.
fn now(engine: &QueryEngine, body: &QueryBody) -> Result<i64, ApiError> {
    let Some(text) = &body.now else {
        return Ok(engine.world().clock.wall_micros().saturating_mul(1_000));
    };
    let time = chrono::DateTime::parse_from_rfc3339(text).ok();
    time.and_then(|time| time.timestamp_nanos_opt())
        .ok_or_else(|| ApiError::v2(Kind::Invalid, format!("\"now\" is not a time: {text}")))
}
