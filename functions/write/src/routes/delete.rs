//! The endpoints that delete rows.
//!
//! `POST /api/v2/delete?bucket=…` is the endpoint of InfluxDB 2: a time range that **includes both ends**, as in
//! InfluxDB, and a predicate. Differences: a time outside the storable range is clamped to the range instead of
//! refused; the content type of the body is ignored; `org` is ignored; and predicates support more syntax
//! ([`Predicate`]).
//!
//! `POST /api/v3/delete_rows` is specific to Neap: it deletes from one table, which must exist, and times are optional.
//!
//! Both answer 204 with the stamp when the delete is acknowledged. The stamp is omitted if no table can have matching
//! rows.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use chrono::DateTime;
use http::Uri;
use neap_catalog::{CatalogError, DatabaseAction, validate_database_name};
use neap_http::{
    ApiError, Caller, ErrorBody, Kind, expected_bytes, read_body, read_json, requested_stamp,
};
use neap_row_delete::Predicate;
use serde::Deserialize;

use super::{bucket_name::bucket_name, configure::allowed_database, error_response, write::stored};
use crate::{AcknowledgedDelete, DeleteOptions, RowSelection, WriteService};

/// The permissions that allow deleting rows.
pub(super) const DELETE_ACTIONS: [DatabaseAction; 2] =
    [DatabaseAction::Write, DatabaseAction::Delete];

#[derive(Debug, Deserialize)]
struct DeleteV2Params {
    #[serde(default)]
    bucket: String,
    #[serde(default, rename = "bucketID")]
    bucket_id: String,
    #[serde(default)]
    db: String,
}

// An unknown field may be a misspelt condition, without which all rows would be deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteV2Body {
    start: Option<String>,
    stop: Option<String>,
    predicate: Option<String>,
}

/// `POST /api/v2/delete`
pub(super) async fn v2(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    match delete_v2(&service, request).await {
        Ok(deleted) => stored(deleted.stamp),
        Err(error) => error.with_body(ErrorBody::V2).into_response(),
    }
}

async fn delete_v2(
    service: &WriteService,
    request: Request,
) -> Result<AcknowledgedDelete, ApiError> {
    let (head, body) = request.into_parts();
    let bucket = bucket(&head.uri)?;
    // Check the name before the body is read.
    validate_database_name(&bucket).map_err(CatalogError::from)?;
    let after = requested_stamp(&head.headers)?;
    let caller = Caller::from_head(&head)?;
    let database = bucket_name(service, &caller, bucket, &DELETE_ACTIONS).await?;
    let only = allowed_database(service, &caller, &database, &DELETE_ACTIONS).await?;
    let limits = service.settings.body_limits();
    let room = service.reserve(expected_bytes(&head.headers, &limits));
    let _room = room.await.map_err(error_response::of)?;
    let body = read_body(&head.headers, body, &limits, &service.world).await?;
    let body: DeleteV2Body = serde_json::from_slice(&body)
        .map_err(|error| refused(format!("invalid request body: {error}")))?;
    let required = |name: &str, text: Option<String>| {
        let text = text.ok_or_else(|| refused(format!("{name} is missing")))?;
        nanoseconds(name, &text)
    };
    let (min_time, max_time) = (required("start", body.start)?, required("stop", body.stop)?);
    let selection = RowSelection {
        table: None,
        predicate: predicate(body.predicate)?,
        min_time,
        max_time: in_order(min_time, max_time)?,
    };
    let options = DeleteOptions { after, only };
    let deleted = service.delete_rows(&database, &selection, options).await;
    deleted.map_err(error_response::of_delete)
}

/// Returns the bucket in a query string: `bucket` or `bucketID` as in InfluxDB 2, or `db`.
fn bucket(uri: &Uri) -> Result<String, ApiError> {
    let query = uri.query().unwrap_or_default();
    let params: DeleteV2Params = serde_urlencoded::from_str(query)
        .map_err(|error| refused(format!("failed to deserialize bucket in request: {error}")))?;
    let mut named = [params.bucket_id, params.bucket, params.db]
        .into_iter()
        .filter(|name| !name.is_empty());
    named.next().ok_or_else(|| refused("missing bucket value"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteV3Body {
    db: String,
    table: String,
    condition: Option<String>,
    start: Option<String>,
    stop: Option<String>,
}

/// `POST /api/v3/delete_rows`
pub(super) async fn v3(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    match delete_v3(&service, request).await {
        Ok(deleted) => stored(deleted.stamp),
        Err(error) => error.with_body(ErrorBody::Json).into_response(),
    }
}

async fn delete_v3(
    service: &WriteService,
    request: Request,
) -> Result<AcknowledgedDelete, ApiError> {
    let (head, body) = request.into_parts();
    let after = requested_stamp(&head.headers)?;
    let limits = service.settings.body_limits();
    let room = service.reserve(expected_bytes(&head.headers, &limits));
    let _room = room.await.map_err(error_response::of)?;
    let body: DeleteV3Body = read_json(&head.headers, body, &limits, &service.world).await?;
    let caller = Caller::from_head(&head)?;
    let only = allowed_database(service, &caller, &body.db, &DELETE_ACTIONS).await?;
    let optional = |name: &str, text: Option<String>, otherwise: i64| match text {
        Some(text) => nanoseconds(name, &text),
        None => Ok(otherwise),
    };
    let min_time = optional("start", body.start, i64::MIN)?;
    let max_time = optional("stop", body.stop, i64::MAX)?;
    let selection = RowSelection {
        table: Some(body.table),
        predicate: predicate(body.condition)?,
        min_time,
        max_time: in_order(min_time, max_time)?,
    };
    let options = DeleteOptions { after, only };
    let deleted = service.delete_rows(&body.db, &selection, options).await;
    deleted.map_err(error_response::of_delete)
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::json(Kind::Invalid, message)
}

fn predicate(text: Option<String>) -> Result<Predicate, ApiError> {
    let parsed = Predicate::parse(text.as_deref().unwrap_or_default());
    parsed.map_err(|error| error_response::of_delete(error.into()))
}

/// Parses a time as nanoseconds since the Unix epoch. Out-of-range times are clamped to the earliest or latest time.
pub(super) fn nanoseconds(name: &str, text: &str) -> Result<i64, ApiError> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| {
        refused(format!("{name} is not a time such as 2009-01-02T23:00:00Z: {error}"))
    })?;
    let out_of_range = if time.timestamp() < 0 {
        i64::MIN
    } else {
        i64::MAX
    };
    Ok(time.timestamp_nanos_opt().unwrap_or(out_of_range))
}

/// Returns the end of a time range, or an error if it is before the start.
fn in_order(start: i64, stop: i64) -> Result<i64, ApiError> {
    if stop < start {
        return Err(refused("stop is before start"));
    }
    Ok(stop)
}
