//! Tests of the session.

use serde_json::json;

use crate::test_server::{TestPage, TestServer};

const SESSION: &str = "/api/v3/console/session";

#[tokio::test]
async fn an_administrator_may_do_everything() {
    let server = TestServer::new().await;
    let session = server.get(SESSION, &server.admin).await;
    assert_eq!(session.status, 200);
    let everything = json!(["read", "write", "append", "create", "delete", "describe"]);
    let body = session.json();
    let databases = body["databases"].as_array().unwrap();
    let names: Vec<_> = databases.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["_internal", "garden", "kitchen"]);
    for database in databases {
        let actions = database["actions"].as_array().unwrap();
        let all = everything.as_array().unwrap();
        assert!(actions.iter().all(|action| all.contains(action)), "{database}");
        assert!(actions.contains(&json!("read")), "{database}");
    }
    assert_eq!(body["admin"], true);
    assert_eq!(body["tokens_required"], true);
    assert_eq!(body["can_create_tokens"], true);
    assert_eq!(body["can_create_databases"], true);
    assert_eq!(body["token_name"], "_admin");
    assert_eq!(body["is_user"], false);
    assert_eq!(body["can_audit"], true);
    assert_eq!(body["user_actions"], json!(["read", "create", "update", "delete"]));
    assert_eq!(
        [&body["version"], &body["revision"], &body["mode"], &body["node_id"]],
        ["1.2.3", "0123abc", "all", "one"]
    );
}

#[tokio::test]
async fn other_tokens_see_the_databases_that_they_have_permissions_for() {
    let server = TestServer::new().await;
    let token = server.token("writer", &["db:garden:read,write"]).await;
    let mut body = server.get(SESSION, &token).await.json();
    for constant in ["version", "revision", "mode", "node_id"] {
        body.as_object_mut().unwrap().remove(constant);
    }
    assert_eq!(
        body,
        json!({
            "tokens_required": true,
            "admin": false,
            "token_name": "writer",
            "databases": [{"name": "garden", "actions": ["read", "write", "append"]}],
            "can_create_databases": false,
            "can_create_tokens": false,
            "can_delete_tokens": false,
            "can_audit": false,
            "user_actions": [],
            "is_user": false,
        })
    );
    let token = server.token("staff", &["user:*:read,delete", "audit:*:read"]).await;
    let body = server.get(SESSION, &token).await.json();
    assert_eq!(body["user_actions"], json!(["read", "delete"]));
    assert_eq!(body["can_audit"], true);
    let token = server.token("creator", &["token:*:create"]).await;
    let body = server.get(SESSION, &token).await.json();
    assert_eq!(body["databases"], json!([]));
    assert_eq!(body["can_create_tokens"], true);
}

#[tokio::test]
async fn a_missing_or_wrong_token_has_no_session() {
    let server = TestServer::new().await;
    for token in ["", "apiv3_wrong"] {
        assert_eq!(server.get(SESSION, token).await.status, 401, "{token}");
    }
}

#[tokio::test]
async fn without_authentication_everything_but_tokens_is_allowed() {
    let server = TestServer::with(TestPage::Embedded, false).await;
    let session = server.get(SESSION, "").await;
    // A page of another server must not read it.
    assert_eq!(session.header("access-control-allow-origin"), None);
    let body = session.json();
    assert_eq!(body["tokens_required"], false);
    assert_eq!(body["admin"], true);
    assert_eq!(body["can_create_tokens"], false);
    assert_eq!(body["user_actions"], json!([]));
    assert_eq!(body["can_create_databases"], true);
}
