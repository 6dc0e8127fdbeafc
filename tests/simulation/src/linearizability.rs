//! Checks that strict writes and deletes of several instances are linearizable with concurrent queries: each takes
//! effect at one instant between its request and its answer.
//!
//! Clients write, delete and query one cell. A history of their answers is accepted if an order of effects explains it.
//! A request without an answer may take effect at any time, or never.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use neap_bucket::{ProtocolMargins, ProtocolRules, WriteOrder};
use neap_test_inputs::cases;

use crate::{
    actors::ActorContext,
    instance::{DATABASE, DATABASE_NAME, InstanceSlot},
    network::SimulationContext,
    query::QueryConsistency,
    random::SeededRandom,
    rows::{HOSTS, Rows},
    scenario::first_cell,
    schedule::{ScheduleMix, ScheduleParameters},
    simulate::{create_world, run},
    simulated_store::StoreBehavior,
    write::{GeneratedDelete, GeneratedWrite},
};

const CLIENTS: usize = 3;
const REQUESTS: usize = 7;

/// The number of seeds that run with the rules of the protocol in a whole run.
const SEEDS: u32 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellOperation {
    Write(i64),
    Delete,
    Read(Option<i64>),
}

/// A request with the times when it began and was answered; `end` is `None` if it was not answered or not acknowledged.
#[derive(Clone, Copy, Debug)]
struct HistoryEvent {
    effect: CellOperation,
    begin: Duration,
    end: Option<Duration>,
}

/// Whether an order of effects explains a history of at most 64 events.
fn is_linearizable(history: &[HistoryEvent]) -> bool {
    let answered: u64 = (0..history.len())
        .filter(|place| history[*place].end.is_some())
        .fold(0, |set, place| set | 1 << place);
    let mut seen = BTreeSet::new();
    let mut open = vec![(0_u64, None::<i64>)];
    while let Some((done, value)) = open.pop() {
        if done & answered == answered {
            return true;
        }
        if !seen.insert((done, value)) {
            continue;
        }
        let left = || (0..history.len()).filter(move |place| done >> place & 1 == 0);
        // The next event must have begun before any other remaining event was answered.
        let ends = left().filter_map(|place| history[place].end);
        let first_end = ends.min().unwrap_or(Duration::MAX);
        for place in left().filter(|place| history[*place].begin <= first_end) {
            let after = match history[place].effect {
                CellOperation::Write(written) => Some(written),
                CellOperation::Delete => None,
                CellOperation::Read(read) if read == value => value,
                CellOperation::Read(_) => continue,
            };
            open.push((done | 1 << place, after));
        }
    }
    false
}

#[test]
fn only_histories_with_an_order_are_linearizable() {
    let event = |effect, begin, end: Option<u64>| HistoryEvent {
        effect,
        begin: Duration::from_secs(begin),
        end: end.map(Duration::from_secs),
    };
    let one = event(CellOperation::Write(1), 0, Some(1));
    let two = event(CellOperation::Write(2), 2, Some(3));
    let read = |value, begin| event(CellOperation::Read(value), begin, Some(begin + 1));
    assert!(is_linearizable(&[one, two, read(Some(2), 4)]));
    assert!(!is_linearizable(&[one, two, read(Some(1), 4)]));
    let concurrent = event(CellOperation::Write(2), 0, Some(3));
    assert!(is_linearizable(&[one, concurrent, read(Some(1), 4)]));
    assert!(!is_linearizable(&[one, concurrent, read(Some(2), 4), read(Some(1), 6)]));
    let delete = event(CellOperation::Delete, 2, Some(3));
    assert!(!is_linearizable(&[one, delete, read(Some(1), 4)]));
    let lost = event(CellOperation::Delete, 2, None);
    assert!(is_linearizable(&[one, lost, read(Some(1), 4), read(None, 6)]));
    assert!(is_linearizable(&[one, lost, read(Some(1), 4), read(Some(1), 6)]));
    assert!(!is_linearizable(&[one, lost, read(None, 4), read(Some(1), 6)]));
}

