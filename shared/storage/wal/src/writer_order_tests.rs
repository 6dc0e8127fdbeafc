//! Tests of strict order: requests are ordered after the segments of other instances, with one listing for each PUT.

use neap_bucket::{PutMode, SegmentName, Store, WriteOrder};

use super::*;

impl WriterFixture {
    /// Puts a segment of another instance whose stamp is ahead of this instance's clock.
    async fn put_elsewhere(&self, ahead: Duration) -> Stamp {
        let now = self.world.bucket.clock().now().unwrap();
        let request = self.world.request(0);
        let name = SegmentName { stamp: Stamp::new(now.plus(ahead), 9), nonce: 1 };
        let segment = Segment::encode(DATABASE, name, 9, 1, 0, &request.rows, Vec::new()).unwrap();
        let key = Key::Segment(DATABASE, name).to_string();
        let object = segment.object().clone();
        let put = self.world.store.memory.put(&key, object, PutMode::Overwrite);
        put.await.unwrap();
        name.stamp
    }

    fn strict(&self, time: i64) -> WriteRequest {
        WriteRequest { order: WriteOrder::Strict, ..self.world.request(time) }
    }

    fn lists(&self) -> usize {
        self.world.store.count(Operation::List)
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_write_is_ordered_after_earlier_segments_of_other_instances() {
    let setup = WriterFixture::local().await;
    let other = setup.put_elsewhere(900 * MS).await;
    let plain = setup.write(setup.world.request(1)).await.unwrap().stamp;
    assert!(plain < other);
    assert_eq!(setup.lists(), 0);
    let strict = setup.write(setup.strict(2)).await.unwrap().stamp;
    assert!(strict > other);
    assert_eq!(setup.lists(), 1);
    let later = setup.write(setup.world.request(3)).await.unwrap().stamp;
    assert!(later > strict);
    assert_eq!(setup.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_ordered_after_earlier_segments_of_other_instances() {
    let setup = WriterFixture::local().await;
    let other = setup.put_elsewhere(900 * MS).await;
    let request = setup.world.delete_request(1);
    let delete = setup.writer.delete(DATABASE, request).await.unwrap().stamp;
    assert!(delete > other);
    assert_eq!((setup.lists(), setup.puts()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_listing_serves_all_requests_of_a_put() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    setup.write(setup.world.request(0)).await.unwrap();
    let mut tasks = Vec::new();
    for time in 1..=10 {
        tasks.push(setup.begin(setup.strict(time)).await);
        tasks.push(setup.begin(setup.world.request(time)).await);
    }
    assert_eq!(setup.lists(), 0, "the batch is not formed yet");
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((setup.lists(), setup.puts()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_listing_only_the_strict_requests_of_a_put_are_refused() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    setup.write(setup.world.request(0)).await.unwrap();
    setup.world.store.delay_lists(30 * SECOND);
    let strict = setup.begin(setup.strict(1)).await;
    let plain = setup.begin(setup.world.request(2)).await;
    let error = strict.await.unwrap().unwrap_err();
    assert!(matches!(error, WriteError::TailNotListed { .. }), "{error}");
    assert_eq!(error.kind(), WriteErrorKind::Unavailable);
    assert!(error.retry_after().is_some() && error.stamp().is_none());
    plain.await.unwrap().unwrap();
    setup.world.store.delay_lists(Duration::ZERO);
    setup.write(setup.strict(3)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stamp_too_far_ahead_delays_strict_writes_and_an_implausible_one_is_ignored() {
    let setup = WriterFixture::local().await;
    setup.put_elsewhere(4000 * SECOND).await;
    setup.write(setup.strict(1)).await.unwrap();
    let ahead = setup.put_elsewhere(7 * SECOND).await;
    let error = setup.write(setup.strict(2)).await.unwrap_err();
    assert!(matches!(error, WriteError::Stamp(StampError::Ahead { .. })), "{error}");
    assert_eq!(setup.puts(), 1);
    assert_eq!(setup.writer.stats().stamps_not_followed, 1);
    setup.wait(3 * SECOND).await;
    assert!(setup.write(setup.strict(3)).await.unwrap().stamp > ahead);
}

#[tokio::test(start_paused = true)]
async fn a_monotonic_clock_that_stood_still_does_not_prevent_following_stamps() {
    let setup = WriterFixture::local().await;
    let frozen = Duration::from_secs(100);
    setup.world.clock.freeze(ScheduledFreeze {
        reads_before: 0,
        duration: frozen,
        is_still: true,
        store: Arc::clone(&setup.world.store.clock),
    });
    let mut strict = setup.strict(1);
    strict.proof.current_at = strict.proof.current_at.plus(frozen);
    let other = setup.put_elsewhere(frozen + 900 * MS).await;
    assert!(setup.write(strict).await.unwrap().stamp > other);
}
