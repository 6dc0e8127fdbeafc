//! Samples that were written are read again.

use std::time::Duration;

use MatcherType::{Equal, NotEqual, NotRegex, Regex};
use ResponseType::{Samples, StreamedXorChunks};
use http::Method;
use neap_bucket::World;

use super::{
    TestServer,
    server::{frames, query},
};
use crate::{
    BucketSpan, Histogram, HistogramCount, HistogramZeroCount, MatcherType, ResponseType,
    STALE_BITS, TimeSeries, compress, test_messages::series,
};

/// Returns 300 samples.
fn samples() -> Vec<(i64, f64)> {
    (0..300u32).map(|n| (i64::from(n) * 15_000, f64::from(n) / 2.0)).collect()
}

/// Writes four series of the metric `r1`, and one of `r2` and `r3` each.
async fn server() -> TestServer {
    let server = TestServer::new();
    let samples = samples();
    let r1 = |job, instance| {
        series(&[("__name__", "r1"), ("instance", instance), ("job", job)], &samples)
    };
    let all = [
        r1("api", "b"),
        r1("api", "a"),
        r1("db", "a"),
        series(&[("__name__", "r1"), ("job", "db")], &[(0, f64::from_bits(STALE_BITS))]),
        series(&[("__name__", "r2"), ("time", "noon")], &[(0, 1.0)]),
        series(&[("__name__", "r3"), ("Zone", "z")], &[(0, 1.0)]),
    ];
    server.write(&all, &[]).await;
    server
}

/// Returns the labels of series as text.
fn labels(series: &[TimeSeries]) -> Vec<String> {
    let series = series.iter();
    series.map(|series| text(&series.labels)).collect()
}

