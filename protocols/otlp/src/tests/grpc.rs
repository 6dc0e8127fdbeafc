//! The services over gRPC.

use std::{io::Write, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use neap_write::WriteSettings;

use super::{
    test_bed::{Reply, TestBed, settings},
    *,
};
use crate::messages::ExportResponse;

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

fn frame(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(is_compressed)], &length[..], message].concat()
}

async fn call(
    fixture: &TestBed,
    method: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Reply {
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend_from_slice(headers);
    fixture.post(method, &all, body).await
}

fn response(reply: &Reply) -> ExportResponse {
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "0"), "{reply:?}");
    ExportResponse::decode(&reply.body[5..]).unwrap()
}

fn logs_body() -> Vec<u8> {
    logs::request(vec![logs::record("a"), logs::record("b")]).encode_to_vec()
}

#[tokio::test]
async fn all_signals_are_stored() {
    let fixture = TestBed::new(settings());
    let metrics = metrics_v1::request(vec![metrics_v1::metric("m", metrics_v1::summary())]);
    let spans = spans::request(vec![spans::span()]);
    for (method, message) in [
        (LOGS, logs_body()),
        (TRACES, spans.encode_to_vec()),
        (METRICS, metrics.encode_to_vec()),
    ] {
        let reply = call(&fixture, method, &[], frame(false, &message)).await;
        assert_eq!(response(&reply), ExportResponse::default());
        assert!(!reply.header("x-neap-stamp").is_empty());
    }
    assert_eq!(fixture.rows().await, 4);
}

#[tokio::test]
async fn messages_may_be_compressed() {
    let fixture = TestBed::new(settings());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&logs_body()).unwrap();
    let message = frame(true, &encoder.finish().unwrap());
    let gzip = [("grpc-encoding", "gzip")];
    let reply = call(&fixture, LOGS, &gzip, message).await;
    assert_eq!(response(&reply), ExportResponse::default());
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn refused_items_are_counted_in_the_answer() {
    let fixture = TestBed::new(settings());
    let mut spans = vec![spans::span(); 2];
    spans[0].span_id = vec![1];
    let message = spans::request(spans).encode_to_vec();
    let reply = call(&fixture, TRACES, &[], frame(false, &message)).await;
    let partial = response(&reply).partial_success.unwrap();
    assert_eq!(partial.rejected, 1);
    insta::assert_snapshot!(partial.error_message, @"1 of 2 spans are not stored; span 1: span_id has 1 bytes, expected 8");
}

#[tokio::test(start_paused = true)]
async fn errors_have_codes_that_tell_whether_to_retry() {
    let fixture = TestBed::new(WriteSettings { max_request_bytes: 100_000, ..settings() });
    let mut bomb = GzEncoder::new(Vec::new(), Compression::default());
    bomb.write_all(&vec![0; 200_000]).unwrap();
    let bomb = frame(true, &bomb.finish().unwrap());
    let cases: [(Headers, Vec<u8>, &str); 6] = [
        (&[], frame(false, &[0x0a]), "3"),
        (&[("db", "a"), ("database", "b")], frame(false, &[]), "3"),
        (&[], Vec::new(), "3"),
        (&[], frame(false, &vec![0; 100_001]), "3"),
        (&[("grpc-encoding", "gzip")], bomb, "3"),
        (&[("grpc-encoding", "br")], frame(true, &[1]), "12"),
    ];
    for (headers, body, code) in cases {
        let reply = call(&fixture, LOGS, headers, body).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (200, code), "{reply:?}");
    }
    let large = logs::request(vec![logs::record(&"x".repeat(50_000))]).encode_to_vec();
    let busy = TestBed::new(WriteSettings { body_timeout: Duration::from_secs(30), ..settings() });
    let all = busy.service.reserve_exactly(usize::MAX).await.unwrap();
    let reply = call(&busy, LOGS, &[], frame(false, &large)).await;
    assert_eq!(reply.header("grpc-status"), "14", "{reply:?}");
    drop(all);
    let small = TestBed::new(WriteSettings { max_bytes_in_flight: 1, ..settings() });
    let reply = call(&small, LOGS, &[], frame(false, &large)).await;
    assert_eq!(reply.header("grpc-status"), "8", "{reply:?}");
    assert!(
        reply.header("grpc-message").contains("send%20smaller")
            || reply.header("grpc-message").contains("send smaller")
    );
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = call(&fixture, LOGS, &[], never).await;
    assert_eq!(reply.header("grpc-status"), "4");
    let unknown =
        call(&fixture, "/opentelemetry.proto.collector.logs.v1.LogsService/Import", &[], "").await;
    assert_eq!(unknown.header("grpc-status"), "12");
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_while_a_message_arrives() {
    let fixture = TestBed::new(settings());
    let announced = 5_u32 << 20;
    let mut start = vec![0];
    start.extend(announced.to_be_bytes());
    start.extend([0; 100]);
    let start = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(start))]);
    let body = Body::from_stream(start.chain(futures::stream::pending()));
    let reserved = async {
        while fixture.service.reserved_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        fixture.service.reserved_bytes()
    };
    let (reply, reserved) = tokio::join!(call(&fixture, LOGS, &[], body), reserved);
    assert_eq!((reply.header("grpc-status"), reserved), ("4", 5 << 20));
    assert_eq!(fixture.service.reserved_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_decompressed_within_reserved_memory() {
    let fixture =
        TestBed::new(WriteSettings { body_timeout: Duration::from_secs(30), ..settings() });
    let records = logs::request(vec![logs::record(&"x".repeat(900_000)); 5]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&records.encode_to_vec()).unwrap();
    let message = frame(true, &encoder.finish().unwrap());
    assert!(message.len() < 10_000);
    let gzip = [("grpc-encoding", "gzip")];
    let most = fixture.service.reserve_exactly((256 << 20) - (1 << 20)).await;
    let reply = call(&fixture, LOGS, &gzip, message.clone()).await;
    assert_eq!(reply.header("grpc-status"), "14");
    drop(most);
    let reply = call(&fixture, LOGS, &gzip, message).await;
    assert_eq!(response(&reply), ExportResponse::default());
    assert_eq!((fixture.rows().await, fixture.service.reserved_bytes()), (5, 0));
}
