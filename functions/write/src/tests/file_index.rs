//! Tests of creating and deleting file indexes.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::test_bed::{WriteInstance, WriteTestBed, assert_answers};

const PATH: &str = "/api/v3/enterprise/configure/file_index";

async fn send(instance: &WriteInstance, method: &str, path: &str, body: Value) -> (u16, String) {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Value::Null => request.body(Body::empty()),
        body => request
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_string())),
    };
    let reply = instance.send(request.unwrap()).await;
    (reply.status, reply.body)
}

#[tokio::test(start_paused = true)]
async fn an_index_of_one_or_all_tables_is_created_and_deleted() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "cpu,host=a usage=1 1\nmem total=1i 1").await;
    let done = (200, String::new());
    for table in [json!("cpu"), Value::Null] {
        let index = json!({"db": "d", "table": table, "columns": ["host", "usage"]});
        assert_eq!(send(&instance, "POST", PATH, index.clone()).await, done);
        assert_eq!(send(&instance, "POST", PATH, index).await, done);
        let which = json!({"db": "d", "table": table});
        assert_eq!(send(&instance, "DELETE", PATH, which.clone()).await, done);
        assert_eq!(send(&instance, "DELETE", PATH, which).await.0, 404);
    }
    let index = json!({"db": "d", "table": "mem", "columns": ["total"]});
    let path = "/api/v3/configure/file_index";
    assert_eq!(send(&instance, "POST", path, index).await, done);
    let path = format!("{PATH}?db=d&table=mem");
    assert_eq!(send(&instance, "DELETE", &path, Value::Null).await, done);
}

#[tokio::test(start_paused = true)]
async fn an_index_of_missing_databases_tables_or_columns_is_refused() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "cpu,host=a usage=1 1").await;
    let requests = r#"
        POST /api/v3/enterprise/configure/file_index {"db":"e","columns":["host"]} ==> 404 Database not found e
        POST /api/v3/enterprise/configure/file_index {"db":"d","table":"mem","columns":["host"]} ==> 404 Table mem not in DB schema for d
        POST /api/v3/enterprise/configure/file_index {"db":"d","table":"cpu","columns":["rack"]} ==> 400 invalid configuration provided: invalid column provided: rack
        POST /api/v3/enterprise/configure/file_index {"db":"d","columns":[]} ==> 400 invalid configuration provided: no columns provided when creating file index
    "#;
    assert_answers(&instance, requests).await;
    let missing = send(&instance, "POST", PATH, json!({"db": "d"})).await;
    assert_eq!(missing.0, 400);
    assert!(missing.1.contains("missing field `columns`"), "{}", missing.1);
    let gone = send(&instance, "DELETE", PATH, json!({"db": "e"})).await;
    assert_eq!(gone, (404, "Database not found e".to_owned()));
}
