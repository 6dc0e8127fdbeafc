//! Tests of query groups and nodes over HTTP.

use serde_json::{Value, json};

use super::{ServerUnderTest, app};

const GROUPS: &str = "/api/v3/enterprise/configure/query_groups";

async fn send(served: &ServerUnderTest, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let (status, text) = served.send(method, path, &headers, &body.to_string()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn query_groups_are_stored_and_shown() {
    let served = app(&["--object-store", "memory"]).await;
    let near = json!({ "name": "near", "nodes": ["b", "a"] });
    let created = send(&served, "POST", GROUPS, &near).await;
    let stored = json!({ "id": 1, "name": "near", "nodes": ["a", "b"], "replication_factor": 1 });
    assert_eq!(created, (201, stored.clone()));
    assert_eq!(send(&served, "POST", GROUPS, &near).await.0, 409);
    let listed = send(&served, "GET", GROUPS, &Value::Null).await;
    assert_eq!(listed, (200, json!({ "query_groups": [stored] })));
    let path = format!("{GROUPS}/1");
    let change = json!({ "replication_factor": 2 });
    let (_, changed) = send(&served, "PATCH", &path, &change).await;
    assert_eq!(
        (&changed["nodes"], &changed["replication_factor"]),
        (&json!(["a", "b"]), &json!(2))
    );
    let (_, replaced) = send(&served, "PUT", &path, &json!({ "name": "far" })).await;
    let far = json!({ "id": 1, "name": "far", "nodes": [], "replication_factor": 1 });
    assert_eq!(replaced, far);
    assert_eq!(send(&served, "GET", &path, &Value::Null).await, (200, far));
    assert_eq!(send(&served, "DELETE", &path, &Value::Null).await.0, 200);
    assert_eq!(send(&served, "GET", &path, &Value::Null).await.0, 404);
    let text = format!("{GROUPS}/first");
    assert_eq!(send(&served, "GET", &text, &Value::Null).await.0, 400);
}