/// Hosts with differing clocks, `Date`s of whole seconds, and a network that loses some answers.
const MIX: ScheduleMix = ScheduleMix {
    trouble: &[0.0, 0.05],
    freeze: &[0.0, 0.01],
    kill: &[0.0],
    latency: &[2, 20, 200],
    pace: &[0.1, 1.0],
    host_skew: &[0.0, 0.0, 0.5, 2.0],
    wall_steps: false,
    ..ScheduleMix::WITHOUT_COMPACTION
};

/// Runs a client, which sends its requests one after the other to random instances.
async fn client(stage: ActorContext, places: Vec<Arc<InstanceSlot>>) -> Vec<HistoryEvent> {
    let world = Arc::clone(&stage.world);
    let mut events = Vec::new();
    for _ in 0..REQUESTS {
        world.pause(&[0.0, 0.02, 0.3, 1.0]).await;
        let instance = places[world.chance.below(places.len())].instance();
        let (begin, request) = (world.time.now(), stage.draw_request());
        let (effect, answered) = match world.chance.below(5) {
            0 | 1 => match instance.ask(DATABASE, QueryConsistency::Strong).await {
                Some(answer) => {
                    let rows: Rows = answer.into_values().flatten().collect();
                    (CellOperation::Read(first_cell(&rows)), true)
                }
                None => continue,
            },
            2 => {
                let erasure = GeneratedDelete {
                    request,
                    table: None,
                    hosts: HOSTS.to_vec(),
                    times: (i64::MIN, i64::MAX),
                };
                let target = (DATABASE, DATABASE_NAME.to_owned());
                match instance.erase_from(&target, &erasure, None).await {
                    // The table does not exist yet.
                    Ok(None) => continue,
                    erased => (CellOperation::Delete, erased.is_ok()),
                }
            }
            _ => {
                let content = GeneratedWrite {
                    order: WriteOrder::Strict,
                    ..GeneratedWrite::new(request, 0, "a")
                };
                let written = instance.write(&content, None).await;
                (CellOperation::Write(content.value(0)), written.is_ok())
            }
        };
        let end = answered.then(|| world.time.now());
        events.push(HistoryEvent { effect, begin, end });
    }
    events
}

async fn history(seed: u64, rules: ProtocolRules) -> Vec<HistoryEvent> {
    let chance = SeededRandom::new(seed);
    let drawn = ScheduleParameters::draw(&MIX, &chance);
    let choices = ScheduleParameters {
        store: StoreBehavior { fast: None, ..drawn.store },
        calls: usize::MAX,
        ..drawn
    };
    let world: Arc<SimulationContext> = create_world(chance, choices, rules, false).await;
    let stage = ActorContext::new(&world, &MIX);
    let places: Vec<_> =
        ["a", "b", "c"].map(|name| InstanceSlot::new(name, &world, &MIX, rules)).into();
    let clients = (0..CLIENTS).map(|_| client(stage.clone(), places.clone()));
    join_all(clients).await.into_iter().flatten().collect()
}

/// Returns the seeds whose histories have no order, and the number of answered requests.
fn non_linearizable_seeds(seeds: u64, rules: ProtocolRules) -> (Vec<u64>, usize) {
    let mut answered = 0;
    let broken = (0..seeds)
        .filter(|seed| {
            let history = run(history(*seed, rules));
            answered += history.iter().filter(|event| event.end.is_some()).count();
            !is_linearizable(&history)
        })
        .collect();
    (broken, answered)
}

#[test]
fn strict_writes_and_deletes_of_several_instances_are_linearizable() {
    let seeds = cases(SEEDS);
    let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
    let (broken, answered) = non_linearizable_seeds(seeds.into(), rules);
    println!("{answered} requests answered in {seeds} histories");
    assert!(broken.is_empty(), "{broken:?}");
    assert!(answered > 10 * usize::try_from(seeds).unwrap());
}

#[test]
fn without_following_the_tail_writes_and_deletes_are_not_linearizable() {
    let weakened = ProtocolRules {
        tail_is_followed: false,
        ..ProtocolRules::new(ProtocolMargins::NETWORK)
    };
    let (broken, _) = non_linearizable_seeds((SEEDS / 10).into(), weakened);
    assert!(!broken.is_empty());
}
