//! Simulates engines, writers and a garbage collector running concurrently on a faulty store, from one seed; and
//! crashes at every request of a short run.
//!
//! Invariants: every trigger processes every acknowledged segment; the collector deletes no acknowledged segment that a
//! trigger has not processed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::cluster::{
    FakePluginState, HOUR, MINUTE, SECOND, TestCluster, TestProcess, TestProcessOptions, exception,
    finished, on_writes,
};
use futures::future::FutureExt;
use neap_bucket::{
    Bucket, CallPhase, Entropy, FaultyStore, Key, Operation, ProtocolMargins, Stamp, StoreCall,
    StoreFaults, World,
};
use neap_catalog::{ErrorBehavior, NewTrigger, TriggerSpecification};
use neap_compact::{
    CompactParts, Compactor, CompactorEvent, CompactorSettings, FlushLimits, FlushTriggers,
    GarbageCollectorSettings, MergePolicy,
};

/// The oracle, which is hidden from the engines: acknowledged writes with their tables.
#[derive(Debug, Default)]
struct DeliveryOracle {
    acknowledged: BTreeMap<Stamp, &'static str>,
    /// Acknowledged segments that were deleted before all triggers had processed them.
    violations: Vec<String>,
}

/// Maximum number of segments left at the end: segments for which no flush is due, and segments of the last minutes.
const MAX_REMAINING_SEGMENTS: usize = 40;

/// Interval of checks whether everything is delivered.
const SETTLE_CHECK_INTERVAL: Duration = Duration::from_secs(120);

const TRIGGERS: [&str; 3] = ["serial", "parallel", "of_b"];

fn triggers() -> [NewTrigger; 3] {
    [
        NewTrigger { error_behavior: ErrorBehavior::Retry, ..on_writes("serial") },
        NewTrigger {
            run_async: true,
            error_behavior: ErrorBehavior::Retry,
            ..on_writes("parallel")
        },
        NewTrigger {
            specification: TriggerSpecification::SingleTableWalWrite { table_name: "b".to_owned() },
            error_behavior: ErrorBehavior::Retry,
            ..on_writes("of_b")
        },
    ]
}

/// Returns the triggers without a successful run for a segment.
fn unseen(played: &FakePluginState, stamp: Stamp, table: &str) -> Vec<&'static str> {
    let succeeded = played.succeeded.lock().unwrap();
    let has_seen = |trigger: &str| {
        (trigger == "of_b" && table != "b")
            || succeeded.iter().any(|(of, name)| of == trigger && name.stamp == stamp)
    };
    TRIGGERS.into_iter().filter(|trigger| !has_seen(trigger)).collect()
}

fn faults() -> StoreFaults {
    StoreFaults {
        delay: 0.3,
        longest_delay: Duration::from_millis(800),
        unavailable: 0.03,
        lost_reply: 0.03,
        late_landing: 0.02,
        longest_landing: 20 * SECOND,
        refused_after_effect: 0.05,
        refused_without_effect: 0.05,
        // The rules assume a store with a single clock.
        date_skew: Duration::ZERO,
        page_keys: Some(3),
    }
}

struct Simulation {
    stage: TestCluster,
    oracle: Arc<Mutex<DeliveryOracle>>,
    chance: Entropy,
    is_sole: bool,
}

impl Simulation {
    fn draw(&self, below: u64) -> u64 {
        self.chance.next_u64() % below
    }

    async fn pause(&self, longest: Duration) {
        self.stage.sleep(self.chance.below(longest)).await;
    }

    async fn process(&self, number: usize) -> TestProcess {
        let cast = TestProcessOptions {
            sole_writer: self.is_sole,
            faults: StoreFaults::default(),
            seed: self.chance.next_u64(),
            max_queued: [2, 1_000][usize::from(self.draw(3) > 0)],
            ..TestProcessOptions::default()
        };
        let process = self.stage.process(number, cast).await;
        process.store.set_faults(faults());
        process.start();
        process
    }

    /// Runs a process that writes, crashes and restarts.
    async fn live(&self, number: usize, rounds: usize) -> TestProcess {
        let mut process = self.process(number).await;
        for round in 0..rounds {
            self.pause(4 * SECOND).await;
            let table = ["a", "b"][usize::from(self.draw(2) == 0)];
            let time = 1_000 * number + round;
            let line = format!("{table} v=1 {time}");
            let written = process.write("db", &line);
            match self.draw(25) {
                0 => {
                    // The process crashes during a write.
                    let limit = self.chance.below(SECOND);
                    process.bucket.world().timeout(limit, written).await;
                    process.crash().await;
                    self.pause(30 * SECOND).await;
                    process = self.process(number).await;
                }
                1 if !self.is_sole => {
                    written.await.ok();
                    process.notices.are_lost.store(true, Ordering::Relaxed);
                }
                2 => {
                    written.await.ok();
                    let stop = process.bucket.world().timeout(MINUTE, process.stop()).await;
                    assert!(stop.is_some(), "it did not stop");
                    process = self.process(number).await;
                }
                _ => {
                    if let Ok(stamp) = written.await {
                        self.oracle.lock().unwrap().acknowledged.insert(stamp, table);
                    }
                    process.notices.are_lost.store(false, Ordering::Relaxed);
                }
            }
        }
        process
    }

