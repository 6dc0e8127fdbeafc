//! The endpoints that create and delete last value and distinct value caches.
//!
//! The answer to a creation is the change to the catalog in the form of InfluxDB 3 Core: a list of operations that
//! refer to tables and columns by id. InfluxDB's ids start at 0 and Neap's at 1, so 1 is subtracted; tags and fields
//! are numbered separately.

use std::{num::NonZeroU64, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use neap_bucket::{StoreTime, VersionedValue};
use neap_catalog::{
    DatabaseAction, DatabaseCatalog, DistinctCacheDefinition, LastCacheDefinition,
    NewDistinctCache, NewLastCache, Table, ValueColumns,
};
use neap_http::ApiError;
use neap_schema::{ColumnId, ColumnType, DatabaseId};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Value, json};

use super::{
    configure::{ServiceCall, find_for, no_table, refused},
    configure_params::{json, query_or_json},
};
use crate::WriteService;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    let last = post(create_last_cache).delete(delete_last_cache);
    let distinct = post(create_distinct_cache).delete(delete_distinct_cache);
    Router::new()
        .route("/api/v3/configure/last_cache", last)
        .route("/api/v3/configure/distinct_cache", distinct)
}

#[derive(Debug, Deserialize)]
struct LastCacheBody {
    db: String,
    table: String,
    name: Option<String>,
    key_columns: Option<Vec<String>>,
    value_columns: Option<Vec<String>>,
    /// Maximum rows per key.
    #[serde(default = "default_count", deserialize_with = "positive")]
    count: u64,
    /// Time to live in seconds.
    #[serde(default = "default_ttl")]
    ttl: u64,
}

fn default_count() -> u64 {
    1
}

fn default_ttl() -> u64 {
    4 * 60 * 60
}

/// Deserializes a positive number of rows. The error message is InfluxDB 3's.
fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("last cache size must be greater than 0")),
        count => Ok(count),
    }
}

#[derive(Debug, Deserialize)]
struct DistinctCacheBody {
    db: String,
    table: String,
    name: Option<String>,
    columns: Vec<String>,
    #[serde(default = "default_cardinality")]
    max_cardinality: NonZeroU64,
    /// Maximum age in seconds.
    #[serde(default = "default_max_age")]
    max_age: u64,
}

fn default_cardinality() -> NonZeroU64 {
    const DEFAULT: NonZeroU64 = NonZeroU64::new(100_000).unwrap();
    DEFAULT
}

fn default_max_age() -> u64 {
    24 * 60 * 60
}

/// `POST /api/v3/configure/last_cache`
async fn create_last_cache(
    (State(service), caller, request): ServiceCall,
) -> Result<Response, ApiError> {
    let body: LastCacheBody = json(&service, request).await?;
    let database = find_for(&service, &caller, &body.db, &[DatabaseAction::Create]).await?;
    let new = NewLastCache {
        table: body.table,
        name: body.name,
        key_columns: body.key_columns,
        value_columns: body.value_columns,
        count: body.count,
        ttl_s: body.ttl,
    };
    let created = service.catalog.create_last_cache(database, &new).await;
    let (catalog, cache) = created.map_err(|error| refused(error, &body.db))?;
    let table = catalog.value.table(&new.table).ok_or_else(|| no_table(&body.db, &new.table))?;
    let operation = json!({ "CreateLastCache": last_cache_json(table, &cache) });
    Ok(created_answer(&service, database, &body.db, &catalog, &operation))
}

/// `POST /api/v3/configure/distinct_cache`
async fn create_distinct_cache(
    (State(service), caller, request): ServiceCall,
) -> Result<Response, ApiError> {
    let body: DistinctCacheBody = json(&service, request).await?;
    let database = find_for(&service, &caller, &body.db, &[DatabaseAction::Create]).await?;
    let new = NewDistinctCache {
        table: body.table,
        name: body.name,
        columns: body.columns,
        max_cardinality: body.max_cardinality.get(),
        max_age_s: body.max_age,
    };
    let created = service.catalog.create_distinct_cache(database, &new).await;
    let (catalog, cache) = created.map_err(|error| refused(error, &body.db))?;
    let table = catalog.value.table(&new.table).ok_or_else(|| no_table(&body.db, &new.table))?;
    let operation = json!({ "CreateDistinctCache": distinct_cache_json(table, &cache) });
    Ok(created_answer(&service, database, &body.db, &catalog, &operation))
}