fn text(labels: &[crate::Label]) -> String {
    labels
        .iter()
        .map(|label| format!("{}={}", label.name, label.value))
        .collect::<Vec<_>>()
        .join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_a_range_are_returned() {
    let server = server().await;
    let range = (15_000, 200 * 15_000);
    let matchers = [(Equal, "__name__", "r1"), (Equal, "instance", "b")];
    let found = server.series(query(range, &matchers)).await;
    let expected =
        series(&[("__name__", "r1"), ("instance", "b"), ("job", "api")], &samples()[1..=200]);
    assert_eq!(found, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_several_tables_are_sorted_by_labels() {
    let server = server().await;
    let all = || query((0, 0), &[(Regex, "__name__", "r.*")]);
    let sorted = [
        "Zone=z,__name__=r3",
        "__name__=r1,instance=a,job=api",
        "__name__=r1,instance=a,job=db",
        "__name__=r1,instance=b,job=api",
        "__name__=r1,job=db",
        "__name__=r2,time=noon",
    ];
    assert_eq!(labels(&server.series(all()).await), sorted);
    let (status, body) = server.read(vec![all(), all()], &[StreamedXorChunks]).await;
    assert_eq!(status, 200);
    let frames = frames(&body);
    let indexes: Vec<_> = frames.iter().map(|frame| frame.query_index).collect();
    assert_eq!(indexes, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    let streamed: Vec<_> =
        frames.iter().map(|frame| text(&frame.chunked_series[0].labels)).collect();
    assert_eq!(streamed, [sorted, sorted].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_chunks_have_at_most_120_samples() {
    let server = server().await;
    let matchers = [(Equal, "__name__", "r1"), (Equal, "instance", "b")];
    let one = query((0, i64::MAX), &matchers);
    let (_, body) = server.read(vec![one], &[StreamedXorChunks, Samples]).await;
    let [frame] = &frames(&body)[..] else {
        panic!("one frame");
    };
    let chunks = frame.chunked_series[0].chunks.iter();
    let times: Vec<_> = chunks
        .map(|chunk| (chunk.min_time_ms, chunk.max_time_ms, chunk.data[1]))
        .collect();
    assert_eq!(
        times,
        [
            (0, 119 * 15_000, 120),
            (120 * 15_000, 239 * 15_000, 120),
            (240 * 15_000, 299 * 15_000, 60)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn matchers_treat_absent_labels_as_empty() {
    let server = server().await;
    for (matcher, count) in [
        ((Equal, "instance", ""), 1),
        ((NotEqual, "instance", ""), 3),
        ((Regex, "instance", "a|b"), 3),
        ((Regex, "instance", "a|"), 3),
        ((Regex, "instance", ".*"), 4),
        ((Regex, "instance", ".+"), 3),
        ((NotRegex, "instance", "a|b"), 1),
        ((NotRegex, "instance", "[a]"), 2),
        ((Regex, "job", "ap"), 0),
        ((Equal, "other", ""), 4),
        ((NotEqual, "other", ""), 0),
        ((Regex, "__name__", "r[2-9]"), 0),
    ] {
        let matchers = [(Equal, "__name__", "r1"), matcher];
        let found = server.series(query((0, 0), &matchers)).await;
        assert_eq!(found.len(), count, "{matcher:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_markers_keep_their_bits() {
    let server = server().await;
    let matchers = [(Equal, "__name__", "r1"), (Equal, "instance", "")];
    let found = server.series(query((0, 0), &matchers)).await;
    assert_eq!(found[0].samples[0].value.to_bits(), STALE_BITS);
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_are_returned_as_samples_only() {
    let server = TestServer::new();
    let mut written = series(&[("__name__", "h")], &[(1, 2.0)]);
    written.histograms.push(Histogram {
        count: Some(HistogramCount::Integer(3)),
        sum: 4.5,
        zero_count: Some(HistogramZeroCount::Integer(1)),
        positive_spans: vec![BucketSpan { offset: -1, length: 2 }],
        positive_deltas: vec![1, 0],
        timestamp: 5,
        ..Histogram::default()
    });
    server.write(std::slice::from_ref(&written), &[]).await;
    let all = || query((0, 9), &[(Equal, "__name__", "h")]);
    assert_eq!(server.series(all()).await, [written]);
    let (status, body) = server.read(vec![all()], &[StreamedXorChunks]).await;
    assert_eq!(status, 400, "{body:?}");
    let (status, body) = server.read(vec![all()], &[StreamedXorChunks, Samples]).await;
    assert_eq!(status, 200);
    assert!(crate::decompress(&body, 1_000).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_errors() {
    let server = server().await;
    let bad_pattern = query((0, 1), &[(Regex, "a", "(")]);
    assert_eq!(server.read(vec![bad_pattern], &[]).await.0, 400);
    let unnamed = query((0, 1), &[(Equal, "", "a")]);
    assert_eq!(server.read(vec![unnamed], &[]).await.0, 400);
    let many = vec![query((0, 1), &[(Equal, "__name__", "r1")]); 101];
    assert_eq!(server.read(many, &[]).await.0, 400);
    let large = query((0, 1), &[(Equal, "__name__", &"r".repeat(256 << 10))]);
    assert_eq!(server.read(vec![large], &[]).await.0, 413);
    for body in [
        Vec::new(),
        b"x".to_vec(),
        compress(&[0x0a]).unwrap(),
        compress(&[0xff; 9]).unwrap(),
    ] {
        let (status, text) = server.send(Method::POST, "/api/v1/read", body).await;
        assert_eq!(status, 400, "{text:?}");
    }
    let bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(server.send(Method::POST, "/api/v1/read", bomb).await.0, 413);
    // The last one of several databases is read.
    for database in ["db=absent", "db=prom&db=absent"] {
        let empty = compress(&[]).unwrap();
        let path = format!("/api/v1/prom/read?{database}");
        assert_eq!(server.send(Method::POST, &path, empty).await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_keeps_its_memory_until_it_is_sent() {
    let server = server().await;
    for accepted in [[Samples], [StreamedXorChunks]] {
        let all = || query((0, i64::MAX), &[(Regex, "__name__", "r.*")]);
        let held = [
            server.open(vec![all()], &accepted).await,
            server.open(vec![all()], &accepted).await,
        ];
        assert!(held.iter().all(|answer| answer.status() == 200));
        let third = server.read(vec![all()], &accepted);
        let mut third = std::pin::pin!(third);
        let world = World::system();
        let waited = world.timeout(Duration::from_millis(200), &mut third);
        assert!(waited.await.is_none(), "{accepted:?}");
        drop(held);
        assert_eq!(third.await.0, 200);
    }
}
