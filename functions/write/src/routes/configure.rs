//! The endpoints that create, change and drop databases and tables.
//!
//! InfluxDB 3 Enterprise sets the retention of a table below `/api/v3/enterprise/`; the paths of both editions are
//! served. Two routes are specific to Neap: `POST /api/v3/configure/database/undelete` and `…/table/undelete` undo a
//! drop.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::post};
use chrono::DateTime;
use http::StatusCode;
use neap_bucket::StoreTime;
use neap_catalog::{
    CatalogError, DatabaseAction, HardDelete, INTERNAL_DATABASE, INTERNAL_DATABASE_ID,
    validate_database_name,
};
use neap_http::{ApiError, Call, Caller, Kind, parse_query};
use neap_schema::{ColumnType, DatabaseId};
use serde::{Deserialize, Deserializer, Serialize};

use super::{configure_params::json, database_settings::DatabaseSettings};
use crate::WriteService;

/// The service that answers.
pub(super) type ServiceState = State<Arc<WriteService>>;
/// The answer to a change.
pub(super) type StatusResult = Result<StatusCode, ApiError>;
/// The parameters of a handler.
pub(super) type ServiceCall = Call<Arc<WriteService>>;

/// The permissions that allow creating tables and columns.
pub(super) const CREATE_ACTIONS: [DatabaseAction; 2] =
    [DatabaseAction::Create, DatabaseAction::Write];

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    let database = post(create_database).put(update_database).delete(delete_database);
    let retention = post(set_retention).delete(clear_retention);
    let table = post(create_table).put(update_table).delete(delete_table);
    let table_retention = post(set_table_retention).delete(clear_table_retention);
    Router::new()
        .route("/api/v3/configure/database", database)
        .route("/api/v3/configure/database/retention_period", retention)
        .route("/api/v3/configure/database/undelete", post(undelete_database))
        .route("/api/v3/configure/table", table)
        .route("/api/v3/configure/table/retention_period", table_retention.clone())
        .route("/api/v3/enterprise/configure/table/retention_period", table_retention)
        .route("/api/v3/configure/table/undelete", post(undelete_table))
}

#[derive(Debug, Deserialize)]
struct CreateDatabaseBody {
    db: String,
    #[serde(default, deserialize_with = "human_duration")]
    retention_period: Option<Duration>,
    #[serde(flatten)]
    settings: DatabaseSettings,
}

/// An update with only settings of Neap leaves the retention unchanged. Without them, a missing retention means none, as in
/// InfluxDB 3.
#[derive(Debug, Deserialize)]
struct UpdateDatabaseBody {
    db: String,
    #[serde(default, deserialize_with = "nullable_duration")]
    retention_period: Option<Option<Duration>>,
    #[serde(flatten)]
    settings: DatabaseSettings,
}

/// Deserializes a duration or `null`, and distinguishes both from a missing field.
fn nullable_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Duration>>, D::Error> {
    human_duration(deserializer).map(Some)
}

/// Deserializes a duration such as `30d`, or `null`.
fn human_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let parse = |text: String| {
        let unexpected = serde::de::Unexpected::Str(&text);
        humantime::parse_duration(&text)
            .map_err(|_| serde::de::Error::invalid_value(unexpected, &"a duration"))
    };
    text.map(parse).transpose()
}

/// Refuses a retention of zero, which would expire all data. Other databases read zero as unlimited.
fn check_retention(retention: Option<Duration>) -> Result<(), ApiError> {
    if retention.is_some_and(|retention| retention.is_zero()) {
        let text = "the retention period must be longer than zero";
        return Err(ApiError::text(Kind::Invalid, text));
    }
    Ok(())
}

