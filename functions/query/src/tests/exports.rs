//! Exports of tables by days, and the number of concurrent queries.

use std::{io::Read, sync::Arc};

use axum::{Extension, body::Body};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use neap_http::Caller;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tar::Archive;
use tower::ServiceExt;

use super::QueryTestInstance;
use crate::{concurrency_limit_router, export_router};

const DAY: i64 = 86_400_000_000_000;

/// 2026-01-01 in nanoseconds since the Unix epoch.
const FIRST: i64 = 20_454 * DAY;

impl QueryTestInstance {
    /// Sends a request to the routes of exports and limits.
    async fn exchange_bytes(&self, method: &str, path: &str, body: &str) -> (u16, Bytes) {
        let routes = export_router(Arc::clone(&self.engine))
            .merge(concurrency_limit_router(Arc::clone(&self.engine)))
            .layer(Extension(Caller::unrestricted()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    }

    async fn export(&self, path: &str) -> (u16, Value) {
        let path = format!("/api/v3/export/{path}");
        let (status, body) = self.exchange_bytes("GET", &path, "").await;
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Returns the names of the files in an archive, with their numbers of rows.
fn files(archive: &[u8]) -> Vec<(String, usize)> {
    assert!(archive.ends_with(&[0; 1024]));
    let mut reader = Archive::new(archive);
    let entries = reader.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut file = Vec::new();
            entry.read_to_end(&mut file).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
            let batches = builder.build().unwrap();
            let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
            let name = entry.path().unwrap().display().to_string();
            (name, rows)
        })
        .collect()
}

#[tokio::test]
async fn tables_are_exported_by_days_with_the_rows_of_the_tail() {
    let one = QueryTestInstance::alone().await;
    one.write(&format!(
        "t,k=a v=1i {FIRST}\nt,k=b v=2i {}\nt,k=a v=3i {}",
        FIRST + 5,
        FIRST + 4 * DAY
    ))
    .await;
    one.write(&format!("t,k=a v=4i {}", FIRST + 2 * DAY)).await;
    one.flush().await;
    one.write(&format!("t,k=a v=5i {}\nu v=1i {FIRST}", FIRST + 6 * DAY)).await;
    let tables = json!({ "tables": ["t", "u"] });
    assert_eq!(one.export("databases").await, (200, json!({ "databases": ["db"] })));
    assert_eq!(one.export("tables?db=db").await, (200, tables));
    let days = ["2026-01-01", "2026-01-03", "2026-01-05", "2026-01-07"];
    let windows = json!({ "windows": days });
    assert_eq!(one.export("windows?db=db&table=t").await, (200, windows));
    let data = async |parameters: &str| {
        let path = format!("/api/v3/export/window_data?db=db&table={parameters}");
        let (status, archive) = one.exchange_bytes("GET", &path, "").await;
        assert_eq!(status, 200, "{parameters}");
        files(&archive)
    };
    let file = |day: &str, rows| (format!("{day}/0001.parquet"), rows);
    assert_eq!(
        data("t").await,
        [file(days[0], 2), file(days[1], 1), file(days[2], 1), file(days[3], 1)]
    );
    assert_eq!(
        data("t&windows=2026-01-07,2026-01-01").await,
        [file(days[0], 2), file(days[3], 1)]
    );
    one.sql("DELETE FROM u").await;
    assert_eq!(data("u").await, []);
}

#[tokio::test]
async fn days_between_the_ends_of_a_section_are_windows_only_if_they_have_rows() {
    let one = QueryTestInstance::alone().await;
    let lines: Vec<String> =
        [0, 1, 3, 9].map(|day| format!("t v={day}i {}", FIRST + day * DAY)).into();
    one.write(&lines.join("\n")).await;
    let windows = json!({ "windows": ["2026-01-01", "2026-01-02", "2026-01-04", "2026-01-10"] });
    // The segment tells only the first and the last time.
    assert_eq!(one.export("windows?db=db&table=t").await, (200, windows.clone()));
    one.flush().await;
    assert_eq!(one.export("windows?db=db&table=t").await, (200, windows));
}

#[tokio::test]
async fn unknown_tables_and_windows_are_errors() {
    let one = QueryTestInstance::with_rows("t v=1i 0").await;
    for (path, status, message) in [
        ("tables?db=nope", 404, "query error: database not found: nope"),
        ("windows?db=db&table=nope", 404, "Table nope not in DB schema for db"),
        (
            "window_data?db=db&table=t&windows=2026-01-02",
            404,
            "window not found: 2026-01-02",
        ),
        (
            "window_data?db=db&table=t&windows=monday",
            400,
            "invalid window 'monday', expected a date such as 2026-01-15",
        ),
    ] {
        let (got, answer) = one.export(path).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(message)), "{path}");
    }
}

#[tokio::test]
async fn the_number_of_concurrent_queries_can_be_changed_and_reset() {
    let one = QueryTestInstance::alone().await;
    let path = "/api/v3/configure/query_concurrency_limit";
    let limit = async || {
        let (status, body) = one.exchange_bytes("GET", path, "").await;
        assert_eq!(status, 200);
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let put = async |query: &str, body: &str| {
        let path = format!("{path}{query}");
        one.exchange_bytes("PUT", &path, body).await.0
    };
    let of = |limit: u64| json!({ "max_concurrent_queries": limit });
    assert_eq!(limit().await, of(32));
    assert_eq!(put("", r#"{"max_concurrent_queries":64}"#).await, 204);
    assert_eq!(limit().await, of(64));
    assert_eq!(put("", r#"{"max_concurrent_queries":2}"#).await, 400);
    assert_eq!(put("?force=true", r#"{"max_concurrent_queries":2}"#).await, 204);
    assert_eq!(limit().await, of(2));
    one.write("t v=1i 0").await;
    assert_eq!(one.sql("SELECT v FROM t").await, "v\n1\n");
    assert_eq!(put("", "{}").await, 204);
    assert_eq!(limit().await, of(32));
    let most = json!({ "max_concurrent_queries": tokio::sync::Semaphore::MAX_PERMITS });
    assert_eq!(put("", &most.to_string()).await, 204);
    assert_eq!(limit().await, json!({}));
    assert_eq!(one.exchange_bytes("DELETE", path, "").await.0, 204);
    assert_eq!(limit().await, of(32));
}
