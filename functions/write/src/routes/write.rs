//! The three endpoints for line protocol.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, Uri};
use neap_bucket::Stamp;
use neap_catalog::{CatalogError, DatabaseAction, validate_database_name};
use neap_http::{
    ApiError, Caller, ErrorBody, Kind, STAMP_HEADER, expected_bytes, read_body, requested_order,
    requested_stamp,
};

use super::{
    authorize_write, bucket_name::bucket_name, configure, error_response, params,
    questdb::QuestDbError,
};
use crate::{
    AcceptedWrite, Dialect, DuplicateCheck, LegacyWrites, REPLACED_ROWS_HEADER, WriteFailure,
    WriteOptions, WriteService, WriteSettings,
};

/// A request that is answered with 204 and stores nothing.
const NO_ROWS: AcceptedWrite = AcceptedWrite { rows: 0, stamp: None, duplicates: None };

/// How a request without lines is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EmptyRequest {
    /// With an error.
    Refused,
    /// With 204 if the database exists, as in InfluxDB 1, whose clients test their settings so.
    FindsDatabase,
}

/// `POST /api/v3/write_lp`
pub(super) async fn v3(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    let params = params::v3(request.uri());
    let empty = EmptyRequest::Refused;
    match accept(&service, request, params, empty, error_response::of).await {
        Ok(accepted) => written(accepted),
        Err(error) => error.into_response(),
    }
}

/// `POST /api/v2/write`
pub(super) async fn v2(
    State(service): State<Arc<WriteService>>,
    caller: Caller,
    request: Request,
) -> Response {
    let params = v2_params(&service, &caller, request.uri()).await;
    // Clients of InfluxDB 2 expect an error.
    let empty = EmptyRequest::Refused;
    match accept(&service, request, params, empty, error_response::of_v2).await {
        Ok(accepted) => written(accepted),
        Err(error) => error.with_body(ErrorBody::V2).into_response(),
    }
}

async fn v2_params(
    service: &WriteService,
    caller: &Caller,
    uri: &Uri,
) -> Result<(String, WriteOptions), ApiError> {
    let (bucket, options) = legacy(params::v2(uri)?, &service.settings);
    let database = bucket_name(service, caller, bucket, &[DatabaseAction::Append]).await?;
    Ok((database, options))
}

/// `POST /write`
pub(super) async fn v1(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    let default = service.settings.default_database.as_deref();
    let params = match service.catalog.root(service.max_age).await {
        Ok(root) => params::v1(request.uri(), default, &root.value),
        Err(error) => Err(error.into()),
    }
    .map(|it| legacy(it, &service.settings));
    match &params {
        Ok((_, options)) if options.dialect == Dialect::QuestDb => {
            let id = request.extensions().get().copied();
            let empty = EmptyRequest::Refused;
            match accept(&service, request, params, empty, QuestDbError::from).await {
                Ok(accepted) => written(accepted),
                Err(error) => error.into_response(id),
            }
        }
        _ => {
            let is_partial = params.as_ref().is_ok_and(|(_, it)| it.accept_partial);
            let empty = if is_partial {
                EmptyRequest::FindsDatabase
            } else {
                EmptyRequest::Refused
            };
            match accept(&service, request, params, empty, error_response::of_v1).await {
                Ok(accepted) => written(accepted),
                // As in InfluxDB 1: Telegraf repeats a request for ever if the error is not JSON.
                Err(error) if is_partial => error.text_into_json().into_response(),
                Err(error) => error.into_response(),
            }
        }
    }
}

/// Returns the parameters of a request to `/write` or `/api/v2/write` with the consequences of the settings.
fn legacy(
    (database, options): (String, WriteOptions),
    settings: &WriteSettings,
) -> (String, WriteOptions) {
    let is_strict = settings.legacy_writes == LegacyWrites::Strict;
    let options = WriteOptions {
        accept_partial: options.accept_partial && !is_strict,
        ..options
    };
    (database, options)
}

/// Returns 204 with the stamp, and with the number of replaced rows if they were counted.
fn written(accepted: AcceptedWrite) -> Response {
    let mut response = stored(accepted.stamp);
    if let Some(counted) = accepted.duplicates {
        let replaced = HeaderValue::from(counted.duplicates);
        response.headers_mut().insert(REPLACED_ROWS_HEADER, replaced);
    }
    response
}

/// Returns 204 with the stamp, if there is one.
pub(super) fn stored(stamp: Option<Stamp>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(stamp) = stamp {
        let stamp = HeaderValue::from(stamp.as_u64());
        response.headers_mut().insert(STAMP_HEADER, stamp);
    }
    response
}

async fn accept<E: From<ApiError>>(
    service: &WriteService,
    request: Request,
    params: Result<(String, WriteOptions), ApiError>,
    empty: EmptyRequest,
    failed: fn(WriteFailure) -> E,
) -> Result<AcceptedWrite, E> {
    let (database, mut options) = params?;
    let (head, body) = request.into_parts();
    // Check the name before the body is read.
    validate_database_name(&database).map_err(|error| ApiError::from(CatalogError::from(error)))?;
    options.after = requested_stamp(&head.headers)?;
    options.order = requested_order(&head.headers)?;
    options.duplicates = DuplicateCheck::for_lines(&head.headers)?;
    // Check the permission before the body is read, too.
    let caller = Caller::from_head(&head)?;
    options.only = authorize_write(service, &caller, &database).await?;
    let limits = service.settings.body_limits();
    let room = service.reserve(expected_bytes(&head.headers, &limits)).await.map_err(failed)?;
    let body = read_body(&head.headers, body, &limits, &service.world)
        .await
        .map_err(ApiError::from)?;
    // QuestDB accepts rows without values, of which none is stored.
    let may_have_no_rows = options.dialect == Dialect::QuestDb && !body.is_empty();
    let written = service.write_within(room, service.arrival(), &database, body, options).await;
    match written {
        Err(WriteFailure::Empty) if may_have_no_rows => Ok(NO_ROWS),
        Err(WriteFailure::Empty) if empty == EmptyRequest::FindsDatabase => {
            require_database(service, &database).await?;
            Ok(NO_ROWS)
        }
        written => written.map_err(failed),
    }
}

/// Returns the error of InfluxDB 1 if there is no database of this name.
async fn require_database(service: &WriteService, name: &str) -> Result<(), ApiError> {
    if configure::find(service, name).await?.is_some() {
        return Ok(());
    }
    let text = format!("database not found: \"{name}\"");
    Err(ApiError::json(Kind::NotFound, text))
}
