//! The endpoints that add, rename, widen and drop columns, and delete their aliases. They are specific to Neap.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    routing::{delete, post},
};
use http::StatusCode;
use neap_catalog::{DatabaseAction, field_type};
use neap_http::{ApiError, Kind, parse_query};
use neap_schema::ColumnType;
use serde::Deserialize;

use super::{
    configure::{CREATE_ACTIONS, ServiceCall, StatusResult, find_for, table_error},
    configure_params::json,
};
use crate::WriteService;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route(
            "/api/v3/configure/table/column",
            post(add_column).put(change_type).delete(drop_column),
        )
        .route("/api/v3/configure/table/column/rename", post(rename_column))
        .route("/api/v3/configure/table/column/alias", delete(delete_column_alias))
}

#[derive(Debug, Deserialize)]
struct TypedColumnBody {
    db: String,
    table: String,
    column: String,
    #[serde(rename = "type")]
    column_type: String,
}

impl TypedColumnBody {
    fn column_type(&self) -> Result<ColumnType, ApiError> {
        let known_type = match self.column_type.as_str() {
            "tag" => Some(ColumnType::Tag),
            name => field_type(name),
        };
        known_type.ok_or_else(|| {
            let text = format!(
                "'{}' is not one of tag, utf8, int64, uint64, float64, bool",
                self.column_type
            );
            ApiError::text(Kind::Invalid, text)
        })
    }
}

/// `POST /api/v3/configure/table/column`
async fn add_column((State(service), caller, request): ServiceCall) -> StatusResult {
    let body: TypedColumnBody = json(&service, request).await?;
    let (db, table) = (&body.db, &body.table);
    let database = find_for(&service, &caller, db, &CREATE_ACTIONS).await?;
    let column_type = body.column_type()?;
    let permission = caller.table_permission(database);
    let catalog = &service.catalog;
    let added = catalog.add_column(database, permission, table, &body.column, column_type);
    added.await.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

/// `PUT /api/v3/configure/table/column`: changes the type of a column. Requires the permission to create columns, too.
async fn change_type((State(service), caller, request): ServiceCall) -> StatusResult {
    let body: TypedColumnBody = json(&service, request).await?;
    let (db, table, column) = (&body.db, &body.table, &body.column);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    caller.require_any(&CREATE_ACTIONS, Some(database))?;
    let (catalog, column_type) = (&service.catalog, body.column_type()?);
    let changed = catalog.change_column_type(database, table, column, column_type).await;
    changed.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct ColumnParams {
    db: String,
    table: String,
    column: String,
}

/// `DELETE /api/v3/configure/table/column`: hides the column at once. Merges remove its values.
async fn drop_column((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: ColumnParams = parse_query(request.uri())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    let dropped = service.catalog.drop_column(database, table, &params.column).await;
    dropped.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct RenameColumnParams {
    db: String,
    table: String,
    column: String,
    name: String,
}

/// `POST /api/v3/configure/table/column/rename`: `name` is the new name. The present one becomes an alias. Requires the
/// permission to create columns, too.
async fn rename_column((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: RenameColumnParams = parse_query(request.uri())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    caller.require_any(&CREATE_ACTIONS, Some(database))?;
    let (column, name) = (&params.column, &params.name);
    let renamed = service.catalog.rename_column(database, table, column, name).await;
    renamed.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct ColumnAliasParams {
    db: String,
    table: String,
    alias: String,
}

/// `DELETE /api/v3/configure/table/column/alias`
async fn delete_column_alias((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: ColumnAliasParams = parse_query(request.uri())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    let deleted = service.catalog.delete_column_alias(database, table, &params.alias).await;
    deleted.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}
