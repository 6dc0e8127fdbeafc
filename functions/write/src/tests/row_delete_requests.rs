//! Tests of row delete requests: their answers, their log, and what is refused.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::{Key, PutMode, Stamp, Store};
use neap_manifest::{LoggedRowDelete, RowDeleteLog};
use neap_schema::{DatabaseId, TableId};
use serde_json::{Value, json};

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};

const REQUESTS: &str = "/api/v3/row_delete_requests";

impl WriteInstance {
    async fn post_json(&self, path: &str, body: &Value) -> HttpReply {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn requests(&self, query: &str) -> Vec<Value> {
        let request = Request::get(format!("{REQUESTS}{query}"));
        let reply = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    }
}

fn sequences(requests: &[Value]) -> Vec<u64> {
    let sequences = requests.iter().map(|request| request["sequence"].as_u64());
    sequences.collect::<Option<_>>().unwrap()
}

async fn written(fixture: &WriteTestBed) -> WriteInstance {
    let instance = fixture.instance();
    let lines = "rooms,room=a temp=1 1\nrooms,room=b temp=2 2\nother v=1 1";
    assert_eq!(instance.write("home", lines).await.status, 204);
    instance
}

#[tokio::test(start_paused = true)]
async fn a_request_deletes_rows_and_is_logged_with_its_sequence() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    let body = json!({
        "db": "home",
        "table": "rooms",
        "min_time": 1_000_000_000,
        "max_time": "1970-01-01T00:00:03Z",
        "predicate": "room = \"a\"",
    });
    let reply = instance.post_json(REQUESTS, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.stamp().is_some());
    let segments = fixture.segments().await;
    let deletes = segments.last().unwrap().deletes();
    assert_eq!(deletes.len(), 1);
    insta::assert_snapshot!(deletes[0].condition, @r#""room" = 'a' AND time >= '1970-01-01T00:00:01Z' AND time <= '1970-01-01T00:00:02.999999999Z'"#);
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    let expected = json!({
        "sequence": 1,
        "db_id": answer["db_id"],
        "table_id": answer["table_id"],
        "db_name": "home",
        "table_name": "rooms",
        "db_name_stale": false,
        "table_name_stale": false,
        "min_time": 1_000_000_000_i64,
        "max_time": 3_000_000_000_i64,
        "delete_predicate": "room = \"a\"",
        "created_at": 1_700_000_000,
        "disposition": "pending",
    });
    assert_eq!(answer, expected);
    assert_eq!(instance.requests("").await, [expected]);
}

#[tokio::test(start_paused = true)]
async fn requests_are_listed_by_database_table_state_and_sequence() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    for (table, predicate) in [("rooms", ""), ("other", ""), ("rooms", "room = 'c'")] {
        let body =
            json!({ "db": "home", "table": table, "all_time": true, "predicate": predicate });
        let reply = instance.post_json(REQUESTS, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    // No time is before the earliest one, so that no row can match.
    let none = json!({ "db": "home", "table": "rooms", "max_time": i64::MIN });
    let reply = instance.post_json(REQUESTS, &none).await;
    assert_eq!((reply.status, reply.stamp()), (200, None));
    for (query, expected) in [
        ("", vec![1, 2, 3, 4]),
        ("?db=home", vec![1, 2, 3, 4]),
        ("?db=nope", vec![]),
        ("?table=other", vec![2]),
        ("?disposition=pending", vec![1, 2, 3]),
        ("?disposition=completed", vec![4]),
        ("?disposition=aborted", vec![]),
        ("?min_sequence=2&max_sequence=3&include_progress=true", vec![2, 3]),
    ] {
        assert_eq!(sequences(&instance.requests(query).await), expected, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_database_that_cannot_be_read_hide_no_others() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    assert_eq!(instance.write("garden", "beds v=1 1").await.status, 204);
    for (db, table) in [("garden", "beds"), ("home", "rooms")] {
        let body = json!({ "db": db, "table": table, "all_time": true });
        let reply = instance.post_json(REQUESTS, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    let found = instance.catalog.database_by_name("garden", Duration::ZERO).await;
    let garden = found.unwrap().unwrap();
    for key in [Key::DatabaseCatalog(garden), Key::Manifest(garden)] {
        let key = key.to_string();
        let damage = fixture.memory.put(&key, "damage".into(), PutMode::Overwrite);
        damage.await.unwrap();
    }
    let requests = fixture.instance().requests("").await;
    assert_eq!(sequences(&requests), [1, 2]);
    let stale: Vec<_> = requests.iter().map(|request| &request["table_name_stale"]).collect();
    assert_eq!(stale, [&json!(true), &json!(false)]);
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_refused_with_the_state_of_the_request() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    let body = json!({ "db": "home", "table": "rooms", "all_time": true });
    instance.post_json(REQUESTS, &body).await;
    let abort = async |sequence: u64| {
        let path = format!("{REQUESTS}/{sequence}/abort");
        let body = json!({ "reason": "too broad" });
        let reply = instance.post_json(&path, &body).await;
        let answer: Value = serde_json::from_str(&reply.body).unwrap();
        (reply.status, answer)
    };
    let (status, answer) = abort(1).await;
    assert_eq!(status, 400);
    assert_eq!(
        answer["error"],
        "row delete request 1 is pending and can't be aborted: its rows were deleted before it was answered"
    );
    assert_eq!(answer["data"]["disposition"], "pending");
    assert_eq!(answer["data"]["sequence"], 1);
    assert_eq!(abort(2).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn requests_without_times_or_with_invalid_ones_are_refused() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    for (fields, status, message) in [
        (json!({}), 400, "one of min_time, max_time and all_time is required"),
        (
            json!({ "min_time": 1, "all_time": true }),
            400,
            "all_time excludes min_time and max_time",
        ),
        (json!({ "min_time": 2, "max_time": 2 }), 400, "max_time is not after min_time"),
        (
            json!({ "all_time": true, "predicate": "temp = 1" }),
            400,
            "column 'temp' of table 'rooms' is a field: rows are deleted by time and tags only",
        ),
        (
            json!({ "all_time": true, "table": "nope" }),
            404,
            "Table nope not in DB schema for home",
        ),
        (json!({ "all_time": true, "db": "nope" }), 404, "Database not found nope"),
    ] {
        let mut body = json!({ "db": "home", "table": "rooms" });
        let body_fields = body.as_object_mut().unwrap();
        body_fields.extend(fields.as_object().unwrap().clone());
        let reply = instance.post_json(REQUESTS, &body).await;
        let answer: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, answer["error"].as_str()), (status, Some(message)));
    }
    let misspelt =
        json!({ "db": "home", "table": "rooms", "all_time": true, "where": "room = 'a'" });
    assert_eq!(instance.post_json(REQUESTS, &misspelt).await.status, 400);
    assert_eq!(fixture.segments().await.len(), 1, "nothing was deleted");
}

#[tokio::test(start_paused = true)]
async fn a_full_log_refuses_requests_before_rows_are_deleted() {
    let fixture = WriteTestBed::new();
    let instance = written(&fixture).await;
    let database = instance.catalog.database_by_name("home", neap_catalog::ANY_AGE);
    let pending = LoggedRowDelete {
        database: database.await.unwrap().unwrap(),
        table: TableId::new(1),
        database_name: "home".to_owned(),
        table_name: "rooms".to_owned(),
        min_time: None,
        max_time: None,
        predicate: "x".repeat(4 << 20),
        stamp: Some(Stamp::from_u64(u64::MAX)),
    };
    let log = RowDeleteLog::new(&instance.catalog);
    log.add(pending.clone()).await.unwrap();
    let body = json!({ "db": "home", "table": "rooms", "all_time": true });
    let reply = instance.post_json(REQUESTS, &body).await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert_eq!(fixture.segments().await.len(), 1);
    // A database that is gone has no rows.
    let gone = LoggedRowDelete {
        database: DatabaseId::new(77),
        predicate: String::new(),
        ..pending
    };
    log.add(gone).await.unwrap();
    let completed = instance.requests("?disposition=completed").await;
    assert_eq!(sequences(&completed), [2]);
    assert_eq!(completed[0]["db_name_stale"], true);
}
