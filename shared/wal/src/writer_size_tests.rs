//! Tests of large requests and batches: when they are put, and in how many segments.

use super::*;
use crate::{EncodedRows, MAX_SEGMENT_BYTES};

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

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_a_segment_takes_several_in_order() {
    let rows: Vec<EncodedRows> = (0..3).map(|seed| random_rows(seed, 7 << 20)).collect();
    let setup = WriterFixture::local().await;
    let stamp = setup
        .write(setup.world.request_of(rows.clone()))
        .await
        .unwrap()
        .stamp;
    let segments = setup.segments().await;
    assert_eq!(segments.len(), 2);
    assert_eq!(segments[1].name().stamp, stamp);
    assert!(
        segments
            .iter()
            .all(|segment| segment.size_bytes() <= MAX_SEGMENT_BYTES)
    );
    assert_eq!(setup.times().await, [vec![0, 1], vec![2]]);

    let setup = WriterFixture::local().await;
    setup
        .world
        .store
        .script_puts(&[ScriptedPut::After(MS), ScriptedPut::Rejects]);
    let error = setup
        .write(setup.world.request_of(rows.clone()))
        .await
        .unwrap_err();
    assert!(error.stamp() > Some(setup.segments().await[0].name().stamp));
    assert!(matches!(doubt(Err(error)), NotAcknowledged::Partial(_)));

    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::Lost]);
    assert!(setup.write(setup.world.request_of(rows)).await.is_err());
    assert_eq!(setup.puts(), 1, "the rest of a failed request is not put");
}

#[tokio::test(start_paused = true)]
async fn rows_that_fit_no_segment_are_refused() {
    let setup = WriterFixture::local().await;
    let rows = random_rows(0, MAX_SEGMENT_BYTES);
    let error = setup
        .write(setup.world.request_of(vec![rows]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::TooLarge);
    let error = setup
        .write(setup.world.request_of(Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::BadRequest);
    assert_eq!(setup.writer.stats().in_flight_bytes, 0);
}
