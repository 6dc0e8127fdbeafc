//! Tests of the burst: PUTs that start before the flush interval ends.

use super::*;

const PUT: Duration = Duration::from_millis(10);

impl WriterFixture {
    async fn with_burst(flush_burst: u32) -> Self {
        let setup =
            Self::new(TailWriterSettings { flush_burst, ..TailWriterSettings::NETWORK }).await;
        setup.world.store.script_puts(&[ScriptedPut::After(PUT); 10_000]);
        setup
    }

    /// Writes as a client that sends a request after each answer, until an hour has passed. Flushes keep up.
    async fn write_for_an_hour(&self) {
        let clock = &self.world.bucket.world().clock;
        let (started_at, mut mark) = (clock.monotonic(), Stamp::ZERO);
        while clock.monotonic() - started_at < HOUR {
            let mut request = self.world.request(0);
            request.proof.mark = mark;
            mark = self.write(request).await.unwrap().stamp;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_writer_puts_at_the_latency_of_the_store_until_the_burst_is_used() {
    let setup = WriterFixture::with_burst(60).await;
    let mut times = Vec::new();
    for time in 0..=62 {
        let receipt = setup.write(setup.world.request(time)).await.unwrap();
        times.push(receipt.stamp.time());
    }
    assert!(times[60].since(times[0]) <= PUT * 61);
    assert!(times[61].since(times[0]) >= SECOND);
    assert!(times[62].since(times[61]) >= SECOND);
    assert_eq!(setup.writer.stats().burst_batches, 60);
    assert_eq!(setup.puts(), 63);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_busy_clients_costs_the_interval_and_the_burst() {
    for burst in [0, 60] {
        let setup = WriterFixture::with_burst(burst).await;
        let clients = [(); 3].map(|()| setup.write_for_an_hour());
        futures::future::join_all(clients).await;
        let early = usize::try_from(setup.writer.stats().burst_batches).unwrap();
        assert_eq!(early, burst as usize);
        // The last PUTs of the clients start when the hour is over.
        let most = 3_600 + burst as usize + 2;
        assert!((most - 5..=most).contains(&setup.puts()), "{}", setup.puts());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_writer_regains_the_burst() {
    let setup = WriterFixture::with_burst(3).await;
    for idle in [Duration::ZERO, 2 * SECOND, 60 * SECOND] {
        let before = setup.writer.stats().burst_batches;
        setup.wait(idle).await;
        let started_at = setup.world.bucket.clock().now().unwrap();
        let mut at_once = 0;
        while setup
            .write(setup.world.request(0))
            .await
            .unwrap()
            .stamp
            .time()
            .since(started_at)
            < SECOND / 2
        {
            at_once += 1;
        }
        let regained = setup.writer.stats().burst_batches - before;
        let expected = if idle == 2 * SECOND { 2 } else { 4 };
        assert_eq!(at_once, expected, "after {idle:?}");
        assert!(regained < expected, "{regained}");
    }
}

#[tokio::test(start_paused = true)]
async fn under_pressure_writers_do_not_use_the_burst() {
    let setup = WriterFixture::with_burst(60).await;
    let long_tail = || {
        let mut request = setup.world.request(0);
        request.proof.tail = Some(TailState {
            segments: 3_001,
            oldest: None,
            listed: request.proof.current_at,
        });
        request
    };
    setup.write(setup.world.request(0)).await.unwrap();
    let first = setup.write(long_tail()).await.unwrap().stamp;
    let second = setup.write(long_tail()).await.unwrap().stamp;
    assert!(second.time().since(first.time()) >= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn databases_have_bursts_of_their_own() {
    let setup = WriterFixture::with_burst(2).await;
    for database in [DATABASE, DatabaseId::new(9)] {
        let started_at = setup.world.bucket.clock().now().unwrap();
        for _ in 0..3 {
            let request = setup.world.request(0);
            let stamp = setup.writer.write(database, request).await.unwrap().stamp;
            assert!(stamp.time().since(started_at) < SECOND);
        }
    }
}
