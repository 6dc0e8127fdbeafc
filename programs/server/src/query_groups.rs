//! `/api/v3/enterprise/configure/query_groups`: named sets of processes that compute queries together.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::get,
};
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError, QueryGroup, QueryGroupChange};
use neap_http::{ApiError, BodyLimits, Kind, read_json};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Maximum bytes of a request.
const MAX_BODY_BYTES: usize = 256 << 10;

#[derive(Clone, Debug)]
struct QueryGroupRoutes {
    catalog: Arc<Catalog>,
    world: World,
}

type RouteState = State<QueryGroupRoutes>;

/// The body of a new group, and of one that replaces another.
#[derive(Debug, Deserialize)]
struct QueryGroupBody {
    name: String,
    #[serde(default)]
    nodes: BTreeSet<String>,
    #[serde(default = "one")]
    replication_factor: u32,
}

fn one() -> u32 {
    1
}

/// The body of a change. What is missing stays as it is.
#[derive(Debug, Deserialize)]
struct ChangeBody {
    name: Option<String>,
    nodes: Option<BTreeSet<String>>,
    replication_factor: Option<u32>,
}

pub(super) fn routes(catalog: Arc<Catalog>, world: World) -> Router {
    let all = get(list).post(create);
    let one = get(show).put(replace).patch(change).delete(delete);
    Router::new()
        .route("/api/v3/enterprise/configure/query_groups", all)
        .route("/api/v3/enterprise/configure/query_groups/{id}", one)
        .with_state(QueryGroupRoutes { catalog, world })
}

async fn list(State(routes): RouteState) -> Result<Json<Value>, ApiError> {
    let root = routes.catalog.root(Duration::ZERO).await?.value;
    let groups: Vec<_> = root.query_groups().iter().map(|(id, group)| to_json(id, group)).collect();
    Ok(Json(json!({ "query_groups": groups })))
}

async fn create(
    State(routes): RouteState,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let QueryGroupBody { name, nodes, replication_factor } = body(&routes, request).await?;
    let group = QueryGroup { name, nodes, replication_factor };
    let id = routes.catalog.create_query_group(group.clone()).await?;
    Ok((StatusCode::CREATED, Json(to_json(id, &group))))
}

async fn show(State(routes): RouteState, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let root = routes.catalog.root(Duration::ZERO).await?.value;
    let group = root.query_groups().get(id).ok_or_else(|| no_group(id))?;
    Ok(Json(to_json(id, group)))
}

async fn replace(
    State(routes): RouteState,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let body: QueryGroupBody = body(&routes, request).await?;
    let change = QueryGroupChange {
        name: Some(body.name),
        nodes: Some(body.nodes),
        replication_factor: Some(body.replication_factor),
    };
    apply(&routes, id, change).await
}

async fn change(
    State(routes): RouteState,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let body: ChangeBody = body(&routes, request).await?;
    let change = QueryGroupChange {
        name: body.name,
        nodes: body.nodes,
        replication_factor: body.replication_factor,
    };
    apply(&routes, id, change).await
}

async fn delete(State(routes): RouteState, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = parse_id(&id)?;
    match routes.catalog.delete_query_group(id).await {
        Err(CatalogError::NotFound { .. }) => Err(no_group(id)),
        deleted => Ok(deleted.map(|()| StatusCode::OK)?),
    }
}

async fn apply(
    routes: &QueryGroupRoutes,
    id: u64,
    change: QueryGroupChange,
) -> Result<Json<Value>, ApiError> {
    match routes.catalog.change_query_group(id, change).await {
        Err(CatalogError::NotFound { .. }) => Err(no_group(id)),
        changed => Ok(Json(to_json(id, &changed?))),
    }
}

async fn body<T: DeserializeOwned>(
    routes: &QueryGroupRoutes,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    read_json(&head.headers, body, &limits, &routes.world).await
}

fn parse_id(id: &str) -> Result<u64, ApiError> {
    let parsed = id.parse();
    parsed.map_err(|_| ApiError::json(Kind::Invalid, format!("'{id}' is not the id of a group")))
}

fn no_group(id: u64) -> ApiError {
    ApiError::json(Kind::NotFound, format!("query group {id} not found"))
}

fn to_json(id: u64, group: &QueryGroup) -> Value {
    json!({
        "id": id,
        "name": group.name,
        "nodes": group.nodes,
        "replication_factor": group.replication_factor,
    })
}
