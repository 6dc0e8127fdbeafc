//! Tails that are longer than one flush takes, and the backpressure on their writers.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use neap_bucket::{Key, KeyClass, Operation, PutMode, SegmentName, Stamp};
use neap_schema::DatabaseId;
use neap_wal::{BackpressureLimits, TailState, WriteError};
use neap_write::WriteFailure;

use super::test_bed::{CompactTestBed, NOW};
use crate::{CompactorEvent, FlushLimits, FlushRequest, FlushResult, FlushSkipped, FlushTriggers};

const MINUTE: Duration = Duration::from_secs(60);

/// Limits of two segments for each flush, and pressure limits at which four segments stop writers.
const SMALL: FlushLimits = FlushLimits {
    segment_bytes: 32 << 20,
    segments: 2,
    table_bytes: 32 << 20,
    cached_bytes: 64 << 20,
    pressure: BackpressureLimits { slow: 1, stop: 3 },
};

async fn write(stage: &CompactTestBed, segments: usize) {
    for number in 0..segments {
        let line = format!("m,host=a v={number} {NOW}");
        stage.write("db", &line).await;
    }
}

async fn left(stage: &CompactTestBed) -> Option<u64> {
    let tail = stage.manifest("db").await.tail;
    tail.map(|tail| tail.segments)
}

#[tokio::test]
async fn a_flush_publishes_what_it_leaves_and_catches_up_in_parts() {
    let stage = CompactTestBed::new().await;
    write(&stage, 7).await;
    stage.pass(MINUTE);
    write(&stage, 1).await;
    let id = stage.id("db").await;
    let compactor = stage.compactor_of_limits(SMALL, Duration::ZERO);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let flushed = compactor.flush(id).await.unwrap();
        let FlushResult::Done { segments, more, mark, tail, .. } = flushed else {
            panic!("{flushed:?}");
        };
        let manifest = stage.manifest("db").await;
        assert_eq!((manifest.low_water_mark, manifest.tail), (mark, tail));
        seen.push((segments, more, tail.unwrap().segments));
    }
    // No more segments are listed; the last one is too young.
    let expected = [(2, true, 4), (2, true, 4), (2, true, 2), (1, false, 1)];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_flush_that_gives_up_publishes_the_tail_when_it_holds_writers_back() {
    let stage = CompactTestBed::new().await;
    write(&stage, 1).await;
    stage.pass(MINUTE);
    let id = stage.id("db").await;
    let blocked = stage.compactor_of_limits(SMALL, 10 * MINUTE);
    let mut published = Vec::new();
    for _ in 0..4 {
        let (flushed, counts) = stage.counted(blocked.flush(id)).await;
        let flushed = flushed.unwrap();
        assert!(matches!(flushed, FlushResult::Skipped(FlushSkipped::Clock(_))), "{flushed:?}");
        assert_eq!(counts.requests(Operation::List), 1);
        published.push((counts.requests(Operation::Put), left(&stage).await));
        write(&stage, 1).await;
        stage.pass(MINUTE);
    }
    // At the length that slows writers down, and at the length that stops them.
    let expected = [(0, None), (1, Some(2)), (0, Some(2)), (1, Some(4))];
    assert_eq!(published, expected);
    let flusher = stage.compactor_of_limits(SMALL, Duration::ZERO);
    while let FlushResult::Done { .. } = flusher.flush(id).await.unwrap() {}
    assert_eq!(left(&stage).await, Some(0));
}

