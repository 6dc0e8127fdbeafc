//! Tests of cache creation and deletion against the exact answers of InfluxDB 3 Core 3.10.

use serde_json::{Value, json};

use super::test_bed::{WriteInstance, WriteTestBed, assert_answers, send};

const LAST: &str = "/api/v3/configure/last_cache";
const DISTINCT: &str = "/api/v3/configure/distinct_cache";

async fn prepared() -> (WriteTestBed, WriteInstance) {
    let (stage, instance) = WriteTestBed::with_instance();
    let home = "home,room=a temp=1,hum=2,co=3i 1\nother,key=a,plain=b f=1,i=2i,u=3u,s=\"x\" 1";
    instance.write("home", home).await;
    (stage, instance)
}

/// Creates a cache, checks the catalog change in the answer, and returns its operation.
async fn created(instance: &WriteInstance, path: &str, body: Value) -> Value {
    let reply = send(instance, "POST", path, &body.to_string()).await;
    assert_eq!(reply.status, 201, "{body}: {}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/json");
    let mut answer: Value = serde_json::from_str(&reply.body).unwrap();
    assert!(answer["sequence_number"].as_u64().unwrap() > 0);
    let mut batch = answer["catalog_batch"]["Database"].take();
    assert!(batch["time_ns"].as_i64().unwrap() >= 1_700_000_000_000_000_000);
    assert_eq!((&batch["database_id"], &batch["database_name"]), (&json!(1), &json!("home")));
    assert_eq!(batch["ops"].as_array().unwrap().len(), 1);
    batch["ops"][0].take()
}

#[tokio::test(start_paused = true)]
async fn creating_a_last_cache_answers_like_influxdb() {
    let (_stage, instance) = prepared().await;
    let body = json!({"db": "home", "table": "home", "name": "latest"});
    let expected = json!({
        "table_id": 0, "table": "home", "id": 0, "node_spec": "all", "name": "latest",
        "key_columns": [{"tag": 0}], "value_columns": "all_non_key_columns", "count": 1, "ttl": 14400,
    });
    let answer = created(&instance, LAST, body).await;
    assert_eq!(answer, json!({ "CreateLastCache": expected }));

    let body = json!({
        "db": "home", "table": "other", "key_columns": ["plain", "i"], "value_columns": ["time", "s", "f"],
        "count": 3, "ttl": 3600,
    });
    let expected = json!({
        "table_id": 1, "table": "other", "id": 1, "node_spec": "all", "name": "other_plain_i_last_cache",
        "key_columns": [{"tag": 1}, {"field": [0, 1]}],
        "value_columns": {"explicit": {"columns": [{"field": [0, 3]}, {"field": [0, 0]}, "timestamp"]}},
        "count": 3, "ttl": 3600,
    });
    let answer = created(&instance, LAST, body).await;
    assert_eq!(answer, json!({ "CreateLastCache": expected }));
}

#[tokio::test(start_paused = true)]
async fn creating_a_distinct_cache_answers_like_influxdb() {
    let (_stage, instance) = prepared().await;
    let body = json!({"db": "home", "table": "home", "name": "rooms", "columns": ["room"]});
    let expected = json!({
        "table_id": 0, "table_name": "home", "node_spec": "all", "cache_id": 0, "cache_name": "rooms",
        "column_ids": [{"tag": 0}], "max_cardinality": 100_000, "max_age_seconds": 86400,
        "source": {"type": "User"},
    });
    let answer = created(&instance, DISTINCT, body).await;
    assert_eq!(answer, json!({ "CreateDistinctCache": expected }));

    let body = json!({
        "db": "home", "table": "other", "columns": ["plain", "s"], "max_cardinality": 100, "max_age": 3600,
    });
    let answer = created(&instance, DISTINCT, body).await;
    let answer = &answer["CreateDistinctCache"];
    assert_eq!(answer["cache_name"], "other_plain_s_distinct_cache");
    assert_eq!(answer["column_ids"], json!([{"tag": 1}, {"field": [0, 3]}]));
    assert_eq!(answer["max_cardinality"], 100);
}

