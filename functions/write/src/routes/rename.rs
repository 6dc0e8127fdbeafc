//! The endpoints that rename databases and tables, and delete their aliases. They are specific to Neap.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    routing::{delete, post},
};
use http::StatusCode;
use neap_catalog::DatabaseAction;
use neap_http::parse_query;
use serde::Deserialize;

use super::configure::{CREATE_ACTIONS, ServiceCall, StatusResult, find_for, table_error};
use crate::WriteService;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v3/configure/database/rename", post(rename_database))
        .route("/api/v3/configure/database/alias", delete(delete_database_alias))
        .route("/api/v3/configure/table/rename", post(rename_table))
        .route("/api/v3/configure/table/alias", delete(delete_table_alias))
}

#[derive(Debug, Deserialize)]
struct RenameDatabaseParams {
    db: String,
    name: String,
}

/// `POST /api/v3/configure/database/rename`: `name` is the new name. The present one becomes an alias. Requires the
/// permission to create a database of the new name.
async fn rename_database((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: RenameDatabaseParams = parse_query(request.uri())?;
    let may = |action, database| caller.may(action, database);
    service.catalog.rename_database_if(&params.db, &params.name, may).await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct DatabaseAliasParams {
    alias: String,
}

/// `DELETE /api/v3/configure/database/alias`
async fn delete_database_alias((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: DatabaseAliasParams = parse_query(request.uri())?;
    let may = |database| caller.may(DatabaseAction::Delete, database);
    service.catalog.delete_database_alias_if(&params.alias, may).await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct RenameTableParams {
    db: String,
    table: String,
    name: String,
}

/// `POST /api/v3/configure/table/rename`: the same for a table. Requires the permission to create a table.
async fn rename_table((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: RenameTableParams = parse_query(request.uri())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    caller.require_any(&CREATE_ACTIONS, Some(database))?;
    let renamed = service.catalog.rename_table(database, table, &params.name).await;
    renamed.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct TableAliasParams {
    db: String,
    alias: String,
}

/// `DELETE /api/v3/configure/table/alias`
async fn delete_table_alias((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: TableAliasParams = parse_query(request.uri())?;
    let database = find_for(&service, &caller, &params.db, &[DatabaseAction::Delete]).await?;
    service.catalog.delete_table_alias(database, &params.alias).await?;
    Ok(StatusCode::OK)
}
