//! Tests of write back-pressure: by the length of the tail, as published by flushers or counted by the instance itself;
//! and by the memory of the process.

use std::{convert::Infallible, time::Duration};

use neap_bucket::{CommitOutcome, Key, KeyClass, Operation, Register, RegisterChange, Stamp};
use neap_manifest::Manifest;
use neap_memory::{MemoryMonitor, PressureLevel};
use neap_wal::{BackpressureLimits, DeleteLimits, TailState, TailWriterSettings};

use super::test_bed::{WriteInstance, WriteTestBed};

/// Publishes a tail of `segments` segments above a low-water mark, as a flusher does.
async fn publish(instance: &WriteInstance, mark: Option<Stamp>, segments: u64) {
    let root = instance.catalog.root(Duration::ZERO).await.unwrap();
    let database = root.value.database("d").unwrap();
    let bucket = instance.catalog.bucket().clone();
    let listed = bucket.clock().now().unwrap();
    let register = Register::<Manifest>::new(bucket, Key::Manifest(database), 64);
    let commit = register.commit(None, |base| {
        let mut manifest = Manifest::successor(base);
        manifest.low_water_mark = mark.unwrap_or(manifest.low_water_mark);
        manifest.tail = Some(TailState { segments, oldest: None, listed });
        Ok::<_, Infallible>(RegisterChange::Put(manifest, ()))
    });
    assert!(matches!(commit.await, Ok(CommitOutcome::Committed { .. })));
}

const LINE: &str = "cpu,host=a usage=1 1";

#[tokio::test(start_paused = true)]
async fn all_instances_refuse_writes_within_five_seconds_of_a_backlog_and_resume_after_it() {
    let (stage, flusher) = WriteTestBed::with_instance();
    assert_eq!(flusher.write("d", LINE).await.status, 204);
    let writers = [stage.instance(), stage.instance()];
    for writer in &writers {
        assert_eq!(writer.write("d", LINE).await.status, 204);
    }
    publish(&flusher, None, 10_001).await;
    stage.sleep(Duration::from_secs(5)).await;
    for writer in &writers {
        let (reply, counts) = writer.counted(writer.write("d", LINE)).await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert_eq!(reply.headers["retry-after"], "5");
        assert!(reply.body.contains("too many segments"), "{}", reply.body);
        // The manifest is read for the revalidation and for nothing else.
        assert_eq!(counts.of(Operation::Get, KeyClass::Manifest).requests, 1);
        assert_eq!(counts.requests(Operation::Put), 0);
        // The next request is refused from the cached state.
        let (reply, counts) = writer.counted(writer.write("d", LINE)).await;
        assert_eq!((reply.status, counts.to_string().as_str()), (503, "nothing"));
    }
    publish(&flusher, None, 20).await;
    stage.sleep(Duration::from_secs(5)).await;
    for writer in &writers {
        assert_eq!(writer.write("d", LINE).await.status, 204);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_creates_no_table_and_is_refused_with_no_sync_as_well() {
    let (stage, writer) = WriteTestBed::with_instance();
    assert_eq!(writer.write("d", LINE).await.status, 204);
    publish(&writer, None, 10_001).await;
    stage.sleep(Duration::from_secs(5)).await;
    assert_eq!(writer.write("d", "new,host=a v=1 1").await.status, 503);
    assert_eq!(writer.tables("d").await, ["cpu host,usage"]);
    let path = "/api/v3/write_lp?precision=second&db=d&no_sync=true";
    let reply = writer.post(path, LINE).await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    let path = "/api/v3/write_lp?precision=second&db=other";
    assert_eq!(writer.post(path, LINE).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn an_instance_refuses_writes_when_its_own_segments_are_not_flushed() {
    let stage = WriteTestBed::new();
    let writer = stage.instance_of_writer(TailWriterSettings {
        pressure: BackpressureLimits { slow: 2, stop: 4 },
        ..TailWriterSettings::LOCAL
    });
    let mut last = None;
    for _ in 0..5 {
        let reply = writer.write("d", LINE).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
        last = reply.stamp();
        stage.sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..3 {
        assert_eq!(writer.write("d", LINE).await.status, 503);
        stage.sleep(Duration::from_secs(5)).await;
    }
    publish(&writer, last.map(Stamp::from_u64), 0).await;
    stage.sleep(Duration::from_secs(5)).await;
    assert_eq!(writer.write("d", LINE).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn pending_deletes_in_the_tail_count_towards_the_limit() {
    let stage = WriteTestBed::new();
    let writer = stage.instance_of_writer(TailWriterSettings {
        deletes: DeleteLimits {
            // Ten deletes of a time range.
            pending_bytes: 1_760,
            ..DeleteLimits::DEFAULT
        },
        ..TailWriterSettings::LOCAL
    });
    assert_eq!(writer.write("d", LINE).await.status, 204);
    let body = r#"{"start": "1970-01-01T00:00:00Z", "stop": "1970-01-01T00:00:01Z", "predicate": "_measurement=cpu"}"#;
    let mut last = None;
    for number in 0..11 {
        let reply = writer.post("/api/v2/delete?bucket=d", body).await;
        assert_eq!(reply.status, 204, "{number}: {}", reply.body);
        last = reply.stamp();
    }
    let reply = writer.post("/api/v2/delete?bucket=d", body).await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert_eq!(reply.headers["retry-after"], "60");
    assert!(reply.body.contains("1936 bytes of deletes"), "{}", reply.body);
    publish(&writer, last.map(Stamp::from_u64), 0).await;
    stage.sleep(Duration::from_secs(1)).await;
    let reply = writer.post("/api/v2/delete?bucket=d", body).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_ten_seconds_while_memory_is_full_and_is_then_refused() {
    let stage = WriteTestBed::new();
    // The process holds more than one byte.
    let monitor = MemoryMonitor::new(1);
    assert_eq!(monitor.look(), PressureLevel::Exhausted);
    let writer = stage.instance_under(monitor.pressure());
    let started_at = tokio::time::Instant::now();
    let reply = writer.write("d", LINE).await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(started_at.elapsed().as_secs(), 10);
    assert_eq!(stage.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn writes_are_delayed_as_the_unflushed_bytes_approach_their_bound() {
    let stage = WriteTestBed::new();
    assert_eq!(stage.instance().write("d", LINE).await.status, 204);
    for (bytes, delay) in [(500, 0), (750, 250), (1_000, 1_000)] {
        let monitor = MemoryMonitor::new(usize::MAX).with_tail(1_000, move || bytes);
        monitor.look();
        let writer = stage.instance_under(monitor.pressure());
        let started_at = tokio::time::Instant::now();
        assert_eq!(writer.write("d", LINE).await.status, 204);
        let elapsed = started_at.elapsed();
        let expected = Duration::from_millis(delay)..Duration::from_millis(delay + 100);
        assert!(expected.contains(&elapsed), "{bytes} bytes: {elapsed:?}");
    }
}
