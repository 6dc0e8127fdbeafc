//! Runs over many databases: their cost, their number of parallel requests, and the absence of starvation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use neap_bucket::{CallPhase, Key, KeyClass, Operation, PutMode, SegmentName, Stamp, StoreCall};
use neap_schema::DatabaseId;

use super::test_bed::{CompactTestBed, NOW};
use crate::{CompactionReport, Compactor, CompactorEvent, CompactorSettings, FlushLimits};

const MINUTE: Duration = Duration::from_secs(60);

/// Latency of a request, in simulated time.
const LATENCY: Duration = Duration::from_millis(25);

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's time is the simulated one"
)]
async fn latency() {
    tokio::time::sleep(LATENCY).await;
}

async fn run(compactor: &Compactor, limit: Option<Duration>) -> CompactionReport {
    compactor.handle(&CompactorEvent::Scheduled, limit).await.unwrap()
}

/// Current and maximum number of parallel requests.
#[derive(Debug, Default)]
struct RequestsInFlight {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl RequestsInFlight {
    /// Returns a hook that counts requests and delays each of them.
    fn hook(
        self: Arc<Self>,
    ) -> impl Fn(&StoreCall) -> BoxFuture<'static, ()> + Send + Sync + 'static {
        move |call: &StoreCall| match call.phase {
            CallPhase::Before => {
                let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
                self.most.fetch_max(now, Ordering::Relaxed);
                latency().boxed()
            }
            CallPhase::After => {
                self.now.fetch_sub(1, Ordering::Relaxed);
                std::future::ready(()).boxed()
            }
        }
    }