/// `POST /api/v3/configure/database`
async fn create_database((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require(DatabaseAction::Create, None)?;
    let body: CreateDatabaseBody = json(&service, request).await?;
    check_retention(body.retention_period)?;
    if body.settings.order.is_some() {
        caller.require_admin()?;
    }
    let catalog = &service.catalog;
    let created = catalog.create_database(&body.db, body.retention_period);
    let database = created.await?;
    body.settings.apply(catalog, database).await?;
    Ok(StatusCode::OK)
}

/// `PUT /api/v3/configure/database`
async fn update_database((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let body: UpdateDatabaseBody = json(&service, request).await?;
    let retention = body.retention_period;
    check_retention(retention.flatten())?;
    let settings = body.settings;
    if retention.is_some() || settings.is_empty() {
        set(&service, &body.db, retention.flatten()).await?;
    }
    if !settings.is_empty() {
        let database = live(&service, &body.db).await?;
        settings.apply(&service.catalog, database).await?;
    }
    Ok(StatusCode::OK)
}

async fn set(
    service: &WriteService,
    name: &str,
    retention: Option<Duration>,
) -> Result<(), ApiError> {
    let database = live(service, name).await?;
    service.catalog.set_retention(database, retention).await?;
    Ok(())
}

async fn live(service: &WriteService, name: &str) -> Result<DatabaseId, CatalogError> {
    let found = find(service, name).await?;
    found.ok_or_else(|| CatalogError::NotFound { name: name.to_owned() })
}

pub(super) async fn find(
    service: &WriteService,
    name: &str,
) -> Result<Option<DatabaseId>, CatalogError> {
    let max_age = service.max_age;
    service.catalog.database_by_name(name, max_age).await
}

#[derive(Debug, Deserialize)]
struct DeleteDatabaseParams {
    db: String,
    hard_delete_at: Option<String>,
    #[serde(default)]
    data_only: bool,
}

/// `DELETE /api/v3/configure/database`
async fn delete_database((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: DeleteDatabaseParams = parse_query(request.uri())?;
    refuse_data_only(params.data_only)?;
    let hard_delete = hard_delete(&service, params.hard_delete_at.as_deref())?;
    if params.db == INTERNAL_DATABASE {
        caller.require(DatabaseAction::Delete, Some(INTERNAL_DATABASE_ID))?;
        return Err(ApiError::text(Kind::Internal, "cannot delete internal db"));
    }
    let may = |database| caller.may(DatabaseAction::Delete, database);
    let catalog = &service.catalog;
    catalog.delete_database_if(&params.db, hard_delete, may).await?;
    Ok(StatusCode::OK)
}

/// Refuses a request that shall keep the schema, because it must not drop it.
fn refuse_data_only(data_only: bool) -> Result<(), ApiError> {
    if !data_only {
        return Ok(());
    }
    let text =
        "data_only=true is not supported: delete the rows of each table with /api/v3/delete_rows";
    Err(ApiError::json(Kind::Invalid, text))
}

/// Parses the time at which dropped data is deleted.
fn hard_delete(service: &WriteService, text: Option<&str>) -> Result<HardDelete, ApiError> {
    match text {
        None | Some("default") => Ok(service.settings.hard_delete),
        Some("never") => Ok(HardDelete::Never),
        Some("now") => Ok(HardDelete::NOW),
        Some(time) => match DateTime::parse_from_rfc3339(time) {
            Ok(time) => {
                let time = StoreTime::from_micros(time.timestamp_micros());
                Ok(HardDelete::At(time))
            }
            Err(error) => {
                let text = format!("Cannot parse the timestamp: {error}");
                Err(ApiError::text(Kind::Invalid, text))
            }
        },
    }
}

#[derive(Debug, Deserialize)]
struct SetRetentionParams {
    db: String,
    duration: String,
}

/// `POST /api/v3/configure/database/retention_period`
async fn set_retention((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let params: SetRetentionParams = parse_query(request.uri())?;
    let retention = parse_retention(&params.duration)?;
    set(&service, &params.db, Some(retention)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_retention(text: &str) -> Result<Duration, ApiError> {
    let retention = parse_period(text)?;
    check_retention(Some(retention))?;
    Ok(retention)
}

/// Parses a duration such as `30d`.
pub(super) fn parse_period(text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|error| {
        let text = format!("Cannot parse the given human time: {error}");
        ApiError::text(Kind::Invalid, text)
    })
}

#[derive(Debug, Deserialize)]
struct ClearRetentionParams {
    db: String,
}

/// `DELETE /api/v3/configure/database/retention_period`
async fn clear_retention((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let params: ClearRetentionParams = parse_query(request.uri())?;
    set(&service, &params.db, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
struct SetTableRetentionParams {
    db: String,
    table: String,
    duration: String,
}

/// `POST /api/v3/configure/table/retention_period`: takes precedence over the retention of the database.
async fn set_table_retention((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let params: SetTableRetentionParams = parse_query(request.uri())?;
    let retention = parse_retention(&params.duration)?;
    set_of_table(&service, &params.db, &params.table, Some(retention)).await
}

#[derive(Debug, Deserialize)]
struct ClearTableRetentionParams {
    db: String,
    table: String,
}

/// `DELETE /api/v3/configure/table/retention_period`: the retention of the database applies again.
async fn clear_table_retention((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let params: ClearTableRetentionParams = parse_query(request.uri())?;
    set_of_table(&service, &params.db, &params.table, None).await
}

async fn set_of_table(
    service: &WriteService,
    db: &str,
    table: &str,
    retention: Option<Duration>,
) -> StatusResult {
    let database = require_existing(db, find(service, db).await?)?;
    let catalog = service.catalog.database(database, Duration::ZERO).await?;
    let found = catalog.value.table(table);
    let id = found.ok_or_else(|| no_table(db, table))?.id();
    let set = service.catalog.set_table_retention(database, id, retention);
    set.await.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the database of a name if the caller has any of the permissions on it. A caller without permission does not
/// learn whether the database exists.
pub(super) async fn find_for(
    service: &WriteService,
    caller: &Caller,
    db: &str,
    actions: &[DatabaseAction],
) -> Result<DatabaseId, ApiError> {
    let database = find(service, db).await?;
    caller.require_any(actions, database)?;
    require_existing(db, database)
}

pub(super) fn require_existing(
    db: &str,
    found: Option<DatabaseId>,
) -> Result<DatabaseId, ApiError> {
    found.ok_or_else(|| ApiError::text(Kind::NotFound, format!("Database not found {db}")))
}

/// Returns the only database that the caller may use for any of the actions under this name: the one that has the name now, not a later
/// database of the same name. `None`: any database, even one that does not exist yet.
/// Fails with `Forbidden`, even if the database does not exist.
pub(super) async fn allowed_database(
    service: &WriteService,
    caller: &Caller,
    db: &str,
    actions: &[DatabaseAction],
) -> Result<Option<DatabaseId>, ApiError> {
    if caller.may_any(actions, None) {
        return Ok(None);
    }
    let database = find(service, db).await?;
    caller.require_any(actions, database)?;
    Ok(database)
}

pub(super) fn no_table(db: &str, table: &str) -> ApiError {
    let text = format!("Table {table} not in DB schema for {db}");
    ApiError::text(Kind::NotFound, text)
}

/// Returns the answer to a failed change of what a table has.
pub(super) fn refused(error: CatalogError, db: &str) -> ApiError {
    match error {
        CatalogError::NoSuchTable { table } => no_table(db, &table),
        error => error.into(),
    }
}

/// Returns the answer to a failed change of a table or one of its columns.
pub(super) fn table_error(error: CatalogError, db: &str, table: &str) -> ApiError {
    match error {
        CatalogError::NotFound { .. } | CatalogError::NoSuchTable { .. } => no_table(db, table),
        error => error.into(),
    }
}

/// The name of a field type in this API.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FieldType {
    Utf8,
    Int64,
    Uint64,
    Float64,
    Bool,
}

impl From<FieldType> for ColumnType {
    fn from(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Utf8 => Self::String,
            FieldType::Int64 => Self::Integer,
            FieldType::Uint64 => Self::UInteger,
            FieldType::Float64 => Self::Float,
            FieldType::Bool => Self::Boolean,
        }
    }
}

#[derive(Debug, Deserialize)]
struct FieldBody {
    name: String,
    #[serde(rename = "type")]
    field_type: FieldType,
}

#[derive(Debug, Deserialize)]
struct CreateTableBody {
    db: String,
    table: String,
    tags: Vec<String>,
    fields: Vec<FieldBody>,
    #[serde(default, deserialize_with = "human_duration")]
    retention_period: Option<Duration>,
}

/// `POST /api/v3/configure/table`
async fn create_table((State(service), caller, request): ServiceCall) -> StatusResult {
    let body: CreateTableBody = json(&service, request).await?;
    check_retention(body.retention_period)?;
    if body.retention_period.is_some() {
        caller.require_admin()?;
    }
    validate_database_name(&body.db).map_err(CatalogError::from)?;
    let found = find(&service, &body.db).await?;
    caller.require_any(&CREATE_ACTIONS, found)?;
    // InfluxDB 3 adds the fields first, so it reports the tag as the conflicting column.
    let both = body.fields.iter().find(|field| body.tags.contains(&field.name));
    if let Some(field) = both {
        return Err(CatalogError::TypeConflict {
            table: body.table,
            column: field.name.clone(),
            existing: field.field_type.into(),
            wanted: ColumnType::Tag,
        }
        .into());
    }
    let fields: Vec<_> = body
        .fields
        .into_iter()
        .map(|field| (field.name, field.field_type.into()))
        .collect();
    let catalog = &service.catalog;
    let database = match found {
        Some(database) => database,
        None => {
            let max_age = service.max_age;
            catalog.get_or_create_database(&body.db, max_age).await?
        }
    };
    let permission = caller.table_permission(database);
    let (table, tags, retention) = (&body.table, &body.tags, body.retention_period);
    let created =
        catalog.create_permitted_table(database, permission, table, tags, &fields, retention);
    match created.await {
        Err(CatalogError::CreationRefused(_)) => Err(CatalogError::Forbidden.into()),
        created => created.map(|_| StatusCode::OK).map_err(ApiError::from),
    }
}

/// As in an update of a database, a missing retention means that of the database.
#[derive(Debug, Deserialize)]
struct UpdateTableBody {
    db: String,
    table: String,
    #[serde(default, deserialize_with = "human_duration")]
    retention_period: Option<Duration>,
}

/// `PUT /api/v3/configure/table`
async fn update_table((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let body: UpdateTableBody = json(&service, request).await?;
    check_retention(body.retention_period)?;
    set_of_table(&service, &body.db, &body.table, body.retention_period).await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct DeleteTableParams {
    db: String,
    table: String,
    hard_delete_at: Option<String>,
    #[serde(default)]
    data_only: bool,
}

/// `DELETE /api/v3/configure/table`
async fn delete_table((State(service), caller, request): ServiceCall) -> StatusResult {
    let params: DeleteTableParams = parse_query(request.uri())?;
    refuse_data_only(params.data_only)?;
    let hard_delete = hard_delete(&service, params.hard_delete_at.as_deref())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    let deleted = service.catalog.delete_table(database, table, hard_delete);
    deleted.await.map_err(|error| table_error(error, db, table))?;
    Ok(StatusCode::OK)
}

/// The name of a database or table after its drop was undone.
#[derive(Debug, Serialize)]
struct UndeleteResponse {
    name: String,
}

#[derive(Debug, Deserialize)]
struct UndeleteDatabaseParams {
    db: String,
    name: Option<String>,
}

/// `POST /api/v3/configure/database/undelete`: `db` is the name since the drop, or the name before it if that is
/// unambiguous. `name` is the new name, by default the name before the drop. Another name requires the permission to
/// create a database of that name.
async fn undelete_database(
    (State(service), caller, request): ServiceCall,
) -> Result<Json<UndeleteResponse>, ApiError> {
    let params: UndeleteDatabaseParams = parse_query(request.uri())?;
    let may = |action, database| caller.may(action, database);
    let (catalog, name) = (&service.catalog, params.name.as_deref());
    let (_, name) = catalog.undelete_database_if(&params.db, name, may).await?;
    Ok(Json(UndeleteResponse { name }))
}

#[derive(Debug, Deserialize)]
struct UndeleteTableParams {
    db: String,
    table: String,
    name: Option<String>,
}

/// `POST /api/v3/configure/table/undelete`: the same for a table.
async fn undelete_table(
    (State(service), caller, request): ServiceCall,
) -> Result<Json<UndeleteResponse>, ApiError> {
    let params: UndeleteTableParams = parse_query(request.uri())?;
    let (db, table) = (&params.db, &params.table);
    let database = find_for(&service, &caller, db, &[DatabaseAction::Delete]).await?;
    let undeleted = service.catalog.undelete_table(database, table, params.name.as_deref());
    let (_, name) = undeleted.await.map_err(|error| table_error(error, db, table))?;
    Ok(Json(UndeleteResponse { name }))
}
