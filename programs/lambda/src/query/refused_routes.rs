//! Endpoints of jobs, which a function can't run: an instance stops when it has answered.

use axum::{Router, routing::any};
use neap_http::{ApiError, Kind};

const IMPORT: &str = "/api/v3/enterprise/import";

const BACKUPS: [&str; 4] = [
    "/api/v3/enterprise/backup",
    "/api/v3/enterprise/backup/{name}",
    "/api/v3/enterprise/restore",
    "/api/v3/enterprise/restore/{id}",
];

/// Returns the routes of jobs, which refuse requests and say what to do instead.
pub(super) fn refused_routes() -> Router {
    async fn refuse_import() -> ApiError {
        refusal(
            "functions do not run import jobs: send a request to a process of neap serve on the same bucket, \
             or write the rows with neap write",
        )
    }
    async fn refuse_backup() -> ApiError {
        refusal(
            "functions answer no requests for backups: send it to a process of neap serve on the same bucket, \
             or set a schedule in the deployment",
        )
    }
    let backups = BACKUPS
        .iter()
        .fold(Router::new(), |router, path| router.route(path, any(refuse_backup)));
    backups.route(IMPORT, any(refuse_import))
}

fn refusal(text: &str) -> ApiError {
    ApiError::json(Kind::NotAllowed, text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request};
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn jobs_are_refused() {
        for (method, path) in [
            ("GET", BACKUPS[0]),
            ("POST", BACKUPS[2]),
            ("DELETE", "/api/v3/enterprise/backup/monday"),
            ("POST", IMPORT),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = refused_routes().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
}
