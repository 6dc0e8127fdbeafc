//! The endpoints `/health` and `/ping`: liveness, version and build of a server.
//!
//! Clients and tools recognise an InfluxDB 3 by the headers `X-Influxdb-Version` and `X-Influxdb-Build` of `/ping`, or
//! by its body. They derive the supported features from the version. Therefore the version is that of the InfluxDB 3
//! Core with which Neap is compatible, without a suffix that a parser might not accept, and the product name and build
//! are those of InfluxDB 3 Core. The version of Neap is in `x-neap-version`.
//!
//! InfluxDB 1 answers `/ping` with 204, and many of its clients accept nothing else: they get 204 with the same headers.

use std::{str::FromStr, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use neap_bucket::World;
use serde_json::json;
use uuid::{Builder, Uuid};

use crate::{
    RequestId,
    known_clients::{expects_v2_json, is_v1_client},
};

/// The version of InfluxDB 3 Core that Neap is compatible with.
pub const COMPATIBLE_VERSION: &str = "3.10.0";

const PRODUCT: &str = "InfluxDB 3 Core";
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-influxdb-version");
const BUILD_HEADER: HeaderName = HeaderName::from_static("x-influxdb-build");
const NEAP_VERSION_HEADER: HeaderName = HeaderName::from_static("x-neap-version");
const REQUEST_ID_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("request-id"), HeaderName::from_static("x-request-id")];

/// The identity of the process, as shown by `/ping`.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The version of Neap.
    pub version: &'static str,
    /// The revision of the source: 7 to 10 hexadecimal digits.
    pub revision: &'static str,
    /// A random id, drawn when the process starts.
    pub process: Uuid,
}

impl ServerInfo {
    /// Creates the identity of a process of this version and revision, with an id drawn from `world`.
    pub fn new(version: &'static str, revision: &'static str, world: &World) -> Self {
        let random = world.entropy.next_u128().to_be_bytes();
        Self {
            version,
            revision,
            process: Builder::from_random_bytes(random).into_uuid(),
        }
    }
}

/// How `/ping` is answered (`--ping`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PingAnswer {
    /// With 204 to clients that show that they are of InfluxDB 1, and with 200 and JSON to others.
    #[default]
    ByClient,
    /// With 204, as InfluxDB 1 does.
    NoContent,
}

/// A value that names no [`PingAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither auto nor v1")]
pub struct PingAnswerError(String);

impl FromStr for PingAnswer {
    type Err = PingAnswerError;

    fn from_str(text: &str) -> Result<Self, PingAnswerError> {
        match text {
            "auto" => Ok(Self::ByClient),
            "v1" => Ok(Self::NoContent),
            _ => Err(PingAnswerError(text.to_owned())),
        }
    }
}

#[derive(Debug)]
struct PingState {
    server: ServerInfo,
    answer: PingAnswer,
}

/// Creates the routes `/health`, `/api/v1/health` (GET) and `/ping` (GET, POST). All of them answer HEAD, too.
pub fn health_routes(server: ServerInfo, answer: PingAnswer) -> Router {
    let health = get(health);
    Router::new()
        .route("/health", health.clone())
        .route("/api/v1/health", health)
        .route("/ping", get(ping).post(ping))
        .with_state(Arc::new(PingState { server, answer }))
}

/// Answers `OK`, or the JSON of InfluxDB 2 to clients that expect it.
async fn health(headers: HeaderMap) -> Response {
    if expects_v2_json(&headers) {
        return Json(json!({
            "name": "influxdb",
            "message": "ready for queries and writes",
            "status": "pass",
            "checks": [],
            "version": COMPATIBLE_VERSION,
        }))
        .into_response();
    }
    "OK".into_response()
}

async fn ping(
    State(state): State<Arc<PingState>>,
    headers: HeaderMap,
    id: Option<Extension<RequestId>>,
) -> Response {
    let server = &state.server;
    let mut response = if state.answer == PingAnswer::NoContent || is_v1_client(&headers) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Json(json!({
            "product_name": PRODUCT,
            "version": COMPATIBLE_VERSION,
            "revision": server.revision,
            "process_id": server.process.hyphenated().to_string(),
        }))
        .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, HeaderValue::from_static(COMPATIBLE_VERSION));
    headers.insert(BUILD_HEADER, HeaderValue::from_static("Core"));
    headers.insert(NEAP_VERSION_HEADER, HeaderValue::from_static(server.version));
    if let Some(Extension(id)) = id {
        for name in REQUEST_ID_HEADERS {
            headers.insert(name, id.header_value());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_has_two_values() {
        assert_eq!("auto".parse(), Ok(PingAnswer::ByClient));
        assert_eq!("v1".parse(), Ok(PingAnswer::NoContent));
        let error = "v3".parse::<PingAnswer>().unwrap_err();
        assert_eq!(error.to_string(), "'v3' is neither auto nor v1");
    }
}
