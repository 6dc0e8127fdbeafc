//! The endpoints `/health` and `/ping`: liveness, version and build of a server.
//!
//! Clients and tools recognise an InfluxDB 3 by the headers `X-Influxdb-Version` and `X-Influxdb-Build` of `/ping`, or
//! by its body. They derive the supported features from the version. Therefore the version is that of the InfluxDB 3
//! Core with which Neap is compatible, without a suffix that a parser might not accept, and the product name and build
//! are those of InfluxDB 3 Core. The version of Neap is in `x-neap-version`.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, header::ACCEPT};
use neap_bucket::World;
use serde_json::json;
use uuid::{Builder, Uuid};

use crate::RequestId;

/// The version of InfluxDB 3 Core that Neap is compatible with.
pub const COMPATIBLE_VERSION: &str = "3.10.0";

const PRODUCT: &str = "InfluxDB 3 Core";
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-influxdb-version");
const BUILD_HEADER: HeaderName = HeaderName::from_static("x-influxdb-build");
const NEAP_VERSION_HEADER: HeaderName = HeaderName::from_static("x-neap-version");
const REQUEST_ID_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

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

/// Creates the routes `/health`, `/api/v1/health` (GET) and `/ping` (GET, POST). All of them answer HEAD, too.
pub fn health_routes(server: ServerInfo) -> Router {
    let health = get(health);
    Router::new()
        .route("/health", health.clone())
        .route("/api/v1/health", health)
        .route("/ping", get(ping).post(ping))
        .with_state(Arc::new(server))
}

/// Answers `OK`, or the JSON of InfluxDB 2 if `Accept` lists `application/json`, as clients and tools of InfluxDB 2 do.
async fn health(headers: HeaderMap) -> Response {
    if lists_json(&headers) {
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

/// Whether a client names JSON among the types that it accepts.
fn lists_json(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("application/json")
    })
}

async fn ping(State(server): State<Arc<ServerInfo>>, id: Option<Extension<RequestId>>) -> Response {
    let body = Json(json!({
        "product_name": PRODUCT,
        "version": COMPATIBLE_VERSION,
        "revision": server.revision,
        "process_id": server.process.hyphenated().to_string(),
    }));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, HeaderValue::from_static(COMPATIBLE_VERSION));
    headers.insert(BUILD_HEADER, HeaderValue::from_static("Core"));
    headers.insert(
        NEAP_VERSION_HEADER,
        HeaderValue::from_static(server.version),
    );
    if let Some(Extension(id)) = id {
        for name in REQUEST_ID_HEADERS {
            headers.insert(name, id.header_value());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn said(accept: Option<&'static str>) -> String {
        let accept = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
        let response = health(accept.into_iter().collect()).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn health_is_json_if_accept_lists_json() {
        for accept in [None, Some("*/*"), Some("text/html, */*;q=0.8")] {
            assert_eq!(said(accept).await, "OK");
        }
        for accept in [
            "application/json",
            "text/plain, application/json",
            "application/json; charset=utf-8, text/plain, */*",
        ] {
            let body = said(Some(accept)).await;
            assert!(body.contains(r#""status":"pass""#), "{accept}");
        }
    }
}