#[tokio::test]
async fn a_tail_of_more_than_100_000_segments_is_flushed_and_stops_its_writers_until_it_is_short() {
    let stage = CompactTestBed::new().await;
    write(&stage, 10).await;
    let id = stage.id("db").await;
    stage.pass(Duration::from_secs(1));
    let after = stage.bucket.clock().now().unwrap();
    let later = |number: u64| {
        let stamp = Stamp::from_u64(Stamp::new(after, 0).as_u64() + number);
        Key::Segment(id, SegmentName { stamp, nonce: 0 })
    };
    for number in 0..101_000 {
        let key = later(number);
        let put = stage.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
        put.await.unwrap();
    }
    stage.pass(MINUTE);
    let limits = FlushLimits { segments: 10, ..FlushLimits::default() };
    let flusher = stage.compactor_of_limits(limits, Duration::ZERO);
    let (flushed, counts) = stage.counted(flusher.flush(id)).await;
    let flushed = flushed.unwrap();
    let FlushResult::Done {
        segments: 10,
        more: true,
        tail: Some(TailState { segments: 10_001, oldest, .. }),
        ..
    } = flushed
    else {
        panic!("{flushed:?}");
    };
    assert_eq!(oldest, Some(after));
    // The segments that stop writers, and those that the flush takes.
    assert_eq!(counts.requests(Operation::List), 11);
    assert_eq!(counts.of(Operation::Get, KeyClass::Tail).requests, 10);
    assert_eq!(counts.requests(Operation::Get), 12);
    // The bundle, the manifest, and the record of the first manifest.
    assert_eq!(counts.requests(Operation::Put), 3);

    stage.pass(Duration::from_secs(5));
    let line = format!("m,host=a v=1 {NOW}");
    let refused = stage.try_write("db", &line).await;
    assert!(
        matches!(refused, Err(WriteFailure::Tail(WriteError::TailTooLong))),
        "{refused:?}"
    );
    let keys: Vec<_> = (0..101_000).map(|number| later(number).to_string()).collect();
    for keys in keys.chunks(1_000) {
        stage.bucket.delete(keys).await.unwrap();
    }
    // A flusher that finds nothing releases the writers.
    let flushed = flusher.flush(id).await.unwrap();
    assert_eq!(flushed, FlushResult::Skipped(FlushSkipped::NothingToFlush));
    stage.pass(Duration::from_secs(5));
    stage.write("db", &line).await;
}

#[tokio::test]
async fn a_flush_limits_decoded_memory_independent_of_compression() {
    let stage = CompactTestBed::new().await;
    let line =
        |number: usize| format!("m,host=a v=1i {}\n", 1_700_000_000_000_000_000_usize + number);
    let many: String = (0..2_000).map(line).collect();
    for _ in 0..6 {
        stage.write("db", &many).await;
    }
    // Another table has a limit of its own.
    stage.write("db", &many.replace("m,", "n,")).await;
    stage.pass(MINUTE);
    let id = stage.id("db").await;
    let limits = FlushLimits {
        // Three columns of 2,000 rows are 48,000 bytes.
        table_bytes: 150_000,
        segments: 4_000,
        pressure: BackpressureLimits::DEFAULT,
        ..SMALL
    };
    let compactor = stage.compactor_of_limits(limits, Duration::ZERO);
    let mut taken = Vec::new();
    while let FlushResult::Done { segments, .. } = compactor.flush(id).await.unwrap() {
        taken.push(segments);
    }
    assert_eq!(taken, [3, 4]);
}

/// Creates a database with one flushed segment that can be deleted. A tail is due if it has `segments` segments.
async fn with_flushed_segment(segments: usize) -> (CompactTestBed, DatabaseId) {
    let mut stage = CompactTestBed::new().await;
    stage.settings.triggers = FlushTriggers { bytes: u64::MAX, segments, age: Duration::MAX };
    write(&stage, 1).await;
    stage.flush("db").await;
    stage.pass(3 * MINUTE);
    let id = stage.id("db").await;
    (stage, id)
}

/// Puts segments that are not flushed.
async fn put(stage: &CompactTestBed, id: DatabaseId, numbers: Range<u64>) {
    let first = Stamp::new(stage.bucket.clock().now().unwrap(), 0).as_u64();
    for number in numbers {
        let stamp = Stamp::from_u64(first + number);
        let key = Key::Segment(id, SegmentName { stamp, nonce: 0 });
        let put = stage.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
        put.await.unwrap();
    }
}

/// Handles an event that flushes nothing, and returns the number of listings.
async fn lists(stage: &CompactTestBed, event: &CompactorEvent) -> u64 {
    let compactor = stage.compactor();
    let (report, counts) = stage.counted(compactor.handle(event, None)).await;
    let report = report.unwrap();
    assert_eq!((report.flushes, report.failures), (0, vec![]));
    counts.requests(Operation::List)
}

#[tokio::test]
async fn an_order_lists_a_tail_of_more_than_4_000_segments_three_times() {
    let (stage, id) = with_flushed_segment(usize::MAX).await;
    let order = CompactorEvent::Flush(FlushRequest { databases: vec![id] });
    put(&stage, id, 0..3_999).await;
    // The flushed segment is deleted.
    assert_eq!(lists(&stage, &order).await, 4);
    put(&stage, id, 3_999..4_001).await;
    assert_eq!(lists(&stage, &order).await, 3 * 5);
}

#[tokio::test]
async fn a_scheduled_run_lists_a_tail_beyond_50_000_segments_three_times() {
    let (stage, id) = with_flushed_segment(50_001).await;
    put(&stage, id, 0..50_000).await;
    // The tail is due until its flushed segment is deleted.
    let lists = lists(&stage, &CompactorEvent::Scheduled);
    assert_eq!(lists.await, 51 + 51 + 50);
}