#[tokio::test(start_paused = true)]
async fn invalid_cache_requests_are_refused_like_influxdb() {
    let (_stage, instance) = prepared().await;
    let latest = r#"{"db":"home","table":"home","name":"latest"}"#;
    let rooms = r#"{"db":"home","table":"home","name":"rooms","columns":["room"]}"#;
    assert_eq!(send(&instance, "POST", LAST, latest).await.status, 201);
    assert_eq!(send(&instance, "POST", DISTINCT, rooms).await.status, 201);
    let requests = r#"
        POST /api/v3/configure/last_cache {"db":"home","table":"home","name":"latest"} ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/distinct_cache {"db":"home","table":"home","name":"rooms","columns":["room"]} ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/last_cache {"db":"home","table":"home","key_columns":["nope"]} ==> 400 invalid configuration provided: invalid key column provided: nope
        POST /api/v3/configure/last_cache {"db":"home","table":"home","key_columns":["temp"]} ==> 400 only uint64, int64, bool, tag, and string columns are supported in the last cache
        POST /api/v3/configure/last_cache {"db":"home","table":"home","value_columns":["nope"]} ==> 400 invalid configuration provided: invalid value column provided: nope
        POST /api/v3/configure/last_cache {"db": "home", "table": "home", "name": "cz", "count": 0} ==> 400 serde json error: last cache size must be greater than 0 at line 1 column 57
        POST /api/v3/configure/last_cache {"db":"home","table":"home","count":1001} ==> 400 invalid configuration provided: last cache size must be from 1 to 1000
        POST /api/v3/configure/last_cache {"db":"home","table":"nope"} ==> 404 Table nope not in DB schema for home
        POST /api/v3/configure/last_cache {"db":"nope","table":"home"} ==> 404 Database not found nope
        POST /api/v3/configure/last_cache {"db": "home"} ==> 400 serde json error: missing field `table` at line 1 column 14
        POST /api/v3/configure/last_cache ==> 415 unacceptable content-type, expected: application/json
        POST /api/v3/configure/distinct_cache {"db":"home","table":"home","columns":[]} ==> 400 invalid configuration provided: no columns provided when creating distinct cache
        POST /api/v3/configure/distinct_cache {"db":"home","table":"home","columns":["nope"]} ==> 400 invalid configuration provided: invalid column provided: nope
        POST /api/v3/configure/distinct_cache {"db":"home","table":"home","columns":["temp"]} ==> 400 only tag and string columns are supported in the distinct cache
        POST /api/v3/configure/distinct_cache {"db": "home", "table": "home"} ==> 400 serde json error: missing field `columns` at line 1 column 31
        POST /api/v3/configure/distinct_cache {"db":"home","table":"nope","columns":["room"]} ==> 404 Table nope not in DB schema for home
    "#;
    assert_answers(&instance, requests).await;
    let none = r#"{"db":"home","table":"home","columns":["room"],"max_cardinality":0}"#;
    let reply = send(&instance, "POST", DISTINCT, none).await;
    assert_eq!(reply.status, 400);
    assert!(
        reply.body.starts_with("serde json error: invalid value: integer `0`"),
        "{}",
        reply.body
    );
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_deleted_once_by_query_or_body() {
    let (_stage, instance) = prepared().await;
    let body = r#"{"db":"home","table":"home","name":"c","columns":["room"]}"#;
    let nowhere = r#"{"db":"home","table":"nope","name":"c"}"#;
    for path in [LAST, DISTINCT] {
        let query = format!("{path}?db=home&table=home&name=c");
        for (path, sent) in [(query.as_str(), ""), (path, body)] {
            let create = send(&instance, "POST", path.split('?').next().unwrap(), body).await;
            assert_eq!(create.status, 201);
            let reply = send(&instance, "DELETE", path, sent).await;
            assert_eq!((reply.status, reply.body.as_str()), (200, ""));
            let reply = send(&instance, "DELETE", path, sent).await;
            let gone = "the requested resource was not found: c";
            assert_eq!((reply.status, reply.body.as_str()), (404, gone));
        }
        let reply = send(&instance, "DELETE", path, nowhere).await;
        let no_table = "Table nope not in DB schema for home";
        assert_eq!((reply.status, reply.body.as_str()), (404, no_table));
        let reply = send(&instance, "DELETE", &format!("{path}?db=home"), "").await;
        let missing = "serde error: missing field `table`";
        assert_eq!((reply.status, reply.body.as_str()), (400, missing));
    }
    let catalog = instance.catalog_of("home").await;
    let table = catalog.table("home").unwrap();
    assert!(table.last_caches().is_empty() && table.distinct_caches().is_empty());
}