    fn maximum(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_thousand_databases_are_flushed_in_one_run_at_a_known_cost() {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(1_000).await;
    assert_eq!(databases.len(), 1_000);
    stage.pass(11 * MINUTE);
    let compactor = stage.compactor();
    let (report, counts) = stage.counted(run(&compactor, None)).await;
    assert_eq!((report.flushes, report.unfinished), (1_000, false));
    assert_eq!(report.failures, []);
    assert_eq!(stage.flushed(&databases).await, 1_000);
    // All tails and the root catalog once; for each database a listing, the manifest and the catalog for the flush and
    // for the plan, the segment, its bundle, a commit, and the record of the first manifest.
    let each = Operation::ALL.map(|operation| counts.requests(operation));
    assert_eq!(each, [1 + 5 * 1_000, 3 * 1_000, 1 + 1_000, 0]);

    // Flushed segments cannot be deleted yet, and cause no requests.
    stage.pass(MINUTE);
    let (report, counts) = stage.counted(run(&compactor, None)).await;
    assert_eq!(report, CompactionReport::default());
    assert_eq!(counts.to_string(), "1 list tail");

    // Now they are deleted: one GET of the manifest and one DELETE for each database.
    stage.pass(2 * MINUTE);
    let (report, counts) = stage.counted(run(&compactor, None)).await;
    assert_eq!((report.flushes, report.collected.segments), (0, 1_000));
    let each = Operation::ALL.map(|operation| counts.requests(operation));
    assert_eq!(each, [1 + 1_000, 0, 1, 1_000]);
}

/// Returns the simulated time and the maximum number of parallel requests, for a scheduled run and for a collection.
async fn simulated(
    stage: &mut CompactTestBed,
    parallel_databases: usize,
) -> [(Duration, usize); 2] {
    stage.settings = CompactorSettings { parallel_databases, ..CompactorSettings::default() };
    let mut simulated = [(Duration::ZERO, 0); 2];
    for (event, (time, most)) in
        [CompactorEvent::Scheduled, CompactorEvent::Collect].iter().zip(&mut simulated)
    {
        stage.pass(11 * MINUTE);
        let in_flight = Arc::new(RequestsInFlight::default());
        let compactor = stage.hooked(Arc::clone(&in_flight).hook());
        let started_at = tokio::time::Instant::now();
        let report = compactor.handle(event, None).await.unwrap();
        assert_eq!(report.failures, []);
        (*time, *most) = (started_at.elapsed(), in_flight.maximum());
    }
    simulated
}

#[tokio::test(start_paused = true)]
async fn databases_are_processed_in_parallel_up_to_the_setting() {
    let mut times = Vec::new();
    for parallel in [1, 16] {
        let mut stage = CompactTestBed::new().await;
        let databases = stage.write_databases(160).await;
        let simulated = simulated(&mut stage, parallel).await;
        assert_eq!(stage.flushed(&databases).await, 160);
        let most = simulated.map(|(_, most)| most);
        // A flush puts its objects in parallel, and also reads its segments in parallel.
        assert!(most.iter().all(|most| *most >= parallel), "{most:?}");
        assert!(most.iter().all(|most| *most <= parallel + 1), "{most:?}");
        times.push(simulated.map(|(time, _)| time));
    }
    // Requests that are made once for all databases take the same time.
    for (alone, together) in times[0].iter().zip(times[1]) {
        let once = 8 * LATENCY;
        assert!(together <= *alone / 16 + once, "{alone:?} {together:?}");
    }
}

/// Memory of the flushes in progress, by the bytes of their tails.
#[derive(Debug, Default)]
struct FlushMemory {
    active: BTreeMap<DatabaseId, u64>,
    most_bytes: u64,
    most_flushes: usize,
}

#[tokio::test(start_paused = true)]
async fn flushes_at_once_take_no_more_than_one_flush_may() {
    let mut stage = CompactTestBed::new().await;
    let whole = 60_000;
    stage.flush = FlushLimits { segment_bytes: whole, ..FlushLimits::default() };
    stage.settings.parallel_databases = 8;
    for (number, values) in
        [1, 1, 4_000, 1, 1, 1, 300, 300, 1, 1, 1, 4_000, 1, 1].iter().enumerate()
    {
        let text: String =
            (0..*values).map(|value| format!("{:x}", value * 7_919 % 65_521)).collect();
        let line = format!("m v=\"{text}\" {NOW}");
        for _ in 0..6 {
            stage.write(&format!("db{number}"), &line).await;
        }
    }
    stage.pass(11 * MINUTE);
    let memory = Arc::new(Mutex::new(FlushMemory::default()));
    let (seen, store) = (Arc::clone(&memory), Arc::clone(&stage.store));
    let compactor = stage.hooked(move |call: &StoreCall| {
        let (call, seen, store) = (call.clone(), Arc::clone(&seen), Arc::clone(&store));
        async move {
            match (call.operation, call.phase, call.key.parse()) {
                (Operation::Get, CallPhase::After, Ok(Key::Segment(database, _))) => {
                    let found = neap_bucket::Store::get(&*store, &call.key, Default::default());
                    let bytes = match found.await.unwrap().value {
                        neap_bucket::Get::Found(object) => object.bytes.len() as u64,
                        missing => panic!("{missing:?}"),
                    };
                    let mut seen = seen.lock().unwrap();
                    *seen.active.entry(database).or_default() += bytes;
                    let sum = seen.active.values().sum();
                    seen.most_bytes = seen.most_bytes.max(sum);
                    seen.most_flushes = seen.most_flushes.max(seen.active.len());
                }
                (Operation::Put, CallPhase::After, Ok(Key::Manifest(database))) => {
                    seen.lock().unwrap().active.remove(&database);
                }
                _ => latency().await,
            }
        }
        .boxed()
    });
    let report = run(&compactor, None).await;
    assert_eq!(report.failures, []);
    // Tails that are longer than their share are flushed in several parts.
    assert!(report.flushes >= 14, "{report:?}");
    let memory = memory.lock().unwrap();
    assert!(memory.most_flushes >= 4, "{memory:?}");
    assert!(memory.most_bytes <= whole, "{memory:?}");
    assert!(memory.most_bytes > whole / 2, "{memory:?}");
}

/// Duration of a flush without parallel work: short compared to request timeouts.
const FLUSH: Duration = Duration::from_millis(10);

/// Returns a function whose flushes take [`FLUSH`] each, one after the other. One segment of each database in `damaged`
/// is damaged.
fn slow(stage: &CompactTestBed, damaged: BTreeSet<DatabaseId>) -> Compactor {
    let pass = stage.clock_hand();
    stage.hooked(move |call: &StoreCall| {
        let is_flush = match (call.operation, call.phase, call.key.parse()) {
            (Operation::Put, CallPhase::Before, Ok(Key::Parquet(..))) => true,
            (Operation::Get, CallPhase::Before, Ok(Key::Segment(database, _))) => {
                damaged.contains(&database)
            }
            _ => false,
        };
        if is_flush {
            pass(FLUSH);
        }
        // Let other tasks run.
        tokio::task::yield_now().boxed()
    })
}

/// Puts an unreadable segment before all others of a database.
async fn damage(stage: &CompactTestBed, database: DatabaseId) {
    let name = SegmentName {
        stamp: Stamp::new(stage.bucket.clock().now().unwrap(), 0),
        nonce: 0,
    };
    let (key, body) = (Key::Segment(database, name), Bytes::from_static(b"damaged"));
    stage.bucket.put(&key, body, PutMode::Overwrite).await.unwrap();
}

/// Creates databases with one segment each; the tails of the first `damaged` ones start with a damaged segment.
async fn damaged_at_first(
    stage: &CompactTestBed,
    number: usize,
    damaged: usize,
) -> Vec<DatabaseId> {
    let databases = stage.write_databases(number).await;
    stage.scheduled(11 * MINUTE).await;
    stage.scheduled(3 * MINUTE).await;
    assert_eq!(stage.keys("tail/").await, [] as [String; 0]);
    for database in &databases[..damaged] {
        damage(stage, *database).await;
    }
    stage.pass(Duration::from_secs(1));
    stage.write_databases(number).await;
    stage.pass(11 * MINUTE);
    databases
}

/// Returns the number of databases that were flushed at least twice.
async fn flushed_again(stage: &CompactTestBed, databases: &[DatabaseId]) -> usize {
    let mut flushed = 0;
    for database in databases {
        let manifest = stage.manifests.read(*database, None).await.unwrap();
        flushed += usize::from(manifest.value.section_count() > 1);
    }
    flushed
}

#[tokio::test]
async fn with_time_for_a_hundred_databases_a_thousand_are_served_in_ten_runs() {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(1_000).await;
    stage.pass(11 * MINUTE);
    let compactor = slow(&stage, BTreeSet::new());
    for _ in 0..10 {
        let report = run(&compactor, Some(100 * FLUSH)).await;
        assert!(report.flushes <= 116, "{}", report.flushes);
        stage.pass(MINUTE);
        if stage.flushed(&databases).await == 1_000 {
            return;
        }
        assert!(report.unfinished && report.flushes >= 100);
    }
    panic!("{} were flushed", stage.flushed(&databases).await);
}

#[tokio::test]
async fn databases_that_fail_each_time_are_last_in_the_next_run_of_the_process() {
    let stage = CompactTestBed::new().await;
    let databases = damaged_at_first(&stage, 200, 10).await;
    let damaged: BTreeSet<_> = databases[..10].iter().copied().collect();
    let compactor = slow(&stage, damaged.clone());
    let mut failed = Vec::new();
    // 190 flushes and 10 failures in total; each run has time for 20 of them.
    for _ in 0..10 {
        let report = run(&compactor, Some(20 * FLUSH)).await;
        let failures = &report.failures;
        assert!(failures.iter().all(|(id, _)| damaged.contains(id)), "{failures:?}");
        failed.push(report.failures.len());
        stage.pass(MINUTE);
        if flushed_again(&stage, &databases).await == 190 {
            break;
        }
    }
    assert_eq!(flushed_again(&stage, &databases).await, 190);
    // Half of the first positions go to the oldest tails, which are those of the failing databases. Then the others come first,
    // so that only the run that flushes the last of them may try the failing ones again.
    let before_last = failed.iter().rev().skip(1);
    assert_eq!(before_last.sum::<usize>(), 10, "{failed:?}");
}

#[tokio::test]
async fn databases_that_fail_do_not_starve_others_even_if_each_run_is_a_new_process() {
    let stage = CompactTestBed::new().await;
    // More databases than there is time for have the oldest tails and fail: each run reaches about eight others.
    let databases = damaged_at_first(&stage, 200, 40).await;
    let damaged: BTreeSet<_> = databases[..40].iter().copied().collect();
    for _ in 0..60 {
        let report = run(&slow(&stage, damaged.clone()), Some(20 * FLUSH)).await;
        assert!(!report.failures.is_empty());
        stage.pass(MINUTE);
        if flushed_again(&stage, &databases).await == 160 {
            return;
        }
    }
    panic!("{} were flushed", flushed_again(&stage, &databases).await);
}

#[tokio::test]
async fn a_flush_that_hangs_is_cut_short_and_the_others_are_flushed() {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(40).await;
    stage.pass(11 * MINUTE);
    let hung = databases[0];
    let pass = stage.clock_hand();
    let compactor = stage.hooked(move |call: &StoreCall| {
        if call.phase == CallPhase::Before && call.key == Key::Manifest(hung).to_string() {
            return std::future::pending().boxed();
        }
        let is_put = call.operation == Operation::Put && call.phase == CallPhase::Before;
        if is_put && KeyClass::from_key(&call.key) == KeyClass::Data {
            pass(Duration::from_secs(1));
        }
        tokio::task::yield_now().boxed()
    });
    let report = run(&compactor, Some(MINUTE)).await;
    assert_eq!((report.flushes, report.failures.len()), (39, 1));
    let (failed, reason) = &report.failures[0];
    assert_eq!(*failed, hung);
    assert!(reason.contains("exceeded its time limit"), "{reason}");
}

#[tokio::test]
async fn collections_that_have_no_time_for_all_rotate() {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(200).await;
    stage.pass(11 * MINUTE);
    let looked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    // Each run is a new process.
    for _ in 0..40 {
        let (seen, pass) = (Arc::clone(&looked), stage.clock_hand());
        let compactor = stage.hooked(move |call: &StoreCall| {
            let is_read = call.operation == Operation::Get && call.phase == CallPhase::Before;
            if is_read && KeyClass::from_key(&call.key) == KeyClass::Manifest {
                seen.lock().unwrap().insert(call.key.clone());
                pass(Duration::from_secs(1));
            }
            tokio::task::yield_now().boxed()
        });
        let limit = Some(Duration::from_secs(20));
        let report = compactor.handle(&CompactorEvent::Collect, limit).await.unwrap();
        assert!(report.unfinished);
        stage.pass(30 * MINUTE);
    }
    assert_eq!(looked.lock().unwrap().len(), databases.len());
}

#[tokio::test]
async fn a_collection_with_nothing_to_do_has_a_fixed_cost_for_each_database() {
    let stage = CompactTestBed::new().await;
    stage.write_databases(100).await;
    stage.scheduled(11 * MINUTE).await;
    stage.scheduled(3 * MINUTE).await;
    let compactor = stage.compactor();
    let look = compactor.handle(&CompactorEvent::Collect, None);
    let (report, counts) = stage.counted(look).await;
    assert!(!report.unwrap().has_more());
    // The root catalog, query results, node records and, in the first collection of a process, code. For each database,
    // the manifest and the catalog for the collection and for the plan, the tail, and the data.
    let each = Operation::ALL.map(|operation| counts.requests(operation));
    assert_eq!(each, [1 + 4 * 100, 0, 3 + 2 * 100, 0], "{counts}");
}