    /// Returns the acknowledged segments that some trigger has not processed.
    fn unseen(&self) -> Vec<String> {
        let oracle = self.oracle.lock().unwrap();
        let acknowledged = oracle.acknowledged.iter();
        let unseen = acknowledged.filter_map(|(stamp, table)| {
            let unseen = unseen(&self.stage.played, *stamp, table);
            (!unseen.is_empty()).then(|| format!("{stamp} by {unseen:?}"))
        });
        unseen.collect()
    }

    /// Waits until everything is delivered and collected, at most 1 hour.
    async fn settle(&self) {
        for _ in 0..HOUR.as_secs() / SETTLE_CHECK_INTERVAL.as_secs() {
            self.stage.sleep(SETTLE_CHECK_INTERVAL).await;
            if self.unseen().is_empty()
                && self.stage.segments().await.len() < MAX_REMAINING_SEGMENTS
            {
                return;
            }
        }
    }

    /// Creates a compactor whose deletions are checked against the oracle.
    fn compactor(&self, process: &TestProcess) -> Compactor {
        let (oracle, played) = (Arc::clone(&self.oracle), Arc::clone(&self.stage.played));
        let hook = move |call: &StoreCall| {
            if call.operation == Operation::Delete && call.phase == CallPhase::Before {
                let Ok(Key::Segment(_, name)) = call.key.parse() else {
                    return std::future::ready(()).boxed();
                };
                let mut oracle = oracle.lock().unwrap();
                if let Some(table) = oracle.acknowledged.get(&name.stamp) {
                    let unseen = unseen(&played, name.stamp, table);
                    if !unseen.is_empty() {
                        oracle.violations.push(format!("{} by {unseen:?}", name.stamp));
                    }
                }
            }
            std::future::ready(()).boxed()
        };
        let world = World::seeded(Arc::clone(&self.stage.clock) as _, self.chance.next_u64());
        let inner = Arc::clone(&self.stage.store) as _;
        let store = FaultyStore::new(inner, world.clone(), StoreFaults::default())
            .with_hook(Arc::new(hook));
        let parts = CompactParts {
            bucket: Bucket::new(Arc::new(store), world),
            margins: ProtocolMargins::LOCAL,
            rules: process.rules,
            flush: FlushLimits::default(),
            merge: MergePolicy::default(),
            collect: GarbageCollectorSettings::default(),
            settings: CompactorSettings {
                triggers: FlushTriggers { segments: 5, ..FlushTriggers::default() },
                ..CompactorSettings::default()
            },
        };
        parts.assemble(None)
    }

    async fn compact(&self, compactor: &Compactor) {
        loop {
            self.pause(40 * SECOND).await;
            let event = match self.draw(4) {
                0 => CompactorEvent::Collect,
                _ => CompactorEvent::Scheduled,
            };
            compactor.handle(&event, None).await.unwrap();
        }
    }
}

#[derive(Clone, Copy)]
struct SimulationOptions {
    seed: u64,
    is_sole: bool,
    /// The number of writes of each process.
    rounds: usize,
}

