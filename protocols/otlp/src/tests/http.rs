//! The routes over HTTP.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use neap_write::WriteSettings;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, number_data_point};

use super::{
    test_bed::{Reply, TestBed, settings},
    *,
};
use crate::messages::{BadRequest, ExportResponse, RpcStatus};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const NOTHING: &str = "{}";

fn two_records() -> Vec<u8> {
    logs::request(vec![logs::record("a"), logs::record("b")]).encode_to_vec()
}

fn json_records() -> String {
    serde_json::to_string(&logs::request(vec![logs::record("a")])).unwrap()
}

fn status(reply: &Reply) -> RpcStatus {
    RpcStatus::decode(reply.body.clone()).unwrap()
}

#[tokio::test]
async fn requests_are_stored_and_answered_in_their_encoding() {
    let fixture = TestBed::new(settings());
    let reply = fixture.post("/v1/logs", &[PROTOBUF], two_records()).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    assert!(!reply.header("x-neap-stamp").is_empty());
    assert_eq!(fixture.rows().await, 2);
    let json = ("content-type", "Application/JSON; charset=utf-8");
    let reply = fixture.post("/v1/logs", &[json], json_records()).await;
    assert_eq!((reply.status, reply.text()), (200, NOTHING));
    assert_eq!(reply.header("content-type"), "application/json");
    let spans = spans::request(vec![spans::full_span()]).encode_to_vec();
    let reply = fixture.post("/v1/traces", &[PROTOBUF], spans).await;
    assert_eq!(reply.status, 200);
    let metrics = metrics_v1::request(vec![metrics_v1::metric("m", metrics_v1::summary())]);
    let reply = fixture.post("/v1/metrics", &[PROTOBUF], metrics.encode_to_vec()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(fixture.rows().await, 2 + 1 + 4 + 1);
}

#[tokio::test]
async fn bodies_may_be_compressed() {
    let fixture = TestBed::new(settings());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&two_records()).unwrap();
    let zipped = encoder.finish().unwrap();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(fixture.post("/v1/logs", &headers, zipped).await.status, 200);
    assert_eq!(fixture.rows().await, 2);
    let reply = fixture.post("/v1/logs", &headers, two_records()).await;
    assert_eq!(reply.status, 400);
    assert!(status(&reply).message.contains("gzip"));
}

#[tokio::test]
async fn empty_requests_succeed() {
    let fixture = TestBed::new(settings());
    let reply = fixture.post("/v1/metrics", &[PROTOBUF], Body::empty()).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let reply = fixture.post("/v1/metrics", &[JSON], "{}").await;
    assert_eq!((reply.status, reply.text()), (200, NOTHING));
    assert_eq!(reply.header("x-neap-stamp"), "");
}

