//! Whether a server is there and what it is: `/health` and `/ping`.
//!
//! Clients and tools recognise an InfluxDB 3 by `/ping`: its headers `X-Influxdb-Version` and
//! `X-Influxdb-Build`, or its body. They compare the version to decide what they may ask for, so it is the
//! version of InfluxDB 3 Core that Neap is compatible with, without a suffix that a parser might stumble
//! over, under the name and build by which they know it. What is really there is in `x-neap-version`.

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

/// What `/ping` says of the process.
#[derive(Clone, Debug)]
pub struct Server {
    /// The version of Neap.
    pub version: &'static str,
    /// The revision that it was built from: 7 to 10 hexadecimal digits.
    pub revision: &'static str,
    /// Drawn when the process started.
    pub process: Uuid,
}

impl Server {
    /// A process of this version and revision, with an id drawn from `world`.
    pub fn new(version: &'static str, revision: &'static str, world: &World) -> Self {
        let random = world.entropy.next_u128().to_be_bytes();
        Self {
            version,
            revision,
            process: Builder::from_random_bytes(random).into_uuid(),
        }
    }
}

/// The routes `/health`, `/api/v1/health` (GET) and `/ping` (GET, POST). All of them answer to HEAD, too.
pub fn health_routes(server: Server) -> Router {
    let health = get(health);
    Router::new()
        .route("/health", health.clone())
        .route("/api/v1/health", health)
        .route("/ping", get(ping).post(ping))
        .with_state(Arc::new(server))
}

/// `OK`, or for those who ask for JSON and nothing else what InfluxDB 2 says: its clients and tools do.
async fn health(headers: HeaderMap) -> Response {
    if headers
        .get(ACCEPT)
        .is_some_and(|accept| accept == "application/json")
    {
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

async fn ping(State(server): State<Arc<Server>>, id: Option<Extension<RequestId>>) -> Response {
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
    async fn health_is_json_for_those_who_want_nothing_else() {
        for accept in [None, Some("*/*"), Some("text/plain, application/json")] {
            assert_eq!(said(accept).await, "OK");
        }
        assert!(
            said(Some("application/json"))
                .await
                .contains(r#""status":"pass""#)
        );
    }
}
