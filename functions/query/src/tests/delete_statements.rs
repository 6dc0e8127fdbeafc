//! Which `DELETE` statements are accepted, and how they are translated.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use neap_bucket::{ClockReading, Stamp};
use neap_row_delete::{DeleteRowsError, DeleteRowsErrorKind, RowDelete, RowDeleter};
use neap_schema::DatabaseId;

use super::{
    DATABASE, WEATHER,
    instance::{QueryTestInstance, TestDeleter},
};
use crate::{QueryRequest, QuerySettings};

/// A deleter that gives every delete the same answer and records the last one.
#[derive(Debug)]
struct RecordingDeleter {
    answer: Result<Stamp, DeleteRowsError>,
    last: Mutex<Option<(RowDelete, Option<Stamp>)>>,
    arrived: Mutex<Option<ClockReading>>,
}

#[async_trait]
impl RowDeleter for RecordingDeleter {
    async fn delete_rows(
        &self,
        _: DatabaseId,
        mut deletes: Vec<RowDelete>,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Stamp, DeleteRowsError> {
        *self.arrived.lock().unwrap() = Some(arrived);
        *self.last.lock().unwrap() = deletes.pop().map(|delete| (delete, after));
        self.answer.clone()
    }
}

impl RecordingDeleter {
    fn answering(answer: Result<Stamp, DeleteRowsError>) -> Self {
        Self { answer, last: Mutex::default(), arrived: Mutex::default() }
    }
}

async fn recording(
    answer: Result<Stamp, DeleteRowsError>,
) -> (QueryTestInstance, Arc<RecordingDeleter>) {
    let recorder = Arc::new(RecordingDeleter::answering(answer));
    let one = QueryTestInstance::deleting(Some(Arc::clone(&recorder) as _)).await;
    one.write(WEATHER).await;
    (one, recorder)
}

#[tokio::test]
async fn conditions_on_time_and_tags_are_understood() {
    let (one, recorder) = recording(Ok(Stamp::from_u64(7))).await;
    one.pass(std::time::Duration::from_secs(9));
    let cases = r#"
        WHERE true ==> true
        WHERE 1 = 2 ==> false
        WHERE city = 'Rome' ==> "city" = 'Rome'
        WHERE 'Rome' = city ==> "city" = 'Rome'
        WHERE weather.city = 'Rome' ==> "city" = 'Rome'
        WHERE city IS NULL ==> "city" IS NULL
        WHERE city = '' ==> false
        WHERE city = NULL ==> false
        WHERE city IN ('Rome', 'Oslo') AND country = 'it' ==> ("city" = 'Rome' OR "city" = 'Oslo') AND "country" = 'it'
        WHERE city IN ('a', 'b', 'c', 'd', 'e') ==> "city" = 'a' OR "city" = 'b' OR "city" = 'c' OR "city" = 'd' OR "city" = 'e'
        WHERE time >= '2023-11-14T22:13:20Z' AND time < '2023-11-14T22:14:20Z' ==> time >= '2023-11-14T22:13:20Z' AND time <= '2023-11-14T22:14:19.999999999Z'
        WHERE time BETWEEN '2023-11-14 22:13:20' AND '2023-11-14 22:14:20' ==> time >= '2023-11-14T22:13:20Z' AND time <= '2023-11-14T22:14:20Z'
        WHERE time <= now() - INTERVAL '1 hour' ==> time <= '2023-11-14T21:13:29.001Z'
        WHERE now() - INTERVAL '1 day' > time ==> time <= '2023-11-13T22:13:29.000999999Z'
        WHERE time > to_timestamp(1700000000000000000) ==> time >= '2023-11-14T22:13:20.000000001Z'
        WHERE time < '2023-11-14'::date ==> time <= '2023-11-13T23:59:59.999999999Z'
        WHERE time != '2023-11-14T22:13:20Z' ==> time <= '2023-11-14T22:13:19.999999999Z' OR time >= '2023-11-14T22:13:20.000000001Z'
        WHERE NOT (time < '2023-11-14T22:13:20Z') ==> time >= '2023-11-14T22:13:20Z'
        WHERE (city = 'Rome') IS TRUE OR time = '2023-11-14T22:13:20Z' ==> "city" = 'Rome' OR time = '2023-11-14T22:13:20Z'
    "#;
    for (condition, expected) in neap_test_inputs::text_pairs(cases).chain([("", "true")]) {
        let sql = format!("DELETE FROM weather {condition}");
        assert_eq!(one.sql(&sql).await, "stamp\n7\n", "{sql}");
        let (delete, _) = recorder.last.lock().unwrap().take().unwrap();
        assert_eq!(delete.condition.to_string(), expected, "{sql}");
    }
}

#[tokio::test]
async fn parameters_are_filled_in() {
    let (one, recorder) = recording(Ok(Stamp::from_u64(7))).await;
    let body = serde_json::json!({
        "db": "db", "format": "csv",
        "q": "DELETE FROM weather WHERE city = $city AND time < $until",
        "params": {"city": "Rome", "until": "2023-11-14T22:14:00Z"},
    });
    assert_eq!(one.post(body).await, (200, "stamp\n7\n".to_owned()));
    let (delete, _) = recorder.last.lock().unwrap().take().unwrap();
    assert_eq!(
        delete.condition.to_string(),
        "\"city\" = 'Rome' AND time <= '2023-11-14T22:13:59.999999999Z'"
    );
    let open = serde_json::json!({"db": "db", "q": "DELETE FROM weather WHERE city = $city"});
    let (status, body) = one.post(open).await;
    assert_eq!(status, 400, "{body}");
    assert!(recorder.last.lock().unwrap().is_none());
}

#[tokio::test]
async fn other_conditions_than_time_and_tags_are_rejected_by_name() {
    let (one, recorder) = recording(Ok(Stamp::from_u64(7))).await;
    let cases = "
        DELETE FROM weather WHERE temp > 1 ==> the field 'temp'
        DELETE FROM weather WHERE city = 'Rome' OR wind = 3 ==> the field 'wind'
        DELETE FROM weather WHERE city IS NOT NULL ==> city IS NOT NULL
        DELETE FROM weather WHERE city NOT IN ('a','b','c','d','e') ==> city NOT IN
        DELETE FROM weather WHERE upper(city) = 'ROME' ==> upper(
        DELETE FROM weather WHERE city = country ==> = weather.city
        DELETE FROM weather WHERE city IS NOT DISTINCT FROM 'Rome' ==> IS NOT DISTINCT FROM
        DELETE FROM weather WHERE date_trunc('day', time) = '2023-11-14' ==> date_trunc(
        DELETE FROM weather WHERE random() < 0.5 ==> random()
        DELETE FROM weather WHERE city IN (SELECT city FROM weather) ==> DELETE can't filter by
        DELETE FROM weather WHERE nope = 'x' ==> nope
        DELETE FROM nope ==> nope
        DELETE FROM system.parquet_files ==> rows of 'public.system.parquet_files'
        DELETE FROM information_schema.tables ==> information_schema
        DELETE FROM weather LIMIT 1 ==> only a WHERE clause
        DELETE FROM weather USING weather w ==> Using
        DELETE FROM weather WHERE city ==>
    ";
    for (sql, part) in neap_test_inputs::text_pairs(cases).chain([
        ("DELETE FROM weather WHERE city != 'Rome'", "city != "),
        ("DELETE FROM weather WHERE NOT city = 'Rome'", "city != "),
        ("DELETE FROM weather WHERE city > 'Rome'", "city > "),
        ("DELETE FROM weather WHERE city LIKE 'R%'", "city LIKE "),
    ]) {
        let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert!(matches!(status, 400 | 405 | 500), "{sql}: {status} {body}");
        assert!(body.contains(part), "{sql}: {body}");
        assert!(recorder.last.lock().unwrap().is_none(), "{sql}");
    }
    let values: Vec<String> = (0..200).map(|value| format!("'{value}'")).collect();
    let sql = format!("DELETE FROM weather WHERE city IN ({})", values.join(","));
    let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
    assert_eq!(status, 400);
    assert!(body.contains("more than 100 terms"), "{body}");
}

#[tokio::test]
async fn only_a_post_deletes() {
    let (one, recorder) = recording(Ok(Stamp::from_u64(7))).await;
    assert_eq!(
        one.get("/api/v3/query_sql?db=db&q=DELETE%20FROM%20weather").await,
        (405, "DELETE requires a POST request".to_owned())
    );
    let (status, _, body) = one.sql_at("DELETE FROM weather", "1").await;
    assert_eq!((status, body.as_str()), (400, "DELETE can't have an as-of time"));
    for sql in ["EXPLAIN DELETE FROM weather", "UPDATE weather SET temp = 1"] {
        let (status, _) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(status, 400, "{sql}");
    }
    assert!(recorder.last.lock().unwrap().is_none());

    let reading = QueryTestInstance::deleting(None).await;
    reading.write(WEATHER).await;
    let body = serde_json::json!({"db": "db", "q": "DELETE FROM weather"});
    assert_eq!(reading.post(body).await, (405, "this server does not accept writes".to_owned()));
}

#[tokio::test]
async fn the_stamps_of_the_client_and_of_the_delete_are_passed_on() {
    let (one, recorder) = recording(Ok(Stamp::from_u64(7))).await;
    let body = serde_json::json!({"db": "db", "q": "DELETE FROM weather", "format": "json"});
    let after = one.sql_at("SELECT 1", "2030-01-01T00:00:00Z").await.1.unwrap();
    let request = Request::post("/api/v3/query_sql")
        .header("x-neap-stamp", &after)
        .body(Body::from(body.to_string()));
    let (head, body) = one.exchange(request.unwrap()).await;
    assert_eq!(head.status.as_u16(), 200, "{body}");
    assert_eq!(body, r#"[{"stamp":7}]"#);
    assert_eq!(head.headers["x-neap-stamp"], "7");
    assert!(!head.headers.contains_key("x-neap-as-of"));
    let (_, passed) = recorder.last.lock().unwrap().take().unwrap();
    assert_eq!(passed.map(|stamp| stamp.to_string()), Some(after));
}

#[tokio::test]
async fn the_arrival_of_a_delete_precedes_its_wait_for_a_permit() {
    let recorder = Arc::new(RecordingDeleter::answering(Ok(Stamp::from_u64(7))));
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { concurrent_queries: 1, ..QuerySettings::default() };
    let deleter = TestDeleter::Other(Arc::clone(&recorder) as _);
    let one = QueryTestInstance::built(store, clock, settings, deleter).await;
    one.write(WEATHER).await;
    // A query holds the only permit until its rows are read: more than fit into the channel.
    let running = QueryRequest::new("SELECT * FROM generate_series(1, 1000000)");
    let unread = one.engine.query(DATABASE, running).await.unwrap();
    let body = serde_json::json!({"db": "db", "q": "DELETE FROM weather"});
    let delete = one.post(body);
    let others = async {
        tokio::task::yield_now().await;
        one.pass(std::time::Duration::from_secs(6));
        drop(unread);
    };
    let ((status, body), ()) = tokio::join!(delete, others);
    assert_eq!(status, 200, "{body}");
    let arrived = recorder.arrived.lock().unwrap().unwrap();
    let waited = one.bucket.world().elapsed(&arrived);
    assert_eq!(waited, std::time::Duration::from_secs(6));
}

#[tokio::test]
async fn a_rejected_delete_has_a_retry_after_header() {
    let error = DeleteRowsError {
        message: "not now".to_owned(),
        kind: DeleteRowsErrorKind::Unknown,
        retry_after: Some(std::time::Duration::from_secs(3)),
        stamp: Some(Stamp::from_u64(8)),
    };
    let (one, _) = recording(Err(error)).await;
    let body = serde_json::json!({"db": "db", "q": "DELETE FROM weather"});
    let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
    let (head, body) = one.exchange(request.unwrap()).await;
    assert_eq!((head.status.as_u16(), body.as_str()), (503, "not now"));
    assert_eq!(head.headers["retry-after"], "3");
    assert_eq!(head.headers["x-neap-stamp"], "8");
}
