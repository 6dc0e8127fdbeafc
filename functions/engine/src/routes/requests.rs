//! Requests to plugins.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::Response,
    routing::any,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{self, ACCESS_CONTROL_ALLOW_ORIGIN},
};
use neap_catalog::DatabaseAction;
use neap_http::{ApiError, Caller, RequestDeadline, read_body};
use serde_json::json;

use super::{EngineRoutes, PluginRequest};
use crate::{PluginResponse, RunError};

/// Headers that hold credentials for the database; they are not passed to plugins.
const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION];

/// Response headers of the connection; a plugin can't set them.
const CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Maximum number of headers of a plugin's response. `HeaderMap` panics above about 24,000.
const MAX_RESPONSE_HEADERS: usize = 1_000;

/// The permissions to call a plugin: one of these on the database of its trigger is enough.
const CALLERS: [DatabaseAction; 2] = [DatabaseAction::Read, DatabaseAction::Write];

/// The routes of this module.
pub(super) fn routes() -> Router<Arc<EngineRoutes>> {
    Router::new().route("/api/v3/engine/{*path}", any(request))
}

/// Any method of `/api/v3/engine/PATH`
async fn request(
    State(parts): State<Arc<EngineRoutes>>,
    Path(path): Path<String>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let found = parts.triggers.find(&path).await?;
    // The permission check precedes the 404, so that callers without permission can't probe for paths.
    caller.require_any(&CALLERS, found.as_ref().map(|found| found.database))?;
    let Some(trigger) = found else {
        return Ok(plain(StatusCode::NOT_FOUND, r#"{error: "not found"}"#.into()));
    };
    let (head, body) = request.into_parts();
    let body = read_body(&head.headers, body, &parts.body, parts.world()).await?;
    let query = head.uri.query().unwrap_or_default();
    let request = PluginRequest {
        method: head.method.to_string(),
        query: serde_urlencoded::from_str(query).unwrap_or_default(),
        headers: headers(&head.headers),
        body,
        time: head.extensions.get::<RequestDeadline>().map(|limit| {
            let now = parts.world().clock.monotonic();
            limit.ends.saturating_sub(now)
        }),
    };
    let answered = Arc::clone(&parts.triggers).request(trigger, request).await;
    Ok(match answered.map(response) {
        Ok(Ok(response)) => response,
        Ok(Err(invalid)) => failed(StatusCode::INTERNAL_SERVER_ERROR, &invalid),
        Err(error) => {
            let status = match error {
                RunError::Busy(_) | RunError::NoProcess(_) | RunError::Stopping => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failed(status, &error.to_string())
        }
    })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = headers.iter().filter(|(name, _)| !CREDENTIALS.contains(name));
    own.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    })
    .collect()
}

/// Converts the response of a plugin to an HTTP response, or returns the reason why it is invalid.
fn response(answered: PluginResponse) -> Result<Response, String> {
    let status = StatusCode::from_u16(answered.status)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| format!("invalid status {}", answered.status))?;
    if answered.headers.len() > MAX_RESPONSE_HEADERS {
        return Err(format!("more than {MAX_RESPONSE_HEADERS} headers"));
    }
    let mut response = plain(status, answered.body.into());
    let headers = response.headers_mut();
    for (name, value) in &answered.headers {
        let invalid = || format!("invalid header '{}'", name.escape_debug());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
        if name == ACCESS_CONTROL_ALLOW_ORIGIN {
            headers.insert(name, value);
        } else if !CONNECTION.contains(&name) {
            headers.append(name, value);
        }
    }
    Ok(response)
}

fn failed(status: StatusCode, text: &str) -> Response {
    plain(status, json!({ "error": text }).to_string().into())
}

/// Creates a response that web pages of any origin may read, including error responses, as InfluxDB 3 Core does.
fn plain(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}
