//! The routes, with the answers of the specification.
//!
//! They have no prefix for warehouses, because a cluster is one catalog.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use http::{StatusCode, Uri};
use neap_bucket::StoreConfig;
use neap_http::{ApiError, Caller, ResourceCall, parse_query};
use neap_query::QueryEngine;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    catalog::{LoadedMetadata, PublishedCatalog},
    client_defaults::client_defaults,
};

type CatalogState = State<Arc<PublishedCatalog>>;
type NamespaceCall = ResourceCall<Arc<PublishedCatalog>, String>;

/// The requests that the catalog answers, as the specification names them. Clients send no others.
pub(crate) const CAPABILITIES: [&str; 6] = [
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
];

/// Returns the routes of the catalog. `store` is the store of the databases, about which clients learn where it is.
pub fn router(engine: Arc<QueryEngine>, store: &StoreConfig) -> Router {
    let catalog = PublishedCatalog { engine, defaults: client_defaults(store) };
    let namespace = get(load_namespace).head(namespace_exists);
    let table = get(load_table).head(table_exists);
    Router::new()
        .route("/iceberg/v1/config", get(config))
        .route("/iceberg/v1/namespaces", get(list_namespaces))
        .route("/iceberg/v1/namespaces/{namespace}", namespace)
        .route("/iceberg/v1/namespaces/{namespace}/tables", get(list_tables))
        .route("/iceberg/v1/namespaces/{namespace}/tables/{table}", table)
        .with_state(Arc::new(catalog))
}

/// `GET /iceberg/v1/config`
async fn config(State(catalog): CatalogState) -> Json<Value> {
    Json(json!({
        "defaults": catalog.defaults,
        "overrides": {},
        "endpoints": CAPABILITIES,
    }))
}

#[derive(Debug, Deserialize)]
struct NamespaceListParams {
    parent: Option<String>,
}

/// `GET /iceberg/v1/namespaces`. Databases have no namespaces in them.
async fn list_namespaces(
    State(catalog): CatalogState,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let NamespaceListParams { parent } = parse_query(&uri)?;
    let names = match parent.filter(|parent| !parent.is_empty()) {
        Some(parent) => {
            catalog.database(&caller, &parent).await?;
            Vec::new()
        }
        None => catalog.databases(&caller).await?,
    };
    let namespaces: Vec<_> = names.into_iter().map(|name| [name]).collect();
    Ok(Json(json!({ "namespaces": namespaces })))
}

/// `GET /iceberg/v1/namespaces/{namespace}`
async fn load_namespace(
    (State(catalog), caller, Path(namespace)): NamespaceCall,
) -> Result<Json<Value>, ApiError> {
    catalog.database(&caller, &namespace).await?;
    Ok(Json(json!({ "namespace": [namespace], "properties": {} })))
}

/// `HEAD /iceberg/v1/namespaces/{namespace}`
async fn namespace_exists(
    (State(catalog), caller, Path(namespace)): NamespaceCall,
) -> Result<StatusCode, ApiError> {
    catalog.database(&caller, &namespace).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /iceberg/v1/namespaces/{namespace}/tables`
async fn list_tables(
    (State(catalog), caller, Path(namespace)): NamespaceCall,
) -> Result<Json<Value>, ApiError> {
    let database = catalog.database(&caller, &namespace).await?;
    let names = catalog.tables(database).await?.into_iter();
    let identifiers: Vec<_> =
        names.map(|name| json!({ "namespace": [namespace], "name": name })).collect();
    Ok(Json(json!({ "identifiers": identifiers })))
}

/// `GET /iceberg/v1/namespaces/{namespace}/tables/{table}`
async fn load_table(
    State(catalog): CatalogState,
    caller: Caller,
    Path((namespace, table)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let database = catalog.database(&caller, &namespace).await?;
    let found = catalog.table(database, &table).await?;
    let LoadedMetadata { location, metadata } = catalog.load(found).await?;
    Ok(Json(json!({
        "metadata-location": location,
        "metadata": metadata,
        "config": {},
    })))
}

/// `HEAD /iceberg/v1/namespaces/{namespace}/tables/{table}`
async fn table_exists(
    State(catalog): CatalogState,
    caller: Caller,
    Path((namespace, table)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let database = catalog.database(&caller, &namespace).await?;
    catalog.table(database, &table).await?;
    Ok(StatusCode::NO_CONTENT)
}
