//! Tests of group commit and the commit rules, in virtual time.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use neap_bucket::{GetOptions, Key, Operation, Stamp, StoreTime};
use neap_schema::{DatabaseId, TableId};

use super::*;
use crate::{
    BackpressureLimits, NotAcknowledged, Segment, StampError, WriteErrorKind,
    test_world::{DATABASE, ScheduledFreeze, ScriptedPut, TestWorld, batch_of_times, random_rows},
};

#[path = "writer_burst_tests.rs"]
mod burst;
#[path = "writer_delete_tests.rs"]
mod deletes;
#[path = "writer_order_tests.rs"]
mod order;
#[path = "writer_size_tests.rs"]
mod sizes;

type WriteResult = Result<WriteReceipt, WriteError>;

#[derive(Debug, Default)]
struct SegmentRecorder {
    put: Mutex<Vec<(DatabaseId, Arc<Segment>)>>,
    unknown: AtomicUsize,
}

impl SegmentObserver for SegmentRecorder {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.put.lock().unwrap().push((database, segment));
    }

    fn put_unknown(&self, _: DatabaseId) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }
}

struct WriterFixture {
    world: TestWorld,
    writer: TailWriter,
    recorder: Arc<SegmentRecorder>,
}

impl WriterFixture {
    async fn new(settings: TailWriterSettings) -> Self {
        Self::on(TestWorld::new().await, settings)
    }

    async fn local() -> Self {
        Self::new(TailWriterSettings::LOCAL).await
    }

    fn on(world: TestWorld, settings: TailWriterSettings) -> Self {
        let recorder = Arc::new(SegmentRecorder::default());
        let observer = Arc::clone(&recorder) as _;
        let writer = TailWriter::new(world.bucket.clone(), world.rules(), settings, Some(observer));
        Self { world, writer, recorder }
    }

    /// Starts a write. The request has joined the group commit when this returns.
    async fn begin(&self, request: WriteRequest) -> tokio::task::JoinHandle<WriteResult> {
        let writer = self.writer.clone();
        let task = tokio::spawn(async move { writer.write(DATABASE, request).await });
        tokio::task::yield_now().await;
        task
    }

    async fn write(&self, request: WriteRequest) -> WriteResult {
        self.writer.write(DATABASE, request).await
    }

    async fn wait(&self, duration: Duration) {
        self.world.bucket.world().clock.sleep(duration).await;
    }

    fn puts(&self) -> usize {
        self.world.store.count(Operation::Put)
    }

    /// Returns the segments in the store, in the order of their names.
    async fn segments(&self) -> Vec<Segment> {
        let objects = self.world.store.objects(Key::TAIL_PREFIX).await;
        let decode = |(key, object): (String, _)| match key.parse().unwrap() {
            Key::Segment(database, name) => Segment::decode(database, name, object).unwrap(),
            key => panic!("{key}"),
        };
        objects.into_iter().map(decode).collect()
    }

    /// Returns the times of the rows of each segment.
    async fn times(&self) -> Vec<Vec<i64>> {
        let times = |segment: Segment| segment.directory().iter().map(|e| e.min_time).collect();
        self.segments().await.into_iter().map(times).collect()
    }
}

