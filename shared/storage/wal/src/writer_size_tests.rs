//! Tests of large requests and batches: when they are put, and in how many segments.

use super::*;
use crate::{EncodedRows, ImportProgress, MAX_SEGMENT_BYTES, batch::SHARED_SEGMENT_BYTES};

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait_for_the_end_of_the_flush_interval() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    setup.write(setup.world.request(0)).await.unwrap();
    let half = |seed| vec![random_rows(seed, 600 << 10)];
    let one = setup.begin(setup.world.request_of(half(1))).await;
    setup.wait(200 * MS).await;
    assert_eq!(setup.puts(), 1);
    let now = setup.world.bucket.clock().now().unwrap();
    let other = setup.begin(setup.world.request_of(half(2))).await;
    let stamp = other.await.unwrap().unwrap().stamp;
    assert_eq!(one.await.unwrap().unwrap().stamp, stamp);
    assert!(stamp.time().since(now) < 100 * MS);
    assert_eq!(setup.puts(), 2);
}

/// Returns rows that are too large for a segment of several requests.
fn large_rows() -> Vec<EncodedRows> {
    (0..3).map(|seed| random_rows(seed, 7 << 20)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_one_segment_of_its_own() {
    let setup = WriterFixture::local().await;
    let before = setup.begin(setup.world.request(7)).await;
    let large = setup.begin(setup.world.request_of(large_rows())).await;
    let after = setup.begin(setup.world.request(8)).await;
    let mut stamps = Vec::new();
    for task in [before, large, after] {
        stamps.push(task.await.unwrap().unwrap().stamp);
    }
    let mut times = setup.times().await;
    times.sort();
    assert!(times.contains(&vec![0, 1, 2]), "{times:?}");
    assert!(stamps.is_sorted());
    let segments = setup.segments().await;
    let large = segments.iter().find(|one| one.name().stamp == stamps[1]);
    assert!(large.unwrap().size_bytes() > SHARED_SEGMENT_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_all_of_a_large_request_or_nothing() {
    let failures = [
        ScriptedPut::Rejects,
        ScriptedPut::Lost,
        ScriptedPut::AnswerLost,
        ScriptedPut::Hang,
        ScriptedPut::NoDate,
        ScriptedPut::DateOff(60),
    ];
    // The failure of each PUT that the request may send: it sends only one.
    for failure in failures {
        for earlier in 0..2 {
            let setup = WriterFixture::local().await;
            let mut script = vec![ScriptedPut::After(MS); earlier];
            script.push(failure);
            setup.world.store.script_puts(&script);
            let written = setup.write(setup.world.request_of(large_rows())).await;
            assert_eq!(written.is_ok(), earlier > 0, "{failure:?}");
            assert_eq!(setup.puts(), 1, "{failure:?}");
            let times = setup.times().await;
            assert!(times.is_empty() || times == [vec![0, 1, 2]], "{failure:?}: {times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_fit_no_segment_are_refused() {
    let setup = WriterFixture::local().await;
    let rows = random_rows(0, MAX_SEGMENT_BYTES);
    let error = setup.write(setup.world.request_of(vec![rows])).await.unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::TooLarge);
    let error = setup.write(setup.world.request_of(Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::BadRequest);
    assert_eq!(setup.writer.stats().in_flight_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_that_never_fit_in_the_memory_for_segments_are_refused_as_too_large() {
    let settings = TailWriterSettings { max_in_flight_bytes: 1 << 20, ..TailWriterSettings::LOCAL };
    let setup = WriterFixture::new(settings).await;
    let rows = vec![random_rows(0, 2 << 20)];
    let error = setup.write(setup.world.request_of(rows)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (WriteErrorKind::TooLarge, None));
    assert_eq!(setup.puts(), 0);
}

#[tokio::test(start_paused = true)]
async fn rows_of_an_import_job_are_in_one_segment_with_its_progress() {
    let setup = WriterFixture::local().await;
    let progress = ImportProgress { job: ulid::Ulid(7), rows: 12, is_permanent: false };
    for times in [vec![], vec![1], vec![2, 3]] {
        let rows = times.iter().map(|time| setup.world.request(*time).rows.remove(0));
        let request = WriteRequest {
            progress: Some(progress),
            ..setup.world.request_of(rows.collect())
        };
        setup.write(request).await.unwrap();
    }
    let segments = setup.segments().await;
    assert_eq!(segments.len(), 3);
    assert!(segments.iter().all(|one| one.progress() == [progress]));
    assert_eq!(setup.times().await, [vec![], vec![1], vec![2, 3]]);
}