/// Runs a simulation and returns the number of acknowledged writes.
async fn simulate(schedule: SimulationOptions) -> usize {
    let SimulationOptions { seed, is_sole, rounds } = schedule;
    let stage = TestCluster::new();
    let chance = Entropy::from_seed(seed);
    let scene = Simulation { stage, oracle: Arc::default(), chance, is_sole };
    let founder = scene.stage.other(9).await;
    for trigger in triggers() {
        founder.create("db", trigger).await;
    }
    let (failing, clock) = (Arc::new(Entropy::from_seed(seed ^ 1)), Arc::clone(&scene.stage.clock));
    scene.stage.played.play(move |_| {
        let fails = failing.next_u64() % 10 == 0;
        let took = neap_bucket::Clock::sleep(&*clock, failing.below(2 * SECOND));
        async move {
            took.await;
            if fails {
                Err(exception())
            } else {
                Ok(finished())
            }
        }
    });
    let compactor = scene.compactor(&founder);
    let lives = async {
        if is_sole {
            vec![scene.live(1, rounds).await]
        } else {
            let (one, two) = futures::join!(scene.live(1, rounds), scene.live(2, rounds));
            vec![one, two]
        }
    };
    let processes = tokio::select! {
        processes = lives => processes,
        () = scene.compact(&compactor) => unreachable!("it compacts for ever"),
    };
    for process in &processes {
        process.store.set_faults(StoreFaults::default());
        process.notices.are_lost.store(false, Ordering::Relaxed);
    }
    tokio::select! {
        () = scene.settle() => {}
        () = scene.compact(&compactor) => unreachable!("it compacts for ever"),
    }
    for process in &processes {
        process.stop().await;
    }
    let left = scene.stage.segments().await.len();
    assert!(left < MAX_REMAINING_SEGMENTS, "seed {seed}: {left} segments are kept");
    let violations = scene.oracle.lock().unwrap().violations.clone();
    assert_eq!(violations, [] as [String; 0], "seed {seed}");
    assert_eq!(scene.unseen(), [] as [String; 0], "seed {seed}");
    scene.oracle.lock().unwrap().acknowledged.len()
}

fn run(schedule: SimulationOptions) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulate(schedule))
}

/// Runs as many of `all` seeds as this run of the tests tries. Short simulations cover many seeds; long ones cover repeated
/// crashes of a process.
fn run_seeds(all: u32, is_sole: bool, rounds: usize) {
    let seeds = neap_test_inputs::seeds(all);
    let schedule = |seed| SimulationOptions { seed, is_sole, rounds };
    let acknowledged: usize = (0..seeds).map(|seed| run(schedule(seed))).sum();
    let least = usize::try_from(seeds).unwrap() * rounds / 4;
    assert!(acknowledged > least, "{acknowledged} acknowledged");
}

#[test]
fn every_acknowledged_segment_is_seen_by_every_trigger_of_two_engines() {
    run_seeds(6, false, 120);
}

#[test]
fn every_acknowledged_segment_is_seen_by_every_trigger_of_a_sole_writer() {
    run_seeds(6, true, 200);
}

#[test]
fn a_thousand_short_lives_of_two_engines_deliver_every_acknowledged_segment() {
    run_seeds(1_000, false, 8);
}

#[test]
fn a_thousand_short_lives_of_a_sole_writer_deliver_every_acknowledged_segment() {
    run_seeds(1_000, true, 12);
}

/// Runs a process that hangs forever at request `number`, and then a process that does not. Returns whether the request
/// was reached.
async fn crash_at(number: u64) -> bool {
    let stage = TestCluster::new();
    let founder = stage.other(9).await;
    for trigger in triggers() {
        founder.create("db", trigger).await;
    }
    let (calls, has_struck) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let (is_set, struck) = (Arc::new(AtomicBool::new(false)), Arc::clone(&has_struck));
    let has_begun = Arc::clone(&is_set);
    let hook = move |_: &StoreCall| {
        if is_set.load(Ordering::Relaxed) && calls.fetch_add(1, Ordering::Relaxed) >= number {
            struck.store(true, Ordering::Relaxed);
            return std::future::pending().boxed();
        }
        std::future::ready(()).boxed()
    };
    let cast = TestProcessOptions {
        sole_writer: true,
        hook: Some(Arc::new(hook)),
        ..TestProcessOptions::default()
    };
    let mut acknowledged = Vec::new();
    let first = Arc::clone(&stage.clock);
    let life = async {
        let process = stage.process(1, cast).await;
        has_begun.store(true, Ordering::Relaxed);
        process.start();
        for time in 0..4 {
            let table = ["a", "b"][time % 2];
            if let Ok(stamp) = process.write("db", &format!("{table} v=1 {time}")).await {
                acknowledged.push((stamp, table));
            }
            neap_bucket::Clock::sleep(&*first, 4 * SECOND).await;
        }
        neap_bucket::Clock::sleep(&*first, 2 * MINUTE).await;
        process.crash().await;
    };
    let limit = neap_bucket::Clock::sleep(&*stage.clock, 5 * MINUTE);
    tokio::select! {
        () = life => {}
        () = limit => {}
    }
    let second = stage.alone().await;
    second.start();
    stage.sleep(2 * MINUTE).await;
    for (stamp, table) in acknowledged {
        let unseen = unseen(&stage.played, stamp, table);
        assert!(unseen.is_empty(), "request {number}: {stamp} was not seen by {unseen:?}");
    }
    has_struck.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_request_loses_nothing() {
    let mut number = 0;
    while crash_at(number).await {
        number += 1;
    }
    assert!(number > 20, "{number} requests");
}
