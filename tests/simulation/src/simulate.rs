//! Runs one schedule from its seed: starts the actors, ends it, and runs the final checks.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use neap_bucket::ProtocolRules;
use neap_schema::ColumnType;
use tokio::task::JoinSet;

use crate::{
    actors::{ActorContext, client, flusher, querier},
    cache_actor::cacher,
    compactors::{collector, compactor, merger, planner},
    coverage::ProtocolStates,
    final_checks::finish,
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    jobs::{create_code, spawn_jobs},
    ledger::{ReportedOutcomes, ledger_writer},
    machine::VirtualTime,
    network::SimulationContext,
    operators::operator,
    oracle::{EventCounts, Invariant, SimulationOracle, Violation},
    plugin_actor::{create_triggers, plugin_engine},
    random::SeededRandom,
    rows::{TAG, WITNESSES},
    schedule::{ScheduleMix, ScheduleParameters},
    view_actor::refresher,
    view_rows::{VIEW_DATABASE, VIEW_DATABASE_NAME},
};

#[derive(Debug)]
pub(crate) struct ScheduleResult {
    pub(crate) violations: Vec<Violation>,
    pub(crate) calls: usize,
    pub(crate) acknowledged: usize,
    pub(crate) counts: EventCounts,
    pub(crate) states: BTreeSet<String>,
    pub(crate) time: Duration,
}

/// Runs the schedule of a seed in a separate runtime.
pub(crate) fn simulate(
    seed: u64,
    rules: ProtocolRules,
    mix: &ScheduleMix,
    tracing: bool,
) -> ScheduleResult {
    run(async { schedule(seed, rules, mix, tracing).await })
}

/// Runs a future in virtual time. Files are read on one other thread, and what it has read is taken only when nothing else
/// can run. So the order of events does not depend on how fast the thread is.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .global_queue_interval(u32::MAX)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Longer than any retention that an operator sets.
const UNLIMITED_RETENTION: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Creates a world with a database that contains only the table of the witnesses.
pub(crate) async fn create_world(
    chance: SeededRandom,
    choices: ScheduleParameters,
    rules: ProtocolRules,
    tracing: bool,
) -> Arc<SimulationContext> {
    let world = SimulationContext::new(VirtualTime::begin(), chance, choices, tracing);
    let founder = Instance::healthy(&world, "founder", rules);
    let database = founder.catalog.create_database(DATABASE_NAME, None).await.unwrap();
    assert_eq!(database, DATABASE);
    let (tags, fields) = ([TAG.to_owned()], [("id".to_owned(), ColumnType::Integer)]);
    let catalog = founder.catalog.create_table(DATABASE, WITNESSES, &tags, &fields).await.unwrap();
    let witnesses = catalog.value.table(WITNESSES).unwrap().id();
    founder
        .catalog
        .set_table_retention(DATABASE, witnesses, Some(UNLIMITED_RETENTION))
        .await
        .unwrap();
    if world.choices.cast.triggering {
        create_triggers(&founder).await;
    }
    let jobs = &world.choices.cast.jobs;
    if jobs.backing_up || jobs.copying {
        create_code(&founder).await;
    }
    if jobs.forwarding {
        let other = founder.catalog.create_database(VIEW_DATABASE_NAME, None).await;
        assert_eq!(other.unwrap(), VIEW_DATABASE);
    }
    let kept = world.choices.cast.kept();
    world.truth.oracle(|oracle| oracle.time_travel = kept);
    world
}

