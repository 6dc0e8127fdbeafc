//! The endpoints that create, change and drop databases and tables.

use std::{sync::Arc, time::Duration};

use axum::extract::{Request, State};
use chrono::DateTime;
use http::StatusCode;
use neap_bucket::StoreTime;
use neap_catalog::{CatalogError, HardDelete, validate_database_name};
use neap_http::{ApiError, BodyLimits, Kind, parse_query, read_json};
use neap_schema::{ColumnType, DatabaseId};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::WriteService;

/// The name of the database that InfluxDB 3 keeps for itself.
const INTERNAL: &str = "_internal";

type Answer = Result<StatusCode, ApiError>;
type Service = State<Arc<WriteService>>;

async fn json<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits {
        max_bytes: service.settings.max_request_bytes,
        timeout: service.settings.body_timeout,
    };
    read_json(&head.headers, body, &limits, &service.world).await
}

#[derive(Debug, Deserialize)]
struct DatabaseBody {
    db: String,
    #[serde(default, deserialize_with = "human_duration")]
    retention_period: Option<Duration>,
}

/// A duration such as `30d`, or none.
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

/// Refuses a retention that would make all data vanish: other databases take zero for none.
fn check_retention(retention: Option<Duration>) -> Result<(), ApiError> {
    if retention.is_some_and(|retention| retention.is_zero()) {
        let text = "the retention period must be longer than zero";
        return Err(ApiError::text(Kind::Invalid, text));
    }
    Ok(())
}

/// `POST /api/v3/configure/database`
pub(super) async fn create_database(State(service): Service, request: Request) -> Answer {
    let body: DatabaseBody = json(&service, request).await?;
    check_retention(body.retention_period)?;
    let created = service
        .catalog
        .create_database(&body.db, body.retention_period);
    created.await?;
    Ok(StatusCode::OK)
}

/// `PUT /api/v3/configure/database`
pub(super) async fn update_database(State(service): Service, request: Request) -> Answer {
    let body: DatabaseBody = json(&service, request).await?;
    check_retention(body.retention_period)?;
    set(&service, &body.db, body.retention_period).await?;
    Ok(StatusCode::OK)
}

async fn set(
    service: &WriteService,
    name: &str,
    retention: Option<Duration>,
) -> Result<(), ApiError> {
    let name_of = || CatalogError::NotFound {
        name: name.to_owned(),
    };
    let database = find(service, name).await?.ok_or_else(name_of)?;
    service.catalog.set_retention(database, retention).await?;
    Ok(())
}

async fn find(service: &WriteService, name: &str) -> Result<Option<DatabaseId>, CatalogError> {
    let max_age = service.max_age;
    service.catalog.database_by_name(name, max_age).await
}

#[derive(Debug, Deserialize)]
struct DeleteDatabase {
    db: String,
    hard_delete_at: Option<String>,
}

/// `DELETE /api/v3/configure/database`
pub(super) async fn delete_database(State(service): Service, request: Request) -> Answer {
    let params: DeleteDatabase = parse_query(request.uri())?;
    let hard_delete = hard_delete(&service, params.hard_delete_at.as_deref())?;
    if params.db == INTERNAL {
        return Err(ApiError::text(Kind::Internal, "cannot delete internal db"));
    }
    let deleted = service.catalog.delete_database(&params.db, hard_delete);
    deleted.await?;
    Ok(StatusCode::OK)
}

/// When the data of something that is dropped is to go.
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
struct SetRetention {
    db: String,
    duration: String,
}

/// `POST /api/v3/configure/database/retention_period`
pub(super) async fn set_retention(State(service): Service, request: Request) -> Answer {
    let params: SetRetention = parse_query(request.uri())?;
    let retention = humantime::parse_duration(&params.duration).map_err(|error| {
        let text = format!("Cannot parse the given human time: {error}");
        ApiError::text(Kind::Invalid, text)
    })?;
    check_retention(Some(retention))?;
    set(&service, &params.db, Some(retention)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
struct ClearRetention {
    db: String,
}

/// `DELETE /api/v3/configure/database/retention_period`
pub(super) async fn clear_retention(State(service): Service, request: Request) -> Answer {
    let params: ClearRetention = parse_query(request.uri())?;
    set(&service, &params.db, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The type of a field by its name in this interface.
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
struct TableBody {
    db: String,
    table: String,
    tags: Vec<String>,
    fields: Vec<FieldBody>,
}

/// `POST /api/v3/configure/table`
pub(super) async fn create_table(State(service): Service, request: Request) -> Answer {
    let body: TableBody = json(&service, request).await?;
    validate_database_name(&body.db).map_err(CatalogError::from)?;
    // The fields come first in InfluxDB 3, which makes the tag the one that does not fit.
    let both = body
        .fields
        .iter()
        .find(|field| body.tags.contains(&field.name));
    if let Some(field) = both {
        return Err(CatalogError::TypeConflict {
            table: body.table,
            column: field.name.clone(),
            existing: field.field_type.into(),
            wanted: ColumnType::Tag,
        }
        .into());
    }
    let fields = body.fields.into_iter();
    let fields: Vec<_> = fields
        .map(|field| (field.name, field.field_type.into()))
        .collect();
    let catalog = &service.catalog;
    let max_age = service.max_age;
    let database = catalog.get_or_create_database(&body.db, max_age).await?;
    let created = catalog.create_table(database, &body.table, &body.tags, &fields);
    created.await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct DeleteTable {
    db: String,
    table: String,
    hard_delete_at: Option<String>,
}

/// `DELETE /api/v3/configure/table`
pub(super) async fn delete_table(State(service): Service, request: Request) -> Answer {
    let params: DeleteTable = parse_query(request.uri())?;
    let hard_delete = hard_delete(&service, params.hard_delete_at.as_deref())?;
    let not_found = |text: String| ApiError::text(Kind::NotFound, text);
    let (db, table) = (&params.db, &params.table);
    let database = find(&service, db).await?;
    let database = database.ok_or_else(|| not_found(format!("Database not found {db}")))?;
    let deleted = service.catalog.delete_table(database, table, hard_delete);
    match deleted.await {
        Ok(_) => Ok(StatusCode::OK),
        Err(CatalogError::NotFound { .. }) => Err(not_found(format!(
            "Table {table} not in DB schema for {db}"
        ))),
        Err(error) => Err(error.into()),
    }
}
