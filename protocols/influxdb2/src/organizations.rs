//! The organization. Neap has one, which a request may name as it likes, as in writes.

use axum::{Json, Router, extract::Path, routing::get};
use http::Uri;
use neap_catalog::InfluxDb2Id;
use neap_http::{ApiError, parse_query};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::requests::{given, not_found, parse_id};

/// The name of the organization if the request does not name it.
pub(crate) const DEFAULT_NAME: &str = "neap";

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/api/v2/orgs", get(list))
        .route("/api/v2/orgs/{id}", get(show))
}

/// Returns the organization under this name.
pub(crate) fn answer(name: &str) -> Value {
    let id = InfluxDb2Id::ORGANIZATION;
    json!({
        "id": id,
        "name": name,
        "links": {
            "self": format!("/api/v2/orgs/{id}"),
            "buckets": format!("/api/v2/buckets?orgID={id}"),
        },
    })
}

#[derive(Debug, Deserialize)]
struct OrganizationParams {
    org: Option<String>,
}

/// `GET /api/v2/orgs`
async fn list(uri: Uri) -> Result<Json<Value>, ApiError> {
    let params: OrganizationParams = parse_query(&uri)?;
    let name = given(params.org);
    Ok(Json(json!({
        "links": { "self": "/api/v2/orgs" },
        "orgs": [answer(name.as_deref().unwrap_or(DEFAULT_NAME))],
    })))
}

/// `GET /api/v2/orgs/{id}`
async fn show(Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    if parse_id(&id)? == InfluxDb2Id::ORGANIZATION {
        Ok(Json(answer(DEFAULT_NAME)))
    } else {
        Err(not_found("organization not found"))
    }
}