async fn schedule(
    seed: u64,
    rules: ProtocolRules,
    mix: &ScheduleMix,
    tracing: bool,
) -> ScheduleResult {
    let chance = SeededRandom::new(seed);
    let choices = ScheduleParameters::draw(mix, &chance).with_late_actors(mix, seed);
    let world = create_world(chance, choices.clone(), rules, tracing).await;
    world.trace("schedule", format_args!("{choices:?}"));
    let stage = ActorContext::new(&world, mix);
    let sayings = Arc::new(ReportedOutcomes::default());
    let mut actors = JoinSet::new();
    let place = |name: &str| InstanceSlot::new(name, &world, mix, rules);
    let serve = choices.sole_writer.then(|| InstanceSlot::of_sole_writer(&world, mix, rules));
    let writers = match &serve {
        Some(serve) => vec![Arc::clone(serve)],
        None => vec![place("writer a"), place("writer b")],
    };
    for number in 0..2 {
        actors.spawn(client(stage.clone(), number, writers.clone()));
        let flushing = serve
            .clone()
            .filter(|_| number == 0)
            .unwrap_or_else(|| place(&format!("flusher {number}")));
        actors.spawn(flusher(stage.clone(), flushing));
        let querying = serve.clone().unwrap_or_else(|| place(&format!("querier {number}")));
        actors.spawn(querier(stage.clone(), querying));
        if choices.ledger {
            let keeper = place(&format!("keeper {number}"));
            actors.spawn(ledger_writer(stage.clone(), keeper, Arc::clone(&sayings)));
        }
    }
    let cast = &choices.cast;
    for number in 0..if cast.collecting { 2 } else { 1 } {
        let place = InstanceSlot::of_collector(number, &world, mix, rules);
        actors.spawn(collector(stage.clone(), place));
    }
    for number in 0..2 {
        if cast.merging {
            actors.spawn(merger(stage.clone(), place(&format!("merger {number}"))));
        }
        if cast.planning {
            actors.spawn(planner(stage.clone(), place(&format!("planner {number}"))));
        }
    }
    if cast.compacting {
        actors.spawn(compactor(stage.clone(), place("compactor")));
    }
    for number in 0..if cast.caching { 2 } else { 0 } {
        actors.spawn(cacher(stage.clone(), place(&format!("cacher {number}"))));
    }
    for number in 0..if cast.viewing { 2 } else { 0 } {
        // A process that is configured as the only writer also writes the rows of views.
        let refreshing = serve.clone().unwrap_or_else(|| place(&format!("refresher {number}")));
        actors.spawn(refresher(stage.clone(), refreshing));
    }
    for number in 0..if cast.triggering { 2 } else { 0 } {
        actors.spawn(plugin_engine(stage.clone(), place(&format!("engine {number}"))));
    }
    if cast.expiring || cast.dropping || cast.renaming || cast.restoring || cast.destroying {
        actors.spawn(operator(stage.clone(), place("operator")));
    }
    spawn_jobs(&mut actors, &stage, |name, mix| InstanceSlot::new(name, &world, mix, rules));
    if cast.jobs.forwarding {
        stage.add_copy(VIEW_DATABASE, VIEW_DATABASE_NAME.to_owned());
    }
    tokio::select! {
        biased;
        ended = actors.join_next() => {
            let text = format!("an actor has ended: {ended:?}");
            world.truth.oracle(|oracle| oracle.fail(Invariant::NoUnexpectedError, text));
        }
        () = world.calls_used_up() => {}
    }
    world.trace("schedule", "is over");
    actors.abort_all();
    let calls = world.calls();
    let ending = AssertUnwindSafe(finish(&stage, rules, &sayings));
    if ending.catch_unwind().await.is_err() {
        let fail = |oracle: &mut SimulationOracle| {
            oracle.fail(Invariant::NoUnexpectedError, "the final checks panicked")
        };
        world.truth.oracle(fail);
    }
    world.truth.oracle(|oracle| {
        // If the store's clock went back, no order of writes is guaranteed.
        if !mix.store_steps {
            oracle.check_order();
        }
        oracle.check_drops();
        ScheduleResult {
            violations: std::mem::take(&mut oracle.violations),
            calls,
            acknowledged: oracle.acknowledged(),
            counts: oracle.counts,
            states: world.coverage.take(),
            time: world.time.now(),
        }
    })
}

/// The combined results of several seeds.
#[derive(Debug, Default)]
pub(crate) struct SeedSummary {
    pub(crate) seeds: usize,
    pub(crate) calls: usize,
    pub(crate) acknowledged: usize,
    pub(crate) counts: EventCounts,
    pub(crate) time: Duration,
    pub(crate) states: ProtocolStates,
    /// The seeds with violations, and the first violation of each.
    pub(crate) broken: Vec<(u64, Violation)>,
}

/// Runs the seeds on two threads until `enough` of them break an invariant. The threads take the seeds in order, so the
/// first broken seeds are the same in every run; only those are returned.
pub(crate) fn simulate_all(
    seeds: std::ops::Range<u64>,
    rules: ProtocolRules,
    mix: &ScheduleMix,
    enough: usize,
) -> SeedSummary {
    let next = AtomicU64::new(seeds.start);
    let broken = AtomicUsize::new(0);
    let tally = Mutex::new(SeedSummary::default());
    let work = || {
        while broken.load(Ordering::Relaxed) < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = simulate(seed, rules, mix, false);
            let mut tally = tally.lock().unwrap();
            tally.seeds += 1;
            tally.calls += outcome.calls;
            tally.acknowledged += outcome.acknowledged;
            tally.counts = tally.counts.and(outcome.counts);
            tally.time += outcome.time;
            tally.states.add(seed, outcome.states);
            if let Some(violation) = outcome.violations.into_iter().next() {
                broken.fetch_add(1, Ordering::Relaxed);
                tally.broken.push((seed, violation));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let mut tally = tally.into_inner().unwrap();
    tally.broken.sort_by_key(|(seed, _)| *seed);
    tally.broken.truncate(enough);
    tally
}
