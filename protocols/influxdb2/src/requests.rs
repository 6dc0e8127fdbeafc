//! The state, bodies, ids, times and errors that the requests of all resources share.

use std::{sync::Arc, time::Duration};

use axum::extract::{Request, State};
use chrono::{DateTime, SecondsFormat};
use http::Uri;
use neap_bucket::StoreTime;
use neap_catalog::{ANY_AGE, InfluxDb2Id, InfluxDb2IdError, RootCatalog};
use neap_http::{ApiError, Call, Caller, Kind, ResourceCall, read_body};
use neap_write::WriteService;
use serde::de::DeserializeOwned;

pub(crate) type ServiceState = State<Arc<WriteService>>;

/// The parameters of a handler.
pub(crate) type ServiceCall = Call<Arc<WriteService>>;

/// The parameters of a handler whose path has the id of a resource.
pub(crate) type ItemCall = ResourceCall<Arc<WriteService>, String>;

/// The parameters of a handler that lists resources.
pub(crate) type ListCall = (ServiceState, Caller, Uri);

/// Maximum bytes of a body: enough for the permissions of a token.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Reads a JSON body of any content type, as InfluxDB 2 does.
pub(crate) async fn json_body<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let mut limits = service.settings().body_limits();
    limits.max_bytes = limits.max_bytes.min(MAX_BODY_BYTES);
    let text = read_body(&head.headers, body, &limits, service.world()).await?;
    serde_json::from_slice(&text)
        .map_err(|error| invalid(format!("invalid json structure: {error}")))
}

/// Returns the current root catalog, which has what any process has just created.
pub(crate) async fn root(service: &WriteService) -> Result<Arc<RootCatalog>, ApiError> {
    Ok(service.catalog().root(Duration::ZERO).await?.value)
}

/// Returns the root catalog that this process has read or committed last, without a request to the store.
pub(crate) async fn cached_root(service: &WriteService) -> Result<Arc<RootCatalog>, ApiError> {
    Ok(service.catalog().root(ANY_AGE).await?.value)
}

pub(crate) fn parse_id(text: &str) -> Result<InfluxDb2Id, ApiError> {
    text.parse().map_err(|error: InfluxDb2IdError| invalid(error.to_string()))
}

/// Returns a parameter if it is not empty. InfluxDB 2 treats an empty one as absent, and its clients send such.
pub(crate) fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|text| !text.is_empty())
}

pub(crate) fn rfc3339(time: StoreTime) -> Option<String> {
    let time = DateTime::from_timestamp_micros(time.micros())?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::v2(Kind::Invalid, message)
}

pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::v2(Kind::NotFound, message)
}
