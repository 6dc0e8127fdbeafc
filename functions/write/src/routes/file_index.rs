//! The endpoints that create and delete file indexes.
//!
//! InfluxDB 3 Enterprise serves them below `/api/v3/enterprise/`; the path without it is served, too. An index is
//! recorded but has no effect, because every chunk already has the ranges of all its columns.

use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use neap_catalog::DatabaseAction;
use serde::Deserialize;

use super::{
    configure::{ServiceCall, StatusResult, find_for, refused},
    configure_params::{json, query_or_json},
};
use crate::WriteService;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    let index = post(create).delete(delete);
    Router::new()
        .route("/api/v3/configure/file_index", index.clone())
        .route("/api/v3/enterprise/configure/file_index", index)
}

#[derive(Debug, Deserialize)]
struct CreateFileIndexBody {
    db: String,
    /// Without a table, the index covers all tables.
    table: Option<String>,
    columns: Vec<String>,
}

/// `POST …/file_index`: creates or replaces an index.
async fn create((State(service), caller, request): ServiceCall) -> StatusResult {
    let body: CreateFileIndexBody = json(&service, request).await?;
    let database = find_for(&service, &caller, &body.db, &[DatabaseAction::Create]).await?;
    let created = service
        .catalog
        .create_file_index(database, body.table.as_deref(), &body.columns);
    created.await.map_err(|error| refused(error, &body.db))?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct DeleteFileIndexBody {
    db: String,
    table: Option<String>,
}

/// `DELETE …/file_index`
async fn delete((State(service), caller, request): ServiceCall) -> StatusResult {
    let DeleteFileIndexBody { db, table } = query_or_json(&service, request).await?;
    let database = find_for(&service, &caller, &db, &[DatabaseAction::Delete]).await?;
    let deleted = service.catalog.delete_file_index(database, table.as_deref());
    deleted.await.map_err(|error| refused(error, &db))?;
    Ok(StatusCode::OK)
}
