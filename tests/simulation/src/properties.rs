//! Without faults, answers equal those of a plain map, for any sequence of writes, deletes, flushes, merges,
//! collections, restarts and queries, including queries of earlier states.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Stamp, WriteOrder};
use neap_schema::DatabaseId;
use neap_test_inputs::cases;
use proptest::prelude::*;

use crate::{
    actor_mix::ActorSelection,
    compactors::{collect, merge_random},
    instance::{DATABASE, Instance},
    query::QueryConsistency,
    rows::{HOSTS, Rows, SECOND, merge_rows, shared_point},
    scenario::ScriptedScenario,
    schedule::ScheduleParameters,
    simulate::run,
    write::{GeneratedDelete, GeneratedWrite},
};

/// The time-travel period of the collector.
const TIME_TRAVEL: Duration = Duration::from_secs(30);

const POINTS: usize = 4;

#[derive(Clone, Debug)]
enum TestOperation {
    Write {
        instance: usize,
        cells: Vec<(usize, &'static str)>,
        new_column: bool,
        passes_back: bool,
        order: WriteOrder,
    },
    Delete {
        instance: usize,
        host: &'static str,
        days: (usize, usize),
    },
    Flush(usize),
    Merge(usize),
    Collect(usize),
    QueryEarlier {
        instance: usize,
        /// The number of requests since the requested state.
        requests: usize,
    },
    Query(usize),
    Restart(usize),
    Wait(u16),
}

const INSTANCES: usize = 3;

fn steps() -> impl Strategy<Value = Vec<TestOperation>> {
    let field = prop_oneof![Just("a"), Just("b")];
    let cells = proptest::collection::vec((0..POINTS, field), 1..4);
    let order = prop_oneof![Just(WriteOrder::Clock), Just(WriteOrder::Strict)];
    let write = (0..INSTANCES, cells, any::<bool>(), any::<bool>(), order).prop_map(
        |(instance, cells, new_column, passes_back, order)| TestOperation::Write {
            instance,
            cells,
            new_column,
            passes_back,
            order,
        },
    );
    let erase = (0..INSTANCES, prop_oneof![Just("a"), Just("b")], (0..2_usize, 0..2_usize))
        .prop_map(|(instance, host, days)| TestOperation::Delete { instance, host, days });
    let look_back = (0..INSTANCES, 0..6_usize)
        .prop_map(|(instance, requests)| TestOperation::QueryEarlier { instance, requests });
    let step = prop_oneof![
        4 => write,
        1 => erase,
        3 => (0..INSTANCES).prop_map(TestOperation::Flush),
        2 => (0..INSTANCES).prop_map(TestOperation::Merge),
        1 => (0..INSTANCES).prop_map(TestOperation::Collect),
        1 => look_back,
        2 => (0..INSTANCES).prop_map(TestOperation::Query),
        1 => (0..INSTANCES).prop_map(TestOperation::Restart),
        3 => (1..60_u16).prop_map(TestOperation::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

async fn run_operations(steps: Vec<TestOperation>) {
    let choices = ScheduleParameters {
        cast: ActorSelection {
            time_travel: [TIME_TRAVEL; 2],
            ..ActorSelection::NO_OPTIONAL_ACTORS
        },
        ..ScheduleParameters::WITHOUT_FAULTS
    };
    let scenario = ScriptedScenario::open_with(choices).await;
    let start = |at: usize| scenario.instance(&format!("instance {at}"));
    let mut instances: Vec<Arc<Instance>> = (0..INSTANCES).map(start).collect();
    let mut expected = Rows::new();
    let mut last: Option<Stamp> = None;
    // The stamps of acknowledged requests, with the rows after each.
    let mut history: Vec<(Stamp, Rows)> = Vec::new();
    for step in steps {
        match step {
            TestOperation::Write { instance, cells, new_column, passes_back, order } => {
                let content = GeneratedWrite { cells, new_column, order, ..scenario.content() };
                let token = last.filter(|_| passes_back);
                if order == WriteOrder::Clock {
                    // Because a `Date` has whole seconds, writes of two instances within a second may be ordered
                    // differently.
                    scenario.sleep(1.0).await;
                }
                let stamp = scenario.write(&instances[instance], &content, token).await.unwrap();
                assert!(Some(stamp) > last);
                last = Some(stamp);
                let rows = content.rows();
                merge_rows(&mut expected, rows.iter().map(|(_, row)| row));
                history.push((stamp, expected.clone()));
            }
            TestOperation::Delete { instance, host, days: (one, other) } => {
                let point = |day: usize| shared_point(HOSTS.len() * day).1;
                let times = (point(one.max(other)), point(one.min(other)) + 200 * SECOND);
                let erasure = GeneratedDelete {
                    request: scenario.content().request,
                    table: None,
                    hosts: vec![host],
                    times,
                };
                let erased = instances[instance].erase(&erasure, None).await;
                if let Some(stamp) = erased.unwrap() {
                    expected
                        .retain(|(of, time), _| of != host || *time < times.0 || times.1 < *time);
                    history.push((stamp, expected.clone()));
                    last = Some(stamp);
                }
            }
            TestOperation::Merge(at) => {
                merge_random(&instances[at], DATABASE).await;
            }
            TestOperation::Collect(at) => collect(&instances[at], DATABASE).await,
            TestOperation::QueryEarlier { instance, requests } => {
                let Some((stamp, rows)) = history.iter().rev().nth(requests) else {
                    continue;
                };
                let question = QueryConsistency::AsOf(*stamp);
                // Only the oracle knows which rows were flushed since then and which of them were removed.
                let seen = instances[instance].ask(DATABASE, question).await;
                let manifest = instances[instance].manifests.read(DATABASE, None).await;
                if *stamp >= manifest.unwrap().value.low_water_mark {
                    let seen: Rows = seen.unwrap().into_values().flatten().collect();
                    assert_eq!(seen, *rows);
                }
            }
            TestOperation::Flush(at) => {
                instances[at].flusher.flush(DATABASE).await.unwrap();
            }
            TestOperation::Query(at) => {
                assert_eq!(instances[at].query().await.unwrap(), expected);
            }
            TestOperation::Restart(at) => instances[at] = start(at),
            TestOperation::Wait(seconds) => scenario.sleep(f64::from(seconds)).await,
        }
    }
    assert_eq!(start(INSTANCES).query().await.unwrap(), expected);
    scenario.assert_no_violations();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(96)))]

    #[test]
    fn answers_are_those_of_a_plain_map(steps in steps()) {
        run(run_operations(steps));
    }
}

#[test]
fn a_database_that_was_never_written_to_is_empty() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let reader = scenario.instance("reader");
        assert!(reader.query().await.unwrap().is_empty());
        let options = neap_manifest::SnapshotOptions::default();
        let never = reader.snapshots.read(DatabaseId::new(77), options).await.unwrap();
        assert!(never.tail.is_empty() && never.manifest.value.sections.is_empty());
    });
}