/// Returns the answer with the change to the catalog. The sequence number is the catalog version.
fn created_answer(
    service: &WriteService,
    database: DatabaseId,
    db: &str,
    catalog: &VersionedValue<DatabaseCatalog>,
    operation: &Value,
) -> Response {
    let now = service.catalog.bucket().clock().now();
    let time_ns = now.map(|now: StoreTime| now.micros().saturating_mul(1_000));
    let batch = json!({
        "catalog_batch": {
            "Database": {
                "time_ns": time_ns,
                "database_id": database,
                "database_name": db,
                "ops": [operation],
            },
        },
        "sequence_number": catalog.version,
    });
    (StatusCode::CREATED, Json(batch)).into_response()
}

fn last_cache_json(table: &Table, cache: &LastCacheDefinition) -> Value {
    let value_columns = match &cache.value_columns {
        ValueColumns::AllNonKey => json!("all_non_key_columns"),
        ValueColumns::Explicit(columns) => {
            let mut columns = columns_json(table, columns);
            columns.push(json!("timestamp"));
            json!({ "explicit": { "columns": columns } })
        }
    };
    json!({
        "table_id": table.id().get().saturating_sub(1),
        "table": table.name(),
        "id": cache.id.get().saturating_sub(1),
        "node_spec": "all",
        "name": cache.name,
        "key_columns": columns_json(table, &cache.key_columns),
        "value_columns": value_columns,
        "count": cache.count,
        "ttl": cache.ttl_s,
    })
}

fn distinct_cache_json(table: &Table, cache: &DistinctCacheDefinition) -> Value {
    json!({
        "table_id": table.id().get().saturating_sub(1),
        "table_name": table.name(),
        "node_spec": "all",
        "cache_id": cache.id.get().saturating_sub(1),
        "cache_name": cache.name,
        "column_ids": columns_json(table, &cache.columns),
        "max_cardinality": cache.max_cardinality,
        "max_age_seconds": cache.max_age_s,
        "source": { "type": "User" },
    })
}

/// Returns `{"tag":n}` for the nth tag and `{"field":[0,n]}` for the nth field. All fields are in one family.
fn columns_json(table: &Table, columns: &[ColumnId]) -> Vec<Value> {
    let place = |id: ColumnId, of_kind: fn(ColumnType) -> bool| {
        let before = table.columns().iter().take_while(|column| column.id != id);
        before.filter(|column| of_kind(column.column_type)).count()
    };
    let is_tag = |column_type| column_type == ColumnType::Tag;
    let is_field = |column_type: ColumnType| !column_type.is_key();
    let named = columns.iter().filter_map(|id| table.column_by_id(*id));
    named
        .map(|column| match column.column_type {
            ColumnType::Tag => json!({ "tag": place(column.id, is_tag) }),
            _ => json!({ "field": [0, place(column.id, is_field)] }),
        })
        .collect()
}

#[derive(Debug, Deserialize)]
struct DeleteCacheParams {
    db: String,
    table: String,
    name: String,
}

/// `DELETE /api/v3/configure/last_cache`
async fn delete_last_cache(
    (State(service), caller, request): ServiceCall,
) -> Result<StatusCode, ApiError> {
    let DeleteCacheParams { db, table, name } = query_or_json(&service, request).await?;
    let database = find_for(&service, &caller, &db, &[DatabaseAction::Delete]).await?;
    let deleted = service.catalog.delete_last_cache(database, &table, &name);
    deleted.await.map_err(|error| refused(error, &db))?;
    Ok(StatusCode::OK)
}

/// `DELETE /api/v3/configure/distinct_cache`
async fn delete_distinct_cache(
    (State(service), caller, request): ServiceCall,
) -> Result<StatusCode, ApiError> {
    let DeleteCacheParams { db, table, name } = query_or_json(&service, request).await?;
    let database = find_for(&service, &caller, &db, &[DatabaseAction::Delete]).await?;
    let deleted = service.catalog.delete_distinct_cache(database, &table, &name);
    deleted.await.map_err(|error| refused(error, &db))?;
    Ok(StatusCode::OK)
}
