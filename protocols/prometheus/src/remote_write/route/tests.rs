//! Tests of requests in a memory store.

use axum::{Extension, body::Body};
use http::StatusCode;
use neap_sql_changes::testing::{MemoryServer, MemoryServerSettings};
use tower::ServiceExt;

use super::*;
use crate::{
    Label, Message, Sample, compress,
    test_messages::{WriteRequest, WriteSeries},
};

fn service(max_bytes_in_flight: usize) -> Arc<WriteService> {
    let settings = MemoryServerSettings {
        writes: WriteSettings { max_bytes_in_flight, ..WriteSettings::default() },
        ..MemoryServerSettings::default()
    };
    MemoryServer::with(settings).unwrap().writes
}

/// Returns a message of about 16 KB, whose points take about 0.9 MB.
fn wide_message() -> Vec<u8> {
    let label = |name: String| Label { name, value: "x".to_owned() };
    let labels = (0..100)
        .map(|index| label(format!("l{index}")))
        .chain([label("__name__".to_owned())]);
    let samples = (0..1_000).map(|timestamp| Sample { value: 1.5, timestamp });
    let series = WriteSeries {
        labels: labels.collect(),
        samples: samples.collect(),
        ..WriteSeries::default()
    };
    let request = WriteRequest { timeseries: vec![series], ..WriteRequest::default() };
    request.encode_to_vec()
}

async fn send(service: &Arc<WriteService>, message: &[u8]) -> (StatusCode, String) {
    let router =
        router(Arc::clone(service), &Metrics::default()).layer(Extension(Caller::unrestricted()));
    let body = Body::from(compress(message).unwrap());
    let request = Request::post("/api/v1/write?db=prom").body(body).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, String::from_utf8_lossy(&body.unwrap()).into_owned())
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_for_points_before_they_exist() {
    let service = service(16 << 20);
    let receiver = RemoteWriteReceiver {
        service: Arc::clone(&service),
        metadata: MetadataCache::default(),
        dropped: Metrics::default().counter("dropped", "Dropped.", &["kind"]),
    };
    let message = wide_message();
    let mut reservation = service.reserve_exactly(0).await.unwrap();
    let decoded = receiver.decode(&message, WriteVersion::One, &mut reservation).await.unwrap();
    let needed = decoded.points.size_bytes() * POINTS_MEMORY_FACTOR;
    assert!(needed > 40 * message.len());
    assert!(service.reserved_bytes() >= needed);
    drop(reservation);
    let busy = service.reserve_exactly(14 << 20).await.unwrap();
    let mut reservation = service.reserve_exactly(0).await.unwrap();
    let refused = receiver.decode(&message, WriteVersion::One, &mut reservation);
    assert_eq!(refused.await.unwrap_err().kind(), Kind::Unavailable);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_its_own_memory() {
    let service = service(4 << 20);
    let (status, text) = send(&service, &wide_message()).await;
    assert_eq!((status.as_u16(), text.as_str()), (204, ""));
    assert_eq!(service.reserved_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_fits_is_too_large() {
    for (bytes, reason) in [
        (1 << 20, "bytes of memory: send smaller requests"),
        (8 << 10, "but all writes together have 8192: send smaller requests"),
    ] {
        let (status, text) = send(&service(bytes), &wide_message()).await;
        assert_eq!(status.as_u16(), 413, "{text}");
        assert!(text.ends_with(reason), "{text}");
    }
}
