//! Tests that a lost register is no new one: nothing is acknowledged onto ids that were given out before.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::{Key, Store};
use neap_catalog::ANY_AGE;
use neap_schema::DatabaseId;
use serde_json::json;

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};

const DATABASE: DatabaseId = DatabaseId::new(1);

impl WriteTestBed {
    async fn lose(&self, key: &Key) {
        self.memory.delete(&[key.to_string()]).await.unwrap();
    }
}

async fn send(instance: &WriteInstance, path: &str, body: &'static str) -> HttpReply {
    let path = format!("/api/v3/{path}");
    let request = Request::post(path).header("content-type", "application/json");
    instance.send(request.body(Body::from(body)).unwrap()).await
}

async fn delete_all(instance: &WriteInstance) -> HttpReply {
    let body = json!({"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z"});
    instance.post("/api/v2/delete?org=o&bucket=d", body.to_string()).await
}

/// Checks that a request is answered with an error that names the register.
fn assert_refused(reply: &HttpReply, key: &Key) {
    assert_eq!(reply.status, 500, "{}", reply.body);
    let text = format!("'{key}' is missing");
    assert!(reply.body.contains(&text), "{}", reply.body);
    assert!(reply.body.contains("neap fsck"), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn a_lost_root_catalog_is_not_created_again() {
    let stage = WriteTestBed::new();
    stage.instance().write("d", "m v=1 1").await;
    stage.lose(&Key::RootCatalog).await;
    let instance = stage.instance();
    for reply in [
        instance.write("d", "m v=2 2").await,
        instance.write("e", "m v=2 2").await,
        send(&instance, "configure/database", r#"{"db":"f"}"#).await,
    ] {
        assert_refused(&reply, &Key::RootCatalog);
    }
    assert_eq!(stage.rows().await, 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_start_costs_a_listing_and_later_ones_none() {
    let (stage, first) = WriteTestBed::with_instance();
    let (root, counts) = first.counted(first.catalog.root(ANY_AGE)).await;
    assert_eq!(root.unwrap().version, 1);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 put root_catalog, 1 list database_catalog"
    );
    let second = stage.instance();
    let (_, counts) = second.counted(second.catalog.root(ANY_AGE)).await;
    assert_eq!(counts.to_string(), "1 get root_catalog");
}

#[tokio::test(start_paused = true)]
async fn a_lost_catalog_of_a_database_is_not_created_again() {
    let (stage, old) = WriteTestBed::with_instance();
    old.write("d", "m v=1 1").await;
    let key = Key::DatabaseCatalog(DATABASE);
    stage.lose(&key).await;
    // An instance that knew it, and one that did not.
    for instance in [&old, &stage.instance()] {
        stage.sleep(Duration::from_secs(10)).await;
        assert_refused(&instance.write("d", "other v=2 2").await, &key);
        assert_refused(&delete_all(instance).await, &key);
        let table = r#"{"db":"d","table":"t","tags":["a"],"fields":[]}"#;
        assert_refused(&send(instance, "configure/table", table).await, &key);
    }
    assert_eq!(stage.rows().await, 1);
    assert_eq!(old.write("e", "m v=2 2").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_lost_manifest_refuses_writes_and_deletes() {
    let (stage, old) = WriteTestBed::with_instance();
    old.write("d", "m v=1 1").await;
    let key = Key::Manifest(DATABASE);
    // As after a flush.
    old.catalog.record_register(&key).await.unwrap();
    for instance in [&old, &stage.instance()] {
        stage.sleep(Duration::from_secs(10)).await;
        assert_refused(&instance.write("d", "m v=2 2").await, &key);
        assert_refused(&delete_all(instance).await, &key);
    }
    assert_eq!(stage.rows().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_log_of_row_deletes_counts_no_request_twice() {
    let (stage, old) = WriteTestBed::with_instance();
    old.write("d", "m v=1 1").await;
    let body = r#"{"db":"d","table":"m","all_time":true}"#;
    let path = "row_delete_requests";
    assert_eq!(send(&old, path, body).await.status, 200);
    stage.lose(&Key::RowDeletes).await;
    let segments = stage.segments().await.len();
    for instance in [&old, &stage.instance()] {
        assert_refused(&send(instance, path, body).await, &Key::RowDeletes);
        let list = Request::get("/api/v3/row_delete_requests").body(Body::empty());
        assert_refused(&instance.send(list.unwrap()).await, &Key::RowDeletes);
    }
    assert_eq!(stage.segments().await.len(), segments);
    // The log only reports: rows are deleted without it.
    assert_eq!(delete_all(&old).await.status, 204);
}
