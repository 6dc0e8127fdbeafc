//! `POST /api/v3/write_file`

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode};
use neap_catalog::{CatalogError, validate_database_name};
use neap_file_formats::ReadOptions;
use neap_http::{
    ApiError, Caller, STAMP_HEADER, expected_bytes, read_body, requested_order, requested_stamp,
};
use neap_write::{
    AcceptedWrite, DuplicateCheck, WARNING_HEADER, WriteService, WriteSettings, authorize_write,
};

use crate::{decode::decode, params::UploadParams};

/// The decoded size that a file may have, as a multiple of the largest body.
const MAX_DECODED_FACTOR: usize = 8;

/// The share of the memory of all requests that the decoded rows of one file may have. The columns and the encoded rows
/// take as much again.
const MAX_DECODED_SHARE: usize = 4;

/// Returns the route that writes files.
pub fn router(service: Arc<WriteService>) -> Router {
    Router::new().route("/api/v3/write_file", post(write_file)).with_state(service)
}

async fn write_file(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    match accept(&service, request).await {
        Ok(accepted) => stored(accepted),
        Err(error) => error.into_response(),
    }
}

async fn accept(service: &WriteService, request: Request) -> Result<AcceptedWrite, ApiError> {
    let (head, body) = request.into_parts();
    let UploadParams { database, format, mapping, csv, mut options } =
        UploadParams::parse(&head.uri, &head.headers)?;
    // The name and the permission are checked before the body is read.
    validate_database_name(&database).map_err(CatalogError::from)?;
    options.after = requested_stamp(&head.headers)?;
    options.order = requested_order(&head.headers)?;
    options.duplicates = DuplicateCheck::requested(&head.headers)?;
    let caller = Caller::from_head(&head)?;
    options.only = authorize_write(service, &caller, &database).await?;
    let limits = service.settings().body_limits();
    let mut reservation = service.reserve(expected_bytes(&head.headers, &limits)).await?;
    let file = read_body(&head.headers, body, &limits, service.world()).await?;
    let read_options = ReadOptions {
        format,
        mapping,
        csv,
        max_decoded_bytes: Some(max_decoded_bytes(service.settings()) as u64),
        ..ReadOptions::default()
    };
    let rows = decode(service, &mut reservation, file, read_options).await?;
    let accepted = service.write_rows(reservation, &database, &rows, options).await?;
    Ok(accepted)
}

fn max_decoded_bytes(settings: &WriteSettings) -> usize {
    let share = settings.max_bytes_in_flight / MAX_DECODED_SHARE;
    settings
        .max_request_bytes
        .saturating_mul(MAX_DECODED_FACTOR)
        .min(share.max(settings.max_request_bytes))
}

/// Returns 204 with the stamp, if there is one, and the warning.
fn stored(accepted: AcceptedWrite) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let stamp = accepted.stamp.map(|stamp| HeaderValue::from(stamp.as_u64()));
    let warning = accepted.duplicates.and_then(|duplicates| duplicates.to_string().parse().ok());
    for (name, value) in [(STAMP_HEADER, stamp), (WARNING_HEADER, warning)] {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
