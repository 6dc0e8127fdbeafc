//! Tests of the storage class of old rows.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::StorageClass;
use neap_catalog::ColdStorage;

use super::test_bed::{WriteInstance, WriteTestBed, assert_answers};

const COLD_STORAGE: &str = "/api/v3/configure/cold_storage";
const DAY: Duration = Duration::from_secs(86_400);

async fn send(instance: &WriteInstance, method: &str, query: &str, body: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("{COLD_STORAGE}{query}"))
        .header("Content-Type", "application/json")
        .body(Body::from(body.to_owned()));
    let reply = instance.send(request.unwrap()).await;
    (reply.status, reply.body)
}

/// Returns an instance on a store with the storage classes of S3, with the table `cpu` of the database `d`.
async fn instance_on_s3() -> WriteInstance {
    let instance = WriteTestBed::with_storage_classes(StorageClass::S3).instance();
    instance.write("d", "cpu v=1 1").await;
    instance
}

async fn cold_storage(instance: &WriteInstance) -> [Option<ColdStorage>; 2] {
    let catalog = &instance.catalog;
    let database = catalog.database_by_name("d", Duration::ZERO).await.unwrap();
    let read = catalog.database(database.unwrap(), Duration::ZERO).await.unwrap().value;
    let table = read.table("cpu").map(|table| table.id()).unwrap();
    [read.cold_storage(), read.cold_storage_of(table)]
}

#[tokio::test(start_paused = true)]
async fn the_class_of_old_rows_is_set_and_cleared_for_a_database_and_a_table() {
    let instance = instance_on_s3().await;
    let ia = Some(ColdStorage::new(DAY * 30, StorageClass::StandardIa));
    let glacier = Some(ColdStorage::new(DAY * 90, StorageClass::GlacierIr));
    for (method, query, body, expected) in [
        ("POST", "", r#"{"db":"d","after":"30d","class":"standard_ia"}"#, [ia, ia]),
        (
            "POST",
            "",
            r#"{"db":"d","table":"cpu","after":"90 days","class":"GLACIER_IR"}"#,
            [ia, glacier],
        ),
        ("DELETE", "?db=d", "", [None, glacier]),
        ("DELETE", "?db=d&table=cpu", "", [None, None]),
    ] {
        let answer = send(&instance, method, query, body).await;
        assert_eq!(answer, (204, String::new()), "{method} {query} {body}");
        assert_eq!(cold_storage(&instance).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_is_wrong() {
    let instance = instance_on_s3().await;
    let requests = r#"
        POST /api/v3/configure/cold_storage {"db":"d","after":"90d","class":"DEEP_ARCHIVE"} ==> 400 cold storage: objects of the class 'DEEP_ARCHIVE' must be restored for hours before they can be read, and queries read at once
        POST /api/v3/configure/cold_storage {"db":"d","after":"90d","class":"FROZEN"} ==> 400 cold storage: 'FROZEN' is not a storage class for cold data
        POST /api/v3/configure/cold_storage {"db":"d","after":"90d","class":"Cool"} ==> 400 cold storage: the store of this cluster has no storage class Cool, but STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR
        POST /api/v3/configure/cold_storage {"db":"d","after":"0s","class":"GLACIER_IR"} ==> 400 cold storage: rows must be older than zero to be cold
        POST /api/v3/configure/cold_storage {"db":"nope","after":"90d","class":"GLACIER_IR"} ==> 404 Database not found nope
        POST /api/v3/configure/cold_storage {"db":"d","table":"nope","after":"90d","class":"GLACIER_IR"} ==> 404 Table nope not in DB schema for d
    "#;
    assert_answers(&instance, requests).await;
    assert_eq!(cold_storage(&instance).await, [None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_classes_refuses_the_setting() {
    let (_bed, instance) = WriteTestBed::with_instance();
    instance.write("d", "cpu v=1 1").await;
    let body = r#"{"db":"d","after":"90d","class":"GLACIER_IR"}"#;
    let (status, text) = send(&instance, "POST", "", body).await;
    assert_eq!(status, 400);
    assert!(text.contains("has no storage classes"), "{text}");
}
