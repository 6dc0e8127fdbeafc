//! The routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    routing::get,
};
use neap_http::{ApiError, Kind, last_parameter, parse_query};
use neap_query::{DatabaseReader, QueryEngine, promql::TimeRange};
use serde_json::{Value, json};

use crate::{
    search::{TraceSearch, range_of_ids, trace_id},
    span_reader::{SpanReader, TraceTables},
    statements,
    trace_set::TraceSet,
};

/// How far back services and operations are listed, in milliseconds.
const LISTED_MS: i64 = 7 * 86_400_000;

/// How far the spans of a trace may be outside of the range of a request, in milliseconds.
const MARGIN_MS: i64 = 3_600_000;

/// The state of the routes.
#[derive(Debug)]
struct TraceStore {
    engine: Arc<QueryEngine>,
    /// The database of requests that name none.
    default_database: Option<String>,
}

type StoreState = State<Arc<TraceStore>>;
type Answer = Result<Json<Value>, ApiError>;

/// Returns the routes. The parameter `db` or a header names the database, or else it is `default_database`.
pub fn router(engine: Arc<QueryEngine>, default_database: Option<String>) -> Router {
    let store = TraceStore { engine, default_database };
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operations_of_service))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(traces))
        .route("/api/traces/{trace}", get(trace))
        .with_state(Arc::new(store))
}

/// A request with its parameters.
struct StoreRequest {
    reader: SpanReader,
    params: Vec<(String, String)>,
    now_ms: i64,
}

impl StoreRequest {
    fn new(store: &TraceStore, request: Request) -> Result<Self, ApiError> {
        let (head, _) = request.into_parts();
        let params: Vec<(String, String)> = parse_query(&head.uri)?;
        let database = last_parameter(&params, "db");
        let default = store.default_database.as_deref();
        let reader = DatabaseReader::from_head(&store.engine, &head, database, default)?;
        Ok(Self {
            reader: SpanReader(reader),
            now_ms: store.engine.world().clock.wall_micros().div_euclid(1_000),
            params,
        })
    }

    /// Returns the range of times of which services and operations are listed.
    fn listed_range(&self) -> TimeRange {
        TimeRange {
            start_ms: self.now_ms.saturating_sub(LISTED_MS),
            ..TimeRange::ALL
        }
    }

    /// Lists the operations of a service: names and kinds of its spans.
    async fn operations(&self, service: &str) -> Result<Vec<(String, String)>, ApiError> {
        let Some(columns) = self.reader.tables().await?.spans else {
            return Ok(Vec::new());
        };
        let Some(text) = statements::operations(&columns, service, self.listed_range()) else {
            return Ok(Vec::new());
        };
        let mut operations = Vec::new();
        let read = self.reader.read(text, |batch| {
            for row in 0..batch.rows() {
                let name = batch.text("name", row).unwrap_or_default().to_owned();
                let kind = batch.text("kind", row).unwrap_or_default().to_lowercase();
                operations.push((name, kind));
            }
            Ok(())
        });
        read.await?;
        Ok(operations)
    }

    /// Returns traces by their ids, with the spans of the range of the request. A request without a range reads all times.
    async fn traces_of_ids(&self, ids: &[String]) -> Result<Vec<Value>, ApiError> {
        let range = range_of_ids(&self.params)?;
        self.traces(&self.reader.tables().await?, ids, range).await
    }

    /// Returns traces with their spans in a range and near it, in the order of their ids in the list. Those without spans
    /// are left out.
    async fn traces(
        &self,
        tables: &TraceTables,
        ids: &[String],
        range: TimeRange,
    ) -> Result<Vec<Value>, ApiError> {
        if tables.spans.is_none() || ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut traces = TraceSet::default();
        let read_range = with_margin(range);
        if tables.has_events {
            let text = statements::events(ids, read_range);
            self.reader.read(text, |batch| traces.add_events(&batch)).await?;
        }
        let text = statements::spans(ids, read_range);
        self.reader.read(text, |batch| traces.add_spans(&batch)).await?;
        Ok(traces.into_values(ids))
    }
}

fn with_margin(range: TimeRange) -> TimeRange {
    TimeRange {
        start_ms: range.start_ms.saturating_sub(MARGIN_MS),
        end_ms: range.end_ms.saturating_add(MARGIN_MS),
    }
}

/// Returns the form of all answers.
fn answer(data: Vec<Value>) -> Json<Value> {
    let total = data.len();
    Json(json!({
        "data": data,
        "total": total,
        "limit": 0,
        "offset": 0,
        "errors": null,
    }))
}

/// `GET /api/services`
async fn services(State(store): StoreState, request: Request) -> Answer {
    let request = StoreRequest::new(&store, request)?;
    let columns = request.reader.tables().await?.spans;
    let text = columns.and_then(|columns| statements::services(&columns, request.listed_range()));
    let names = match text {
        Some(text) => request.reader.texts(text, "name").await?,
        None => Vec::new(),
    };
    Ok(answer(names.into_iter().map(Value::from).collect()))
}

/// `GET /api/services/{service}/operations`
async fn operations_of_service(
    State(store): StoreState,
    Path(service): Path<String>,
    request: Request,
) -> Answer {
    let operations = StoreRequest::new(&store, request)?.operations(&service).await?;
    let mut names: Vec<String> = operations.into_iter().map(|(name, _)| name).collect();
    names.dedup();
    Ok(answer(names.into_iter().map(Value::from).collect()))
}

/// `GET /api/operations`
async fn operations(State(store): StoreState, request: Request) -> Answer {
    let request = StoreRequest::new(&store, request)?;
    let service = last_parameter(&request.params, "service").unwrap_or_default();
    let kind = last_parameter(&request.params, "spanKind").filter(|kind| !kind.is_empty());
    let operations = request.operations(service).await?.into_iter();
    let wanted = operations.filter(|(_, of_span)| kind.is_none_or(|kind| kind == of_span));
    Ok(answer(
        wanted.map(|(name, kind)| json!({ "name": name, "spanKind": kind })).collect(),
    ))
}

/// `GET /api/traces`: a search, or traces of ids.
async fn traces(State(store): StoreState, request: Request) -> Answer {
    let request = StoreRequest::new(&store, request)?;
    let named = request.params.iter().filter(|(name, _)| name == "traceID");
    let ids = named.map(|(_, id)| trace_id(id)).collect::<Result<Vec<_>, _>>()?;
    if !ids.is_empty() {
        return Ok(answer(request.traces_of_ids(&ids).await?));
    }
    let search = TraceSearch::parse(&request.params, request.now_ms)?;
    let tables = request.reader.tables().await?;
    let Some(columns) = &tables.spans else {
        return Ok(answer(Vec::new()));
    };
    let text = statements::search(&search, columns);
    let found = request.reader.texts(text, "trace_id").await?;
    Ok(answer(request.traces(&tables, &found, search.range).await?))
}

/// `GET /api/traces/{trace}`
async fn trace(State(store): StoreState, Path(id): Path<String>, request: Request) -> Answer {
    let request = StoreRequest::new(&store, request)?;
    let found = request.traces_of_ids(&[trace_id(&id)?]).await?;
    if found.is_empty() {
        return Err(ApiError::text(Kind::NotFound, "trace not found"));
    }
    Ok(answer(found))
}