/// One PUT for each flush interval.
const INTERVAL_ONLY: TailWriterSettings =
    TailWriterSettings { flush_burst: 0, ..TailWriterSettings::NETWORK };
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn doubt(written: WriteResult) -> NotAcknowledged {
    match written.unwrap_err() {
        WriteError::NotAcknowledged { doubt, .. } => doubt,
        error => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_write_is_put_at_once() {
    let setup = WriterFixture::new(TailWriterSettings::NETWORK).await;
    let now = setup.world.bucket.clock().now().unwrap();
    let stamp = setup.write(setup.world.request(7)).await.unwrap().stamp;
    assert_eq!(stamp.time(), now);
    assert_eq!(setup.puts(), 1);
    let segments = setup.segments().await;
    assert_eq!(segments[0].name().stamp, stamp);
    assert_eq!(segments[0].rows(TableId::new(1)).unwrap(), [batch_of_times(&[7])]);
    let stats = setup.writer.stats();
    assert_eq!((stats.puts, stats.rows, stats.refused), (1, 1, 0));
    assert_eq!(stats.bytes, segments[0].size_bytes() as u64);
    assert_eq!(stats.in_flight_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn writes_during_a_put_share_the_next_one_in_their_order() {
    for settings in [TailWriterSettings::LOCAL, TailWriterSettings::NETWORK] {
        let setup = WriterFixture::new(settings).await;
        setup.world.store.script_puts(&[ScriptedPut::After(500 * MS)]);
        let mut tasks = vec![setup.begin(setup.world.request(0)).await];
        for time in 1..=20 {
            setup.wait(10 * MS).await;
            tasks.push(setup.begin(setup.world.request(time)).await);
        }
        let mut stamps = BTreeSet::new();
        for task in tasks {
            stamps.insert(task.await.unwrap().unwrap().stamp);
        }
        assert_eq!(stamps.len(), 2);
        assert_eq!(setup.puts(), 2);
        assert_eq!(setup.times().await, [vec![0], (1..=20).collect()]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_put_waits_for_the_end_of_the_flush_interval() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    let first = setup.write(setup.world.request(0)).await.unwrap().stamp;
    setup.wait(200 * MS).await;
    let second = setup.begin(setup.world.request(1)).await;
    setup.wait(300 * MS).await;
    let third = setup.begin(setup.world.request(2)).await;
    let second = second.await.unwrap().unwrap().stamp;
    assert_eq!(second.time().since(first.time()).as_secs_f64().round(), 1.0);
    assert!(second.time().since(first.time()) >= SECOND);
    assert_eq!(third.await.unwrap().unwrap().stamp, second);
    assert_eq!(setup.puts(), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_puts_waiting_batches_and_disables_the_interval() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    setup.write(setup.world.request(1)).await.unwrap();
    let began = setup.world.bucket.world().clock.monotonic();
    let waiting = setup.begin(setup.world.request(2)).await;
    assert_eq!(setup.puts(), 1);
    setup.writer.begin_shutdown();
    waiting.await.unwrap().unwrap();
    setup.write(setup.world.request(3)).await.unwrap();
    assert_eq!(setup.times().await, [[1], [2], [3]]);
    let now = setup.world.bucket.world().clock.monotonic();
    assert!(now - began < INTERVAL_ONLY.flush_interval);
}

#[tokio::test(start_paused = true)]
async fn a_write_after_the_flush_interval_is_put_at_once() {
    let setup = WriterFixture::new(INTERVAL_ONLY).await;
    setup.write(setup.world.request(0)).await.unwrap();
    setup.wait(1100 * MS).await;
    let now = setup.world.bucket.clock().now().unwrap();
    let stamp = setup.write(setup.world.request(1)).await.unwrap().stamp;
    assert_eq!(stamp.time(), now);
}

#[tokio::test(start_paused = true)]
async fn pressure_doubles_the_interval_and_then_stops_writes() {
    let setup = WriterFixture::new(TailWriterSettings::NETWORK).await;
    let publish = |segments| {
        let mut request = setup.world.request(0);
        request.proof.tail =
            Some(TailState { segments, oldest: None, listed: request.proof.current_at });
        request
    };
    let first = setup.write(publish(3_001)).await.unwrap().stamp;
    let second = setup.write(publish(3_001)).await.unwrap().stamp;
    assert!(second.time().since(first.time()) >= 2 * SECOND);
    let error = setup.write(publish(10_001)).await.unwrap_err();
    assert!(matches!(error, WriteError::TailTooLong), "{error}");
    assert_eq!(error.retry_after(), Some(5 * SECOND));
    assert_eq!(setup.writer.stats().in_flight_bytes, 0);
    setup.wait(SECOND).await;
    setup.write(publish(3_000)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_writer_stops_without_flushes_and_resumes_after_a_flush() {
    let setup = WriterFixture::new(TailWriterSettings {
        pressure: BackpressureLimits { slow: 2, stop: 3 },
        ..TailWriterSettings::LOCAL
    })
    .await;
    let mut last = Stamp::ZERO;
    for time in 0..4 {
        last = setup.write(setup.world.request(time)).await.unwrap().stamp;
        setup.wait(SECOND).await;
    }
    let error = setup.write(setup.world.request(4)).await.unwrap_err();
    assert!(matches!(error, WriteError::TailTooLong), "{error}");
    let mut request = setup.world.request(5);
    request.proof.mark = last;
    setup.write(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn databases_do_not_wait_for_each_other() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::Hang]);
    let hanging = setup.begin(setup.world.request(0)).await;
    let other = DatabaseId::new(9);
    let written = setup.writer.write(other, setup.world.request(1)).await;
    assert!(written.is_ok());
    assert!(!hanging.is_finished());
}

#[tokio::test(start_paused = true)]
async fn rows_of_plugins_have_segments_of_their_own_by_depth() {
    let setup = WriterFixture::new(TailWriterSettings::NETWORK).await;
    let mut tasks = Vec::new();
    for (time, depth) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 0)] {
        let mut request = setup.world.request(time);
        request.depth = depth;
        tasks.push(setup.begin(request).await);
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut depths: Vec<_> = setup.segments().await;
    depths.sort_by_key(Segment::depth);
    let rows = |segment: &Segment| segment.tables().map(|table| table.rows).sum::<u64>();
    let of = |depth| depths.iter().filter(move |one| one.depth() == depth);
    for (depth, number) in [(0, 2), (1, 2), (2, 1)] {
        assert_eq!(of(depth).map(rows).sum::<u64>(), number);
    }
    let mut request = setup.world.request(5);
    request.depth = 1;
    request.proof.tail = Some(TailState {
        segments: 10_001,
        oldest: None,
        listed: request.proof.current_at,
    });
    let error = setup.write(request).await.unwrap_err();
    assert!(matches!(error, WriteError::TailTooLong), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_before_the_time_of_the_store_is_known() {
    let world = TestWorld::without_store_time(1000);
    let setup = WriterFixture::on(world, TailWriterSettings::LOCAL);
    let error = setup.write(setup.world.request(0)).await.unwrap_err();
    assert!(matches!(error, WriteError::NoClock), "{error}");
    assert_eq!((setup.puts(), error.stamp()), (0, None));
    setup.world.read_catalog().await;
    assert!(setup.write(setup.world.request(0)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_the_request_that_waited_too_long_is_refused() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::After(SECOND)]);
    let old = setup.world.request(1);
    setup.wait(4500 * MS).await;
    let current_at = setup.world.read_catalog().await;
    let under_way = setup.begin(setup.world.request(0)).await;
    let mut old = old;
    old.proof.current_at = current_at;
    old.proof.asked = setup.world.clock_reading();
    let old = setup.begin(old).await;
    let young = setup.begin(setup.world.request(2)).await;
    under_way.await.unwrap().unwrap();
    let error = old.await.unwrap().unwrap_err();
    let young = young.await.unwrap().unwrap();
    assert!(matches!(error, WriteError::WaitedTooLong { .. }), "{error}");
    assert_eq!(error.stamp(), Some(young.stamp));
    assert_eq!(error.kind(), WriteErrorKind::Unavailable);
    assert_eq!(setup.times().await, [vec![0], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_seen_only_by_the_wall_clock_counts() {
    let setup = WriterFixture::local().await;
    let request = setup.world.request(0);
    setup.world.clock.step_wall(6);
    let error = setup.write(request).await.unwrap_err();
    assert!(matches!(error, WriteError::WaitedTooLong { .. }), "{error}");
    assert_eq!(setup.puts(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_write_is_acknowledged_after_a_freeze_of_an_hour_at_any_step() {
    for is_still in [false, true] {
        let mut acknowledged = Vec::new();
        for reads_before in 0.. {
            let setup = WriterFixture::local().await;
            let mut request = setup.world.request(0);
            // The proof stays fresh, so that only the waiting time can exceed its limit.
            request.proof.current_at = request.proof.current_at.plus(2 * HOUR);
            setup.world.clock.freeze(ScheduledFreeze {
                reads_before,
                duration: HOUR,
                is_still,
                store: Arc::clone(&setup.world.store.clock),
            });
            let written = setup.write(request).await;
            if setup.world.clock.has_scheduled_freeze() {
                assert!(written.is_ok());
                break;
            }
            acknowledged.push(written.is_ok());
        }
        // The last reads of a clock do not affect the acknowledgement: the lane's read for its next step and, if the
        // monotonic clock stands still, the read of that clock after the read of the wall clock.
        let reads_after = if is_still { 2 } else { 1 };
        acknowledged.truncate(acknowledged.len() - reads_after);
        assert!(acknowledged.len() > 5, "the clock is read often");
        assert!(!acknowledged.contains(&true), "{acknowledged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_proof_is_refused() {
    let setup = WriterFixture::local().await;
    let mut request = setup.world.request(0);
    let now = request.proof.current_at;
    request.proof.current_at = now.minus(Duration::from_millis(5001));
    let error = setup.write(request).await.unwrap_err();
    assert!(matches!(error, WriteError::ProofExpired { .. }), "{error}");
    assert!(error.stamp().is_some());
    assert_eq!(setup.puts(), 0);
    let mut request = setup.world.request(0);
    request.proof.current_at = now.minus(4900 * MS);
    assert!(setup.write(request).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stamp_ahead_of_the_present_does_not_age_the_proof() {
    let setup = WriterFixture::local().await;
    let mut request = setup.world.request(0);
    let now = request.proof.current_at;
    let limit = setup.world.rules().acknowledgement_limit;
    // The stamp is 1 µs above this one, and must still be within the limit.
    let after = Stamp::new(now.plus(limit - MS), 0);
    request.after = Some(after);
    request.proof.current_at = now.minus(4900 * MS);
    assert!(setup.write(request).await.unwrap().stamp > after);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_at_or_below_the_mark() {
    let setup = WriterFixture::local().await;
    let mut request = setup.world.request(0);
    request.proof.mark = Stamp::end_of(request.proof.current_at.plus(SECOND));
    let error = setup.write(request).await.unwrap_err();
    assert!(matches!(error, WriteError::NotAboveMark { .. }), "{error}");
    assert_eq!(setup.puts(), 0);
}

#[tokio::test(start_paused = true)]
async fn writes_below_the_mark_pass_if_the_mark_is_not_checked() {
    let world = TestWorld::new().await;
    let rules = ProtocolRules { mark_is_checked: false, ..world.rules() };
    let writer = TailWriter::new(world.bucket.clone(), rules, TailWriterSettings::LOCAL, None);
    let mut request = world.request(0);
    request.proof.mark = Stamp::from_u64(u64::MAX);
    assert!(writer.write(DATABASE, request).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_date_is_far_from_its_stamp_is_not_acknowledged() {
    for (seconds, fits) in [(-6, false), (-5, true), (5, true), (6, false)] {
        let setup = WriterFixture::local().await;
        setup.world.store.script_puts(&[ScriptedPut::DateOff(seconds)]);
        let written = setup.write(setup.world.request(0)).await;
        let segments = setup.segments().await;
        assert_eq!(segments.len(), 1, "the segment exists all the same");
        assert_eq!(setup.recorder.put.lock().unwrap().len(), 1);
        if fits {
            assert!(written.is_ok(), "{seconds} s");
            continue;
        }
        let error = written.unwrap_err();
        assert_eq!(error.stamp(), Some(segments[0].name().stamp));
        assert!(matches!(doubt(Err(error)), NotAcknowledged::DateTooFar { .. }));
        assert_eq!(setup.puts(), 1, "it is not put again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_without_a_date_is_not_acknowledged() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::NoDate]);
    let written = setup.write(setup.world.request(0)).await;
    assert_eq!(doubt(written), NotAcknowledged::NoDate);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_took_long_by_any_clock_is_not_acknowledged() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::After(SECOND)]);
    let written = setup.begin(setup.world.request(0)).await;
    setup.wait(500 * MS).await;
    setup.world.clock.step_wall(20);
    assert!(matches!(doubt(written.await.unwrap()), NotAcknowledged::SlowPut { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_put_without_an_answer_is_unknown_and_not_repeated() {
    for (deed, exists) in
        [(ScriptedPut::AnswerLost, 1), (ScriptedPut::Lost, 0), (ScriptedPut::Hang, 0)]
    {
        let setup = WriterFixture::local().await;
        setup.world.store.script_puts(&[deed]);
        let error = setup.write(setup.world.request(0)).await.unwrap_err();
        assert!(error.stamp().is_some() && error.retry_after().is_some());
        assert!(matches!(doubt(Err(error)), NotAcknowledged::NoAnswer(_)));
        assert_eq!(setup.segments().await.len(), exists);
        assert_eq!(setup.puts(), 1);
        assert_eq!(setup.recorder.unknown.load(Ordering::Relaxed), 1);
        assert!(setup.recorder.put.lock().unwrap().is_empty());
        assert_eq!(setup.writer.stats().unknown, 1);
        setup.world.read_catalog().await;
        assert!(setup.write(setup.world.request(1)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_put_is_not_reported_to_the_observer() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::Rejects]);
    let error = setup.write(setup.world.request(0)).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused { .. }), "{error}");
    assert!(error.stamp().is_some());
    assert!(setup.recorder.put.lock().unwrap().is_empty());
    assert_eq!(setup.recorder.unknown.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn the_observer_has_each_segment_before_its_requests_are_answered() {
    let setup = WriterFixture::local().await;
    let stamp = setup.write(setup.world.request(4)).await.unwrap().stamp;
    let put = setup.recorder.put.lock().unwrap();
    let (database, segment) = &put[0];
    assert_eq!((*database, segment.name().stamp), (DATABASE, stamp));
    assert_eq!(segment.rows(TableId::new(1)).unwrap(), [batch_of_times(&[4])]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_does_not_stop_the_put_under_way() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::After(SECOND)]);
    let dropped = setup.begin(setup.world.request(0)).await;
    let queued = setup.begin(setup.world.request(1)).await;
    let neighbour = setup.begin(setup.world.request(2)).await;
    setup.wait(100 * MS).await;
    dropped.abort();
    queued.abort();
    neighbour.await.unwrap().unwrap();
    assert_eq!(
        setup.times().await,
        [vec![0], vec![2]],
        "what was dropped before its put began is not put"
    );
    assert_eq!(setup.writer.stats().in_flight_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_limit_in_flight_is_refused() {
    let probe = TestWorld::new().await;
    let one = checked_rows_size(&probe.request(0).rows, usize::MAX).unwrap();
    let setup = WriterFixture::new(TailWriterSettings {
        max_in_flight_bytes: 2 * one,
        ..TailWriterSettings::LOCAL
    })
    .await;
    setup.world.store.script_puts(&[ScriptedPut::After(SECOND)]);
    let first = setup.begin(setup.world.request(0)).await;
    let second = setup.begin(setup.world.request(1)).await;
    let error = setup.write(setup.world.request(2)).await.unwrap_err();
    assert!(
        matches!(error, WriteError::Overloaded { in_flight, .. } if in_flight == 2 * one),
        "{error}"
    );
    assert_eq!(error.retry_after(), Some(SECOND));
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert!(setup.write(setup.world.request(3)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_write_comes_after_the_stamp_that_it_names() {
    let setup = WriterFixture::local().await;
    let now = setup.world.bucket.clock().now().unwrap();
    let after = |ahead: Duration| {
        let mut request = setup.world.request(0);
        request.after = Some(Stamp::new(now.plus(ahead), 0));
        request
    };
    setup.world.store.script_puts(&[ScriptedPut::After(10 * MS)]);
    let tasks = [
        setup.begin(after(Duration::ZERO)).await,
        setup.begin(after(2 * SECOND)).await,
        setup.begin(after(30 * SECOND)).await,
        setup.begin(after(90 * SECOND)).await,
        setup.begin(setup.world.request(1)).await,
    ];
    let mut written = Vec::new();
    for task in tasks {
        written.push(task.await.unwrap());
    }
    let [first, second, later, never, plain] = <[WriteResult; 5]>::try_from(written).unwrap();
    assert!(first.is_ok());
    let second = second.unwrap().stamp;
    assert!(second > Stamp::new(now.plus(2 * SECOND), 0));
    assert_eq!(plain.unwrap().stamp, second);
    assert!(matches!(later, Err(WriteError::Stamp(StampError::Ahead { .. }))));
    assert_eq!(never.unwrap_err().kind(), WriteErrorKind::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_proof_counts_from_the_start_of_its_request() {
    let setup = WriterFixture::local().await;
    let mut request = setup.world.request(0);
    request.proof.asked = setup.world.clock_reading();
    setup.wait(5100 * MS).await;
    // The answer is late, and its `Date` is recent.
    request.proof.current_at = setup.world.bucket.clock().now().unwrap();
    request.arrived = setup.world.clock_reading();
    let error = setup.write(request).await.unwrap_err();
    assert!(matches!(error, WriteError::ProofExpired { .. }), "{error}");
    assert_eq!(setup.puts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_date_that_is_far_ahead_stops_writes_for_a_minute_and_no_longer() {
    for order in [WriteOrder::Clock, WriteOrder::Strict] {
        let setup = WriterFixture::local().await;
        let current_at = setup.world.bucket.clock().now().unwrap();
        setup.world.store.script_puts(&[ScriptedPut::DateOff(3600)]);
        let ahead = setup.write(setup.world.request(0)).await;
        assert!(matches!(doubt(ahead), NotAcknowledged::DateTooFar { .. }));
        let mut request = setup.world.request(1);
        request.order = order;
        request.proof.current_at = current_at;
        let error = setup.write(request).await.unwrap_err();
        assert!(matches!(error, WriteError::ProofExpired { .. }), "{error}");

        setup.wait(61 * SECOND).await;
        // An answer of a host whose clock is right.
        let (key, options) = (Key::RootCatalog, GetOptions::default());
        setup.world.bucket.get(&key, options).await.unwrap();
        let now = setup.world.bucket.clock().now().unwrap();
        assert!(now.since(current_at) < 120 * SECOND, "the wrong time is forgotten");
        let mut request = setup.world.request(2);
        request.order = order;
        let stamp = setup.write(request).await.unwrap().stamp;
        assert!(stamp.time().since(now) < SECOND, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_needs_the_newest_catalog_of_the_requests_that_are_in_it() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::After(SECOND)]);
    let under_way = setup.begin(setup.world.request(0)).await;
    let request = |version: u64, current_at: Option<StoreTime>| {
        let mut request = setup.world.request(1);
        request.proof.catalog_version = version;
        request.proof.current_at = current_at.unwrap_or(request.proof.current_at);
        request
    };
    let long_ago = setup.world.bucket.clock().now().unwrap().minus(60 * SECOND);
    let tasks = [
        setup.begin(request(4, None)).await,
        setup.begin(request(6, None)).await,
        setup.begin(request(9, Some(long_ago))).await,
    ];
    under_way.await.unwrap().unwrap();
    for (task, is_put) in tasks.into_iter().zip([true, true, false]) {
        assert_eq!(task.await.unwrap().is_ok(), is_put);
    }
    assert_eq!(setup.segments().await[1].needs_catalog(), 6);
}

#[test]
fn a_lane_restarts_after_its_runtime_is_dropped() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let (setup, waiting) = first.block_on(async {
        let setup = WriterFixture::local().await;
        setup.world.store.script_puts(&[ScriptedPut::Hang]);
        let under_way = setup.begin(setup.world.request(0)).await;
        let waiting = setup.begin(setup.world.request(1)).await;
        (setup, [under_way, waiting])
    });
    drop(first);
    assert!(waiting.iter().all(tokio::task::JoinHandle::is_finished));
    let stamp = runtime().block_on(async { setup.write(setup.world.request(2)).await });
    assert!(stamp.is_ok());
    assert_eq!(setup.writer.stats().in_flight_bytes, 0);
}
