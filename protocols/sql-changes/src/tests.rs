//! The route with a query and a write function on a store in memory.

use std::sync::Arc;

use axum::{Extension, Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_http::{Caller, STAMP_HEADER};
use neap_write::{WriteOptions, WriteSettings};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{ChangeExecutor, router, testing::MemoryServer};

const PATH: &str = "/api/v3/execute_sql";

/// A server without authentication. Its database `home` has the table `cpu` with two rows.
struct RouteTestBed {
    routes: Router,
}

/// An answer: its status, its body, and whether it has a stamp.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    body: String,
    has_stamp: bool,
}

impl RouteTestBed {
    async fn new() -> Self {
        let server = MemoryServer::new(WriteSettings::default()).unwrap();
        let MemoryServer { queries, writes, .. } = server;
        let lines = "cpu,host=a usage=0.5,n=1i 1000000000\ncpu,host=b usage=2.5,n=3i 2000000000";
        writes.write("home", lines.into(), WriteOptions::default()).await.unwrap();
        let routes = router(ChangeExecutor::new(Arc::clone(&queries), Some(writes)))
            .merge(neap_query::router(queries))
            .layer(Extension(Caller::unrestricted()));
        Self { routes }
    }

    async fn post(&self, path: &str, body: String) -> Answer {
        let request = Request::post(path).body(Body::from(body)).unwrap();
        let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            body: String::from_utf8(bytes.to_vec()).unwrap(),
            has_stamp: head.headers.contains_key(STAMP_HEADER),
        }
    }

    /// Executes a statement over the database `home`.
    async fn execute(&self, sql: &str) -> Answer {
        self.post(PATH, json!({ "db": "home", "q": sql }).to_string()).await
    }

    /// Returns the rows of a query.
    async fn rows(&self, sql: &str) -> Value {
        let body = json!({ "db": "home", "q": sql }).to_string();
        let answer = self.post("/api/v3/query_sql", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

fn answered(body: &str, has_stamp: bool) -> Answer {
    Answer { status: 200, body: body.to_owned(), has_stamp }
}

#[tokio::test]
async fn rows_are_inserted_and_deleted() {
    let bed = RouteTestBed::new().await;
    let insert = "INSERT INTO cpu (time, host, usage) VALUES ('1970-01-01T00:00:03Z', 'c', 1), ('1970-01-01T00:00:04Z', 'd', 2)";
    assert_eq!(bed.execute(insert).await, answered(r#"{"statement":"INSERT","rows":2}"#, true));
    let copy = "INSERT INTO cpu (time, host, n) SELECT time, 'e', n FROM cpu WHERE host = 'b';";
    assert_eq!(bed.execute(copy).await, answered(r#"{"statement":"INSERT","rows":1}"#, true));
    let none = "INSERT INTO cpu (time, host, n) SELECT time, 'f', n FROM cpu WHERE host = 'z'";
    assert_eq!(bed.execute(none).await, answered(r#"{"statement":"INSERT","rows":0}"#, false));
    assert_eq!(
        bed.execute("DELETE FROM cpu WHERE host = 'a'").await,
        answered(r#"{"statement":"DELETE"}"#, true)
    );
    assert_eq!(
        bed.rows("SELECT host FROM cpu ORDER BY host").await,
        json!([{"host": "b"}, {"host": "c"}, {"host": "d"}, {"host": "e"}])
    );
}

#[tokio::test]
async fn placeholders_have_values_in_the_body_or_the_url() {
    let bed = RouteTestBed::new().await;
    let insert = "INSERT INTO cpu (time, host, usage, n) VALUES ($time, $host, $usage, $n)";
    let body = json!({
        "db": "home",
        "q": insert,
        "params": {"time": "2024-01-01T00:00:00Z", "host": "p", "usage": 7.5, "n": 9},
    });
    let answer = bed.post(PATH, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let url = format!(
        "{PATH}?db=home&q=DELETE+FROM+cpu+WHERE+host=$host&params=%7B%22host%22:%22a%22%7D"
    );
    let answer = bed.post(&url, String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        bed.rows("SELECT host, usage, n FROM cpu ORDER BY host").await,
        json!([{"host": "b", "usage": 2.5, "n": 3}, {"host": "p", "usage": 7.5, "n": 9}])
    );
}

#[tokio::test]
async fn tables_and_databases_are_created_changed_and_dropped() {
    let bed = RouteTestBed::new().await;
    for (sql, statement) in [
        ("CREATE TABLE rooms (time TIMESTAMP, room SYMBOL, temp DOUBLE)", "CREATE TABLE"),
        (
            "CREATE TABLE IF NOT EXISTS rooms (time TIMESTAMP, room TAG, temp DOUBLE)",
            "CREATE TABLE",
        ),
        ("ALTER TABLE rooms RENAME TO places", "ALTER TABLE"),
        ("DROP TABLE places", "DROP TABLE"),
        ("DROP TABLE IF EXISTS places", "DROP TABLE"),
        ("CREATE DATABASE lab", "CREATE DATABASE"),
        ("DROP DATABASE lab", "DROP DATABASE"),
    ] {
        let body = format!(r#"{{"statement":"{statement}"}}"#);
        assert_eq!(bed.execute(sql).await, answered(&body, false), "{sql}");
    }
    let answer = bed.post(PATH, json!({ "q": "CREATE DATABASE lab" }).to_string()).await;
    assert_eq!(answer, answered(r#"{"statement":"CREATE DATABASE"}"#, false));
}

#[tokio::test]
async fn refused_statements_have_a_status_and_a_reason() {
    let bed = RouteTestBed::new().await;
    for (sql, status, reason) in [
        ("SELECT 1", 400, "POST /api/v3/query_sql"),
        ("UPDATE cpu SET n = 1", 400, "same tags and time"),
        ("DELETE FROM cpu; DELETE FROM cpu", 400, "not 2"),
        ("", 400, "not 0"),
        ("INSERT INTO cpu VALUES ('open", 400, "Unterminated"),
        ("INSERT INTO missing (time) VALUES (now())", 404, "CREATE TABLE creates it"),
        ("INSERT INTO cpu (missing) VALUES (1)", 400, "missing"),
        ("INSERT INTO cpu (time, n) SELECT time, missing FROM cpu", 400, "missing"),
        ("DELETE FROM cpu WHERE missing = 'x'", 400, "missing"),
        ("INSERT INTO cpu (time, n) VALUES (now(), 1.5)", 400, "row 1"),
        ("INSERT INTO cpu (time, n) VALUES ('soon', 1)", 400, "soon"),
        ("\nINSERT INTO cpu (time, n)\n  VALUES (now() 1)", 400, "Line: 3, Column: 17"),
        ("INSERT INTO cpu (time, n) SELECT time n m FROM cpu", 400, "Line: 1, Column: 41"),
        ("INSERT INTO cpu (time n) VALUES (1)", 400, "Line: 1, Column: 23"),
        ("CREATE TABLE cpu (v DOUBLE)", 409, "already exists"),
        ("DROP TABLE missing", 404, "missing"),
        ("DROP DATABASE home", 409, "currently open"),
        ("DROP DATABASE missing", 404, "missing"),
    ] {
        let answer = bed.execute(sql).await;
        assert_eq!(answer.status, status, "{sql}: {}", answer.body);
        assert!(answer.body.contains(reason), "{sql}: {}", answer.body);
    }
    assert_eq!(bed.rows("SELECT count(*) AS n FROM cpu").await, json!([{"n": 2}]));
    for (body, status, reason) in [
        (json!({ "q": "DELETE FROM cpu" }), 400, "'db' is missing"),
        (json!({ "db": "home" }), 400, "missing field `q`"),
        (json!({ "db": "other", "q": "DROP TABLE cpu" }), 404, "other"),
        (json!({ "db": "other", "q": "DELETE FROM cpu" }), 404, "other"),
    ] {
        let answer = bed.post(PATH, body.to_string()).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(reason), "{}", answer.body);
    }
}

#[tokio::test]
async fn queries_refuse_changes_and_name_the_endpoint_for_them() {
    let bed = RouteTestBed::new().await;
    for sql in [
        "INSERT INTO cpu (time, n) VALUES (now(), 1)",
        "CREATE TABLE t (v DOUBLE)",
        "DROP TABLE cpu",
    ] {
        let body = json!({ "db": "home", "q": sql }).to_string();
        let answer = bed.post("/api/v3/query_sql", body).await;
        assert_eq!(answer.status, 400, "{sql}");
        assert!(answer.body.contains(PATH), "{}", answer.body);
    }
}
