//! The organization, users, labels and the index.

use serde_json::{Value, json};

use super::server::{ORG, TestServer, error};

fn organization(name: &str) -> Value {
    json!({
        "id": ORG,
        "name": name,
        "links": {
            "self": format!("/api/v2/orgs/{ORG}"),
            "buckets": format!("/api/v2/buckets?orgID={ORG}"),
        },
    })
}

#[tokio::test(start_paused = true)]
async fn the_organization_has_every_name() {
    let server = TestServer::new().await;
    let token = server.token("db:*:read").await;
    for (query, name) in [("", "neap"), ("?org=", "neap"), ("?org=my%20home", "my home")] {
        let path = format!("/api/v2/orgs{query}");
        let answer = server.send_as(&token, "GET", &path, Value::Null).await;
        let links = json!({ "self": "/api/v2/orgs" });
        let expected = json!({ "links": links, "orgs": [organization(name)] });
        assert_eq!(answer, (200, expected), "{query}");
    }
    let one = server.get(&format!("/api/v2/orgs/{ORG}")).await;
    assert_eq!(one, (200, organization("neap")));
    let other = server.get("/api/v2/orgs/6e65617000000001").await;
    assert_eq!(other, (404, error("not found", "organization not found")));
}

#[tokio::test(start_paused = true)]
async fn the_caller_is_a_user() {
    let server = TestServer::new().await;
    let token = server.token("db:*:read").await;
    let me = json!({
        "id": "746f000000000001",
        "name": "db:*:read",
        "status": "active",
        "links": { "self": "/api/v2/users/746f000000000001" },
    });
    let get = async |path: &str| server.send_as(&token, "GET", path, Value::Null).await;
    assert_eq!(get("/api/v2/me").await, (200, me.clone()));
    assert_eq!(get("/api/v2/users/746f000000000001").await, (200, me.clone()));
    let links = json!({ "self": "/api/v2/users" });
    let list = json!({ "links": links, "users": [me] });
    assert_eq!(get("/api/v2/users?name=").await, (200, list.clone()));
    assert_eq!(get("/api/v2/users?id=746f000000000001").await, (200, list));
    let missing = (404, error("not found", "user not found"));
    assert_eq!(get("/api/v2/users?name=other").await, missing);
    assert_eq!(get("/api/v2/users/746f000000000000").await, missing);
}

#[tokio::test(start_paused = true)]
async fn labels_are_none_and_the_index_is_public() {
    let server = TestServer::new().await;
    let labels = server.get("/api/v2/labels?orgID=6e65617000000000").await;
    let expected = json!({ "links": { "self": "/api/v2/labels" }, "labels": [] });
    assert_eq!(labels, (200, expected));
    let types = server.get("/api/v2/resources").await;
    let expected = json!(["authorizations", "buckets", "instance", "users"]);
    assert_eq!(types, (200, expected));
    let (status, index) = server.send_with(&[], "GET", "/api/v2", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(index["buckets"], "/api/v2/buckets");
    let without_token = server.send_with(&[], "GET", "/api/v2/labels", Value::Null).await;
    assert_eq!(without_token.0, 401);
}

#[tokio::test(start_paused = true)]
async fn errors_of_missing_resources_name_what_to_use_instead() {
    let server = TestServer::new().await;
    let organization = format!("/api/v2/orgs/{ORG}");
    for (method, path, beginning) in [
        ("GET", "/api/v2/tasks?limit=10", "Neap has no tasks: use "),
        ("POST", "/api/v2/labels", "Neap has no labels: "),
        ("PATCH", organization.as_str(), "Neap has one organization, "),
    ] {
        let (status, answer) = server.send(method, path, Value::Null).await;
        assert_eq!((status, &answer["code"]), (404, &json!("not found")), "{path}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.starts_with(beginning), "{path}: {message}");
    }
}
