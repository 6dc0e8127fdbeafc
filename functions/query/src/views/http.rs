//! The endpoint of materialized views.
//!
//! | method | parameters | answer |
//! |---|---|---|
//! | GET | `db` | the views |
//! | POST | JSON: `db`, `name`, `query` | 201, the view |
//! | DELETE | `db`, `name` | 200 |

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use http::StatusCode;
use neap_catalog::{MaterializedView, ViewLanguage};
use neap_http::{ApiError, BodyLimits, Caller, parse_query, read_json};
use serde::{Deserialize, Serialize};

use crate::{QueryEngine, QueryError, http_request::EngineCall};

/// The path of the endpoint.
const PATH: &str = "/api/v3/configure/materialized_view";

/// Maximum bytes of a request body.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Returns the routes that list, create and delete materialized views.
pub fn view_router(engine: Arc<QueryEngine>) -> Router {
    let views = get(list_views).post(create_view).delete(delete_view);
    Router::new().route(PATH, views).with_state(engine)
}

/// A view in an answer.
#[derive(Debug, Serialize)]
struct ViewDescription {
    name: String,
    language: ViewLanguage,
    query: String,
    source: String,
    target_database: Option<String>,
    target_table: Option<String>,
    window_ns: i64,
    origin_ns: i64,
    tags: Option<Vec<String>>,
    /// Seconds since the Unix epoch, with a fraction.
    created: f64,
}

impl ViewDescription {
    /// Describes a view for a caller. Another database that gets its rows has a name only for callers who may see it.
    fn new(view: &MaterializedView, caller: &Caller) -> Self {
        let (database, table) = match &view.target.database {
            None => (None, Some(&view.target.table)),
            Some(target) if caller.can_see(target.id) => {
                (Some(&target.name), Some(&view.target.table))
            }
            Some(_) => (None, None),
        };
        Self {
            name: view.name.clone(),
            language: view.language,
            query: view.query.clone(),
            source: view.source.clone(),
            target_database: database.cloned(),
            target_table: table.cloned(),
            window_ns: view.windows.length_ns,
            origin_ns: view.windows.origin_ns,
            tags: view.tags.clone(),
            // Microseconds of this millennium are exact.
            created: view.created.micros() as f64 / 1e6,
        }
    }
}

#[derive(Debug, Deserialize)]
struct ViewListParams {
    db: String,
}

async fn list_views(
    (State(engine), caller, request): EngineCall,
) -> Result<Json<Vec<ViewDescription>>, ApiError> {
    let ViewListParams { db } = parse_query(request.uri())?;
    let database = engine.resolve_for_read(&caller, &db).await?;
    let catalog = engine
        .catalog()
        .database(database, std::time::Duration::ZERO)
        .await
        .map_err(QueryError::from)?;
    let views = catalog.value.views().map(|view| ViewDescription::new(view, &caller));
    Ok(Json(views.collect()))
}

#[derive(Debug, Deserialize)]
struct NewViewBody {
    db: String,
    name: String,
    query: String,
}

async fn create_view(
    (State(engine), caller, request): EngineCall,
) -> Result<(StatusCode, Json<ViewDescription>), ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    let new: NewViewBody = read_json(&head.headers, body, &limits, engine.world()).await?;
    let database = engine.resolve_for_read(&caller, &new.db).await?;
    let view = engine
        .create_sql_view(&caller, database, &new.name, &new.query)
        .await?
        .map_err(ApiError::from)?;
    let view = ViewDescription::new(&view, &caller);
    Ok((StatusCode::CREATED, Json(view)))
}

#[derive(Debug, Deserialize)]
struct ViewParams {
    db: String,
    name: String,
}

async fn delete_view((State(engine), caller, request): EngineCall) -> Result<StatusCode, ApiError> {
    let ViewParams { db, name } = parse_query(request.uri())?;
    let database = engine.resolve_for_read(&caller, &db).await?;
    let deleted = engine.delete_sql_view(&caller, database, &name);
    deleted.await?.map_err(ApiError::from)?;
    Ok(StatusCode::OK)
}
