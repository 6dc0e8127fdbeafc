//! Tests of documents over HTTP.

use axum::body::Body;
use http::Method;
use neap_catalog::{HardDelete, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS};
use serde_json::{Value, json};

use crate::test_server::{TestAnswer, TestPage, TestServer};

const PATH: &str = "/api/v3/console/documents";
const GARDEN: &str = "/api/v3/console/documents?db=garden";

fn document(name: &str, content: Value) -> Value {
    json!({"kind": "dashboard", "name": name, "content": content})
}

async fn created(server: &TestServer, token: &str, name: &str, content: Value) -> Value {
    let body = document(name, content);
    let answer = server.send_json(Method::POST, GARDEN, token, &body).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

async fn replaced(server: &TestServer, id: &str, body: &Value) -> TestAnswer {
    let path = format!("{PATH}/{id}?db=garden");
    server.send_json(Method::PUT, &path, &server.admin, body).await
}

async fn deleted(server: &TestServer, token: &str, id: &str, version: &str) -> TestAnswer {
    let path = format!("{PATH}/{id}?db=garden&version={version}");
    server.send(Method::DELETE, &path, token, &[], Body::empty()).await
}

#[tokio::test]
async fn documents_are_created_listed_read_replaced_and_deleted() {
    let server = TestServer::new().await;
    let content = json!({"cells": [{"text": "<script>alert(1)</script>", "x": 1.5}]});
    let new = created(&server, &server.admin, "Soil", content.clone()).await;
    let id = new["id"].as_str().unwrap();
    assert_eq!(new["version"], 1);
    assert_eq!(new["updated_by"], "_admin");
    assert!(new["updated_at"].as_str().unwrap().ends_with('Z'));
    created(&server, &server.admin, "Air", json!(null)).await;

    let list = server.get(GARDEN, &server.admin).await.json();
    let names: Vec<_> = list["documents"].as_array().unwrap().iter().collect();
    assert_eq!([&names[0]["name"], &names[1]["name"]], ["Air", "Soil"]);
    assert!(names.iter().all(|document| document.get("content").is_none()));
    let queries = server.get(&format!("{GARDEN}&kind=query"), &server.admin).await;
    assert_eq!(queries.json(), json!({"documents": []}));

    let read = server.get(&format!("{PATH}/{id}?db=garden"), &server.admin).await;
    assert_eq!(read.json(), new);
    assert_eq!(read.json()["content"], content);
    assert_eq!(read.header("access-control-allow-origin"), None);

    let change = json!({"name": "Soil 2", "content": [], "version": 1});
    let changed = replaced(&server, id, &change).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["version"], 2);
    assert_eq!(changed.json()["kind"], "dashboard");
    let again = replaced(&server, id, &change).await;
    assert_eq!(again.status, 409);
    assert_eq!(
        again.json(),
        json!({"error": "the document was changed: its version is 2, not 1"})
    );

    assert_eq!(deleted(&server, &server.admin, id, "1").await.status, 409);
    assert_eq!(deleted(&server, &server.admin, id, "2").await.status, 204);
    assert_eq!(deleted(&server, &server.admin, id, "2").await.status, 404);
    let gone = server.get(&format!("{PATH}/{id}?db=garden"), &server.admin).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn reads_need_read_and_changes_need_write() {
    let server = TestServer::new().await;
    let new = created(&server, &server.admin, "Soil", json!(1)).await;
    let one = format!("{PATH}/{}?db=garden", new["id"].as_str().unwrap());
    let post = document("x", json!(1));
    let put = json!({"name": "x", "content": 1, "version": 99});
    let delete = format!("{one}&version=99");
    // The statuses of list, read, create, replace and delete: changes of version 99 are conflicts if they are allowed.
    for (permission, expected) in [
        ("db:garden:read", [200, 200, 403, 403, 403]),
        ("db:garden:write", [403, 403, 201, 409, 409]),
        ("db:garden:read,write", [200, 200, 201, 409, 409]),
        ("db:*:read", [200, 200, 403, 403, 403]),
        ("db:kitchen:read,write", [403, 403, 403, 403, 403]),
        ("db:garden:create,delete", [403, 403, 403, 403, 403]),
        ("system:ping:read", [403, 403, 403, 403, 403]),
    ] {
        let token = server.token(permission, &[permission]).await;
        let statuses = [
            server.get(GARDEN, &token).await.status,
            server.get(&one, &token).await.status,
            server.send_json(Method::POST, GARDEN, &token, &post).await.status,
            server.send_json(Method::PUT, &one, &token, &put).await.status,
            server.send(Method::DELETE, &delete, &token, &[], Body::empty()).await.status,
        ];
        assert_eq!(statuses, expected, "{permission}");
    }
    for token in ["", "apiv3_wrong"] {
        assert_eq!(server.get(GARDEN, token).await.status, 401);
        let answer = server.send_json(Method::POST, GARDEN, token, &post).await;
        assert_eq!(answer.status, 401);
    }
    let open = TestServer::with(TestPage::Embedded, false).await;
    let new = created(&open, "", "Soil", json!(1)).await;
    assert_eq!(new.get("updated_by"), None);
}

#[tokio::test]
async fn unknown_databases_are_not_found_by_those_who_may_see_all() {
    let server = TestServer::new().await;
    let reader = server.token("reader", &["db:garden:read"]).await;
    for (database, token, status) in [
        ("cellar", &server.admin, 404),
        ("cellar", &reader, 403),
        ("kitchen", &reader, 403),
        ("_internal", &server.admin, 400),
        ("..%2Fgarden", &server.admin, 400),
    ] {
        let answer = server.get(&format!("{PATH}?db={database}"), token).await;
        assert_eq!(answer.status, status, "{database}");
    }
    assert_eq!(server.get(PATH, &server.admin).await.status, 400);
}

#[tokio::test]
async fn malformed_and_large_documents_are_refused() {
    let server = TestServer::new().await;
    let admin = &server.admin;
    let new = created(&server, admin, "Soil", json!(1)).await;
    let id = new["id"].as_str().unwrap();
    let large = json!("x".repeat(MAX_DOCUMENT_BYTES));
    for (body, status) in [
        (json!({"kind": "dashboard", "name": "a"}), 400),
        (json!({"kind": "picture", "name": "a", "content": 1}), 400),
        (document("", json!(1)), 400),
        (document("line\nbreak", json!(1)), 400),
        (document(&"n".repeat(257), json!(1)), 400),
        // The text of the content has quotes in addition.
        (document("a", large), 413),
        (document("a", json!("x".repeat(8 * MAX_DOCUMENT_BYTES))), 413),
    ] {
        let answer = server.send_json(Method::POST, GARDEN, admin, &body).await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    let largest = json!("x".repeat(MAX_DOCUMENT_BYTES - 2));
    created(&server, admin, "largest", largest).await;
    let as_text = server.send(Method::POST, GARDEN, admin, &[], "{}").await;
    assert_eq!(as_text.status, 415, "another site may send text without a preflight");
    for version in ["", "x", "-1"] {
        assert_eq!(deleted(&server, admin, id, version).await.status, 400, "{version}");
    }
    let lower = id.to_lowercase();
    for id in ["x", "..", lower.as_str(), "00000000000000000000000000"] {
        assert_eq!(deleted(&server, admin, id, "1").await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_deeply_nested_document_leaves_the_others_readable() {
    let server = TestServer::new().await;
    let depth = 120;
    let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let body = format!(r#"{{"kind":"query","name":"deep","content":{nested}}}"#);
    let kind = [("content-type", "application/json")];
    let new = server.send(Method::POST, GARDEN, &server.admin, &kind, body).await;
    assert_eq!(new.status, 201);
    let id = new.json()["id"].as_str().unwrap().to_owned();
    let read = server.get(&format!("{PATH}/{id}?db=garden"), &server.admin).await;
    assert_eq!(read.json()["content"].to_string(), nested);
    let too_deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let body = format!(r#"{{"kind":"query","name":"deep","content":{too_deep}}}"#);
    let refused = server.send(Method::POST, GARDEN, &server.admin, &kind, body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(server.get(GARDEN, &server.admin).await.status, 200);
}

#[tokio::test]
async fn the_number_of_documents_is_limited() {
    let server = TestServer::new().await;
    for number in 0..MAX_DOCUMENTS {
        created(&server, &server.admin, &format!("{number}"), json!(1)).await;
    }
    let body = document("one more", json!(1));
    let refused = server.send_json(Method::POST, GARDEN, &server.admin, &body).await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn a_dropped_database_keeps_its_documents_for_an_undelete() {
    let server = TestServer::new().await;
    let new = created(&server, &server.admin, "Soil", json!(1)).await;
    let catalog = &server.catalog;
    let dropped = catalog.delete_database("garden", HardDelete::Never).await.unwrap();
    assert_eq!(server.get(GARDEN, &server.admin).await.status, 404);
    catalog.create_database("garden", None).await.unwrap();
    let list = server.get(GARDEN, &server.admin).await.json();
    assert_eq!(list, json!({"documents": []}), "it is another database");

    let root = catalog.root(std::time::Duration::ZERO).await.unwrap().value;
    let name = root.databases()[&dropped].name.clone();
    catalog.undelete_database(&name, Some("old")).await.unwrap();
    let list = server.get(&format!("{PATH}?db=old"), &server.admin).await.json();
    assert_eq!(list["documents"][0]["id"], new["id"]);
}