#[tokio::test]
async fn refused_items_are_counted_in_the_answer() {
    let fixture = TestBed::new(settings());
    let mut spans = vec![spans::span(); 3];
    spans[1].trace_id = Vec::new();
    let request = spans::request(spans);
    let reply = fixture.post("/v1/traces", &[PROTOBUF], request.encode_to_vec()).await;
    assert_eq!(reply.status, 200);
    let partial = ExportResponse::decode(reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected, 1);
    let json = serde_json::to_string(&request).unwrap();
    let reply = fixture.post("/v1/traces", &[JSON], json).await;
    insta::assert_snapshot!(reply.text(), @r#"{"partialSuccess":{"errorMessage":"1 of 3 spans are not stored; span 2: trace_id is missing","rejectedSpans":"1"}}"#);
}

#[tokio::test]
async fn points_that_conflict_with_a_table_are_refused() {
    let fixture = TestBed::new(settings());
    let gauge = |attributes: Vec<KeyValue>| {
        let point = metrics_v1::number(attributes, number_data_point::Value::AsDouble(1.0));
        vec![metrics_v1::metric("m", metrics_v1::gauge(vec![point]))]
    };
    let body = metrics_v1::request(gauge(Vec::new())).encode_to_vec();
    assert_eq!(fixture.post("/v1/metrics", &[PROTOBUF], body).await.status, 200);
    // The table has a field with the name of the attribute.
    let point = metrics_v1::number(vec![text("gauge", "x")], number_data_point::Value::AsInt(1));
    let total = metrics_v1::sum(AggregationTemporality::Cumulative, true, vec![point]);
    let mut metrics = vec![metrics_v1::metric("m", total)];
    metrics.extend(gauge(vec![text("a", "b")]));
    let json = serde_json::to_string(&metrics_v1::request(metrics)).unwrap();
    let reply = fixture.post("/v1/metrics", &[JSON], json).await;
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(reply.text(), @r#"{"partialSuccess":{"errorMessage":"1 of 2 data points are not stored; data point 1: invalid column type for column 'gauge', expected iox::column_type::field::float, got iox::column_type::tag in gauge=x, otel.library.version=latest, otel.library.name=My Library, container.name=42, start_time_un","rejectedDataPoints":"1"}}"#);
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn malformed_requests_name_the_field() {
    let fixture = TestBed::new(settings());
    let body = r#"{"resourceLogs":[{},{"scopeLogs":7}]}"#;
    let reply = fixture.post("/v1/logs", &[JSON], body).await;
    assert_eq!((reply.status, reply.header("content-type")), (400, "application/json"));
    insta::assert_snapshot!(reply.text(), @r#"{"code":3,"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"invalid type: integer `7`, expected a list at line 1 column 1","field":"resourceLogs[1].scopeLogs"}]}],"message":"resourceLogs[1].scopeLogs: invalid type: integer `7`, expected a list at line 1 column 1"}"#);
    let reply = fixture.post("/v1/logs", &[PROTOBUF], vec![0x0a, 3, 0x12, 5, 0]).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    let status = status(&reply);
    assert_eq!(status.code, 3);
    insta::assert_snapshot!(status.message, @"resourceLogs[0]: failed to decode Protobuf message: buffer underflow");
    let detail = BadRequest::decode(status.details[0].value.as_slice()).unwrap();
    assert_eq!(detail.field_violations[0].field, "resourceLogs[0]");
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let fixture = TestBed::new(settings());
    for headers in [&[][..], &[("content-type", "text/plain")]] {
        let reply = fixture.post("/v1/logs", headers, "x").await;
        assert_eq!((reply.status, reply.header("content-type")), (415, "application/json"));
        assert!(reply.text().contains("application/x-protobuf"));
    }
}

#[tokio::test]
async fn requests_need_a_database() {
    let fixture = TestBed::new(WriteSettings { default_database: None, ..settings() });
    let reply = fixture.post("/v1/logs", &[JSON], json_records()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("no database"));
    let named = [("/v1/logs?db=a", &[JSON][..]), ("/v1/logs", &[JSON, ("database", "a")])];
    for (path, headers) in named {
        let reply = fixture.post(path, headers, json_records()).await;
        assert_eq!((reply.status, reply.text()), (200, NOTHING));
    }
    let reply = fixture.post("/v1/logs?db=_internal/x%00", &[JSON], json_records()).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = fixture.post("/v1/logs?metrics_schema=x", &[JSON, ("db", "a")], "{}").await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let fixture = TestBed::new(WriteSettings { max_request_bytes: 1_000, ..settings() });
    let reply = fixture.post("/v1/logs", &[PROTOBUF], vec![0; 1_001]).await;
    assert_eq!(reply.status, 413);
    assert!(status(&reply).message.contains("1000 bytes"));
    // The limit also holds while a body is decompressed.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::default());
    bomb.write_all(&vec![0; 200_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1_000);
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let reply = fixture.post("/v1/logs", &headers, bomb).await;
    assert_eq!(reply.status, 413);
    assert!(status(&reply).message.contains("1000 bytes"));
    assert_eq!((fixture.rows().await, fixture.service.reserved_bytes()), (0, 0));
}

#[tokio::test]
async fn large_bodies_are_converted_on_another_thread() {
    let fixture = TestBed::new(settings());
    let records = (0..4_000).map(|n| logs::record(&format!("{n:0100}")));
    let body = logs::request(records.collect()).encode_to_vec();
    assert!(body.len() > 256 << 10);
    let reply = fixture.post("/v1/logs", &[PROTOBUF], body).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(fixture.rows().await, 4_000);
}

#[tokio::test(start_paused = true)]
async fn clients_retry_when_the_server_is_busy_or_the_body_late() {
    let fixture = TestBed::new(settings());
    let all = fixture.service.reserve_exactly(usize::MAX).await.unwrap();
    let reply = fixture.post("/v1/logs", &[JSON], json_records()).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    drop(all);
    // There is memory for the body, but not for its rows.
    let _most = fixture.service.reserve_exactly((256 << 20) - (200 << 10)).await;
    let large = logs::request(vec![logs::record(&"x".repeat(100_000))]).encode_to_vec();
    let reply = fixture.post("/v1/logs", &[PROTOBUF], large).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(status(&reply).code, 14);
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = TestBed::new(settings()).post("/v1/logs", &[PROTOBUF], never).await;
    assert_eq!(reply.status, 503);
    assert_eq!(status(&reply).code, 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_its_own_memory() {
    let fixture = TestBed::new(WriteSettings { max_bytes_in_flight: 1 << 20, ..settings() });
    // The body reserves more than half of all memory before its rows need as much.
    let body = logs::request(vec![logs::record(&"x".repeat(250_000))]).encode_to_vec();
    let length = body.len().to_string();
    let headers = [PROTOBUF, ("content-length", length.as_str())];
    let reply = fixture.post("/v1/logs", &headers, body).await;
    assert_eq!(reply.status, 200, "{}", status(&reply).message);
    assert_eq!((fixture.rows().await, fixture.service.reserved_bytes()), (1, 0));
}

#[tokio::test]
async fn rows_may_take_much_more_memory_than_the_body() {
    let fixture = TestBed::new(settings());
    let body = metrics_v2::wide_histogram(400, 300);
    assert!(body.len() < 20_000);
    let path = "/v1/metrics?metrics_schema=prometheus-v2";
    let reply = fixture.post(path, &[PROTOBUF], body).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    assert_eq!(fixture.rows().await, 301);
}

#[tokio::test]
async fn requests_whose_rows_never_fit_are_too_large() {
    let fixture = TestBed::new(settings());
    let body = metrics_v2::wide_histogram(900, 65_000);
    let path = "/v1/metrics?metrics_schema=prometheus-v2";
    let reply = fixture.post(path, &[PROTOBUF], body).await;
    assert_eq!(reply.status, 413);
    insta::assert_snapshot!(status(&reply).message, @"the rows of the request take more than 67108864 bytes: send smaller requests");
    assert_eq!((fixture.rows().await, fixture.service.reserved_bytes()), (0, 0));
    let fixture = TestBed::new(WriteSettings { max_bytes_in_flight: 1, ..settings() });
    let reply = fixture.post("/v1/logs", &[JSON], json_records()).await;
    assert_eq!(reply.status, 413, "{reply:?}");
}
