use axum::{Extension, body::Body};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::tests::test_cluster::TestCluster;

struct Server {
    cluster: TestCluster,
    routes: Router,
}

impl Server {
    async fn new() -> Self {
        let cluster = TestCluster::with_row().await;
        let routes = backup_routes(cluster.engine());
        Self {
            routes: routes.layer(Extension(Caller::unrestricted())),
            cluster,
        }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = request.body(body).unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Lets the jobs in the background end.
    async fn settle(&self) {
        let time = Duration::from_secs(40);
        self.cluster.drive_for(time, std::future::pending::<()>()).await;
    }
}

#[tokio::test]
async fn a_backup_and_a_restore_are_requested_and_shown() {
    let server = Server::new().await;
    let new = json!({ "type": "full", "name": "monday" });
    let (status, started) = server.send("POST", BACKUPS, new.clone()).await;
    let expected = json!({ "backup_name": "monday", "status": "in_progress" });
    assert_eq!((status, started), (202, expected));
    assert_eq!(server.send("POST", BACKUPS, new).await.0, 409);
    server.settle().await;
    let (status, found) = server.send("GET", &format!("{BACKUPS}/monday"), Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(found["status"], "completed");
    assert_eq!(found["type"], "full");
    assert_eq!(found["databases"], json!(["one"]));
    assert!(found["total_files"].as_u64().unwrap() > 0);
    let (_, list) = server.send("GET", BACKUPS, Value::Null).await;
    assert_eq!(list, json!({ "backups": [found] }));

    let (status, started) = server.send("POST", RESTORES, json!({ "backup_name": "monday" })).await;
    assert_eq!((status, &started["status"]), (202, &json!("in_progress")));
    assert_eq!(started["retention"], "off");
    server.settle().await;
    let id = started["restore_id"].as_str().unwrap();
    let path = format!("{RESTORES}/{id}");
    let (status, found) = server.send("GET", &path, Value::Null).await;
    assert_eq!((status, &found["status"]), (200, &json!("completed")));
    assert_eq!(found["retention"], "off");
    let (_, list) = server.send("GET", RESTORES, Value::Null).await;
    assert_eq!(list, json!({ "restores": [found] }));
    // It has ended.
    assert_eq!(server.send("DELETE", &path, Value::Null).await.0, 404);

    let path = format!("{BACKUPS}/monday");
    let (status, deleted) = server.send("DELETE", &path, Value::Null).await;
    let expected = json!({ "backup_name": "monday", "type": "full" });
    assert_eq!((status, deleted), (200, expected));
    assert_eq!(server.send("GET", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_cancelled_backup_is_shown_as_failed() {
    let server = Server::new().await;
    let new = json!({ "type": "full", "name": "x" });
    server.send("POST", BACKUPS, new).await;
    let cancel = json!({ "name": "x" });
    let (status, cancelled) = server.send("DELETE", BACKUPS, cancel.clone()).await;
    assert_eq!((status, cancelled), (200, json!({ "backup_name": "x" })));
    assert_eq!(server.send("DELETE", BACKUPS, cancel).await.0, 404);
    let path = format!("{BACKUPS}/x");
    let (_, found) = server.send("GET", &path, Value::Null).await;
    assert_eq!(found["status"], "failed");
    assert_eq!(found["error"], "it was cancelled");
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let server = Server::new().await;
    for (path, body, expected) in [
        (BACKUPS, json!({}), 400),
        (BACKUPS, json!({ "type": "other" }), 400),
        (BACKUPS, json!({ "type": "incremental" }), 400),
        (BACKUPS, json!({ "type": "full", "parent": "x" }), 400),
        (BACKUPS, json!({ "type": "full", "name": "a/b" }), 400),
        (BACKUPS, json!({ "type": "full", "to": "forbidden" }), 400),
        (BACKUPS, json!({ "type": "full", "database": "no" }), 404),
        (BACKUPS, json!({ "type": "incremental", "parent": "x" }), 404),
        (RESTORES, json!({ "backup_name": "" }), 400),
        (RESTORES, json!({ "backup_name": "x" }), 404),
        (RESTORES, json!({ "as_of": "yesterday", "database": "one" }), 400),
        (RESTORES, json!({ "as_of": "2026-01-31T12:00:00Z" }), 400),
        (RESTORES, json!({ "backup_name": "x", "to": "y" }), 400),
    ] {
        let (status, answer) = server.send("POST", path, body.clone()).await;
        assert_eq!(status, expected, "{path} {body} {answer}");
    }
    let unknown = format!("{RESTORES}/nothing");
    assert_eq!(server.send("GET", &unknown, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_process_that_runs_no_backups_refuses_them() {
    let request = Request::get(BACKUPS).body(Body::empty()).unwrap();
    let response = backup_refusals().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
