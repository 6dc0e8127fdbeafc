//! The index of the interface, and resources of which Neap has none.

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use crate::permissions::RESOURCE_TYPES;

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let labels = async || Json(json!({ "links": { "self": "/api/v2/labels" }, "labels": [] }));
    Router::new()
        .route("/api/v2", get(async || Json(links())))
        .route("/api/v2/labels", get(labels))
        .route("/api/v2/resources", get(async || Json(RESOURCE_TYPES)))
}

/// Returns the paths of the interface.
fn links() -> Value {
    json!({
        "authorizations": "/api/v2/authorizations",
        "buckets": "/api/v2/buckets",
        "dbrps": "/api/v2/dbrps",
        "delete": "/api/v2/delete",
        "labels": "/api/v2/labels",
        "me": "/api/v2/me",
        "orgs": "/api/v2/orgs",
        "query": { "self": "/api/v2/query" },
        "resources": "/api/v2/resources",
        "setup": "/api/v2/setup",
        "system": { "health": "/health", "metrics": "/metrics" },
        "users": "/api/v2/users",
        "write": "/api/v2/write",
    })
}

#[cfg(test)]
mod tests {
    use neap_http::ENDPOINTS;

    use super::*;

    fn paths(links: &Value) -> Vec<&str> {
        match links {
            Value::String(path) => vec![path],
            Value::Object(members) => members.values().flat_map(paths).collect(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_index_names_paths_that_exist() {
        let links = links();
        for path in paths(&links) {
            let exists = ENDPOINTS.iter().any(|endpoint| endpoint.path == path);
            assert!(exists, "{path}");
        }
    }
}
