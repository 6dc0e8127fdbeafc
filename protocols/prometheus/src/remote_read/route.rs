//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{header::CONTENT_ENCODING, request::Parts};
use neap_http::{ApiError, BodyLimits, parse_query, read_body};
use neap_query::QueryEngine;

use crate::{
    ReadRequest, decode_read, decompress,
    remote_read::{
        context::ReadContext,
        failure::ReadFailure,
        json::{self, List},
        matcher::MAX_MATCHERS,
        params::ListParams,
        read,
        read_permits::{ReadPermit, ReadPermits},
    },
};

/// Maximum size of a request of remote read, in bytes, compressed and decompressed.
const MAX_REQUEST_BYTES: usize = 256 << 10;

/// Maximum number of queries of a request.
const MAX_QUERIES: usize = 100;

/// The state of the routes.
#[derive(Debug)]
struct PrometheusReader {
    engine: Arc<QueryEngine>,
    /// The database of requests that name none.
    default_database: Option<String>,
    /// The answers of remote read that are in memory.
    reads: ReadPermits,
    /// The lists that are in memory.
    lists: ReadPermits,
}

/// Returns the routes. All of them require the permission to read the database, which the parameter `db` names, or else
/// `default_database`. In `neap serve` and in the query function, they are merged with the routes of
/// [`neap_query::router`].
pub fn router(engine: Arc<QueryEngine>, default_database: Option<String>) -> Router {
    let reader = Arc::new(PrometheusReader {
        engine,
        default_database,
        reads: ReadPermits::new(),
        lists: ReadPermits::new(),
    });
    Router::new()
        .route("/api/v1/read", post(remote_read))
        .route("/api/v1/prom/read", post(remote_read))
        .route("/api/v1/labels", get(label_names).post(label_names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/metadata", get(metadata))
        .with_state(reader)
}

impl PrometheusReader {
    fn context(&self, head: &Parts, database: Option<&str>) -> Result<ReadContext, ApiError> {
        let default = self.default_database.as_deref();
        ReadContext::new(&self.engine, head, database, default)
    }

    async fn list_context(
        &self,
        request: Request,
    ) -> Result<(ReadContext, ListParams, ReadPermit), ReadFailure> {
        let (head, body) = request.into_parts();
        let params = ListParams::read(&self.engine, &head, body).await?;
        let context = self.context(&head, params.database.as_deref())?;
        let permit = context.permit(&self.lists).await?;
        Ok((context, params, permit))
    }

    async fn read_request(
        &self,
        request: Request,
    ) -> Result<(ReadContext, ReadRequest), ReadFailure> {
        let (mut head, body) = request.into_parts();
        let pairs: Vec<(String, String)> = parse_query(&head.uri)?;
        let mut databases = pairs.iter().filter(|(name, _)| name == "db");
        let database = databases.next().map(|(_, value)| value.as_str());
        let context = self.context(&head, database)?;
        context.authorize().await?;
        // The body is read as it is: a block of snappy.
        head.headers.remove(CONTENT_ENCODING);
        let request = self.decode(&head, body).await?;
        Ok((context, request))
    }

    async fn decode(&self, head: &Parts, body: Body) -> Result<ReadRequest, ReadFailure> {
        let limits = BodyLimits {
            max_bytes: MAX_REQUEST_BYTES,
            ..BodyLimits::default()
        };
        let block = read_body(&head.headers, body, &limits, self.engine.world())
            .await
            .map_err(ApiError::from)?;
        let message = decompress(&block, MAX_REQUEST_BYTES)?;
        Ok(decode_read(&message, MAX_QUERIES, MAX_MATCHERS)?)
    }
}

/// `POST /api/v1/read`, `POST /api/v1/prom/read`
async fn remote_read(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let answer = async {
        let (context, request) = reader.read_request(request).await?;
        read::answer(context, &request, &reader.reads).await
    };
    match answer.await {
        Ok(response) => response,
        Err(failure) => ApiError::from(failure).into_response(),
    }
}

fn respond(list: Result<List, ReadFailure>) -> Response {
    match list {
        Ok(list) => list.into_response(),
        Err(failure) => json::error_response(failure),
    }
}

/// `GET /api/v1/labels`, `POST /api/v1/labels`
async fn label_names(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request).await?;
        json::label_names(&context, &params).await
    };
    respond(list.await)
}

/// `GET /api/v1/label/{name}/values`
async fn label_values(
    State(reader): State<Arc<PrometheusReader>>,
    Path(label): Path<String>,
    request: Request,
) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request).await?;
        json::label_values(&context, &label, &params).await
    };
    respond(list.await)
}

/// `GET /api/v1/series`, `POST /api/v1/series`
async fn series(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request).await?;
        json::series(&context, &params).await
    };
    respond(list.await)
}

/// `GET /api/v1/metadata`
async fn metadata(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request).await?;
        json::metadata(&context, &params).await
    };
    respond(list.await)
}
