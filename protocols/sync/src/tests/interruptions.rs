//! Each row of a site is stored once, in its order, at whatever point processes and connections stop.

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt;
use neap_bucket::{CallGate, CallPhase, FaultyStore, StoreCall, StoreFaults, World};
use neap_row_delete::Condition;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::test_bed::{
    Contents, PointKey, RouterTarget, SECOND, Side, receiver, shipper_settings, write_service,
};
use crate::{
    ShipError, ShippedCounts, Shipper, SiteAnswer, SiteRequest, SiteTarget, SiteTargetError,
};

/// What the network does with a request.
#[derive(Clone, Copy, Debug)]
enum NetworkFault {
    None,
    LostRequest,
    LostAnswer,
}

/// What happens at the site, or to a process, after a pause.
#[derive(Clone, Debug)]
enum Action {
    Write {
        start: i64,
        rows: i64,
    },
    Delete {
        start: i64,
        rows: i64,
    },
    FlushSite,
    CollectSite,
    FlushCentral,
    /// The stopped process continues.
    Wake,
}

/// The conditions of a run.
#[derive(Clone, Debug)]
struct Run {
    stop: (u64, CallPhase),
    lost_reply: f64,
    late_landing: f64,
    network: Vec<NetworkFault>,
    actions: Vec<(u64, Action)>,
}

fn action() -> impl Strategy<Value = Action> {
    let range = || (0_i64..50, 1_i64..20);
    prop_oneof![
        5 => range().prop_map(|(start, rows)| Action::Write { start, rows }),
        2 => range().prop_map(|(start, rows)| Action::Delete { start, rows }),
        1 => Just(Action::FlushSite),
        1 => Just(Action::CollectSite),
        2 => Just(Action::FlushCentral),
        1 => Just(Action::Wake),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let phase = prop_oneof![Just(CallPhase::Before), Just(CallPhase::After)];
    let fault = || prop_oneof![3 => Just(0.0), 1 => Just(0.1)];
    let of_network = prop_oneof![
        4 => Just(NetworkFault::None),
        1 => Just(NetworkFault::LostRequest),
        1 => Just(NetworkFault::LostAnswer),
    ];
    let network = proptest::collection::vec(of_network, 0..20);
    let actions = proptest::collection::vec((0_u64..40, action()), 1..16);
    ((0_u64..60, phase), fault(), fault(), network, actions).prop_map(
        |(stop, lost_reply, late_landing, network, actions)| Run {
            stop,
            lost_reply,
            late_landing,
            network,
            actions,
        },
    )
}

/// Two receiving processes behind a network that loses requests and answers.
#[derive(Debug)]
struct NetworkTarget {
    processes: [RouterTarget; 2],
    requests: AtomicUsize,
    faults: Vec<NetworkFault>,
}

#[async_trait]
impl SiteTarget for NetworkTarget {
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let lost = Err(SiteTargetError::Temporary {
            message: "the connection is cut".to_owned(),
            retry_after: None,
        });
        // A site sends two requests before it needs another answer of the same process.
        let process = &self.processes[number / 3 % 2];
        match self.faults.get(number).unwrap_or(&NetworkFault::None) {
            NetworkFault::None => process.send(request).await,
            NetworkFault::LostRequest => lost,
            NetworkFault::LostAnswer => {
                process.send(request).await.ok();
                lost
            }
        }
    }
}

/// Returns a receiving process. It stops at a call, until the gate is thawed.
fn process(
    central: &Side,
    seed: u64,
    faults: StoreFaults,
    is_stop: impl Fn(&StoreCall) -> bool + Send + Sync + 'static,
) -> (RouterTarget, CallGate) {
    let world = World::seeded(Arc::clone(&central.clock), seed);
    let gate = CallGate::default();
    let hook = {
        let gate = gate.clone();
        move |call: &StoreCall| {
            if is_stop(call) {
                gate.freeze();
            }
            let gate = gate.clone();
            async move { gate.pass().await }.boxed()
        }
    };
    let store = FaultyStore::new(Arc::clone(&central.memory) as _, world.clone(), faults);
    let store = Arc::new(store.with_hook(Arc::new(hook)));
    let target = RouterTarget {
        router: receiver(&write_service(store, world)),
        clock: Arc::clone(&central.clock),
    };
    (target, gate)
}

/// What the site has written.
#[derive(Debug, Default)]
struct Written {
    contents: Contents,
    rows: u64,
    deletes: usize,
}

impl Written {
    async fn write(&mut self, site: &Side, start: i64, rows: i64) {
        let mut lines = String::new();
        for time in start..start + rows {
            let value = self.rows;
            writeln!(lines, "m,host=a value={value} {time}").unwrap();
            self.contents.insert(key(time), value.to_string());
            self.rows += 1;
        }
        site.write(&lines).await;
    }

    async fn delete(&mut self, site: &Side, start: i64, rows: i64) {
        // The table must exist.
        if self.rows == 0 {
            return;
        }
        let end = start + rows - 1;
        site.delete(Condition::between(start * SECOND, end * SECOND)).await;
        self.contents.retain(|key, _| !(start..=end).contains(&key.time));
        self.deletes += 1;
    }
}

fn key(time: i64) -> PointKey {
    PointKey { site: Some("plant-1".to_owned()), host: "a".to_owned(), time }
}

async fn check(run: &Run) {
    let (mut site, mut central) = Side::pair().await;
    let faults = StoreFaults {
        lost_reply: run.lost_reply,
        late_landing: run.late_landing,
        longest_landing: Duration::from_secs(90),
        ..StoreFaults::default()
    };
    let stop = run.stop;
    let is_stop = move |call: &StoreCall| (call.number, call.phase) == stop;
    let (stopped, gate) = process(&central, 11, faults.clone(), is_stop);
    let (other, _) = process(&central, 12, faults, |_| false);
    let target = NetworkTarget {
        processes: [stopped, other],
        requests: AtomicUsize::new(0),
        faults: run.network.clone(),
    };
    let source = site.source().await;
    let settings = shipper_settings();
    let mut counts = ShippedCounts::default();
    let mut written = Written::default();
    // The segments of the site are held from the beginning.
    let first = Shipper::new(&source, &settings);
    tokio::select! {
        shipped = first.follow(&target, &mut counts) => panic!("{shipped:?}"),
        () = central.sleep(1) => {}
    }
    for (pause, action) in &run.actions {
        // The process of the site ends after the pause, wherever it is.
        let shipper = Shipper::new(&source, &settings);
        tokio::select! {
            shipped = shipper.follow(&target, &mut counts) => panic!("{shipped:?}"),
            () = central.sleep(*pause) => {}
        }
        match *action {
            Action::Write { start, rows } => written.write(&site, start, rows).await,
            Action::Delete { start, rows } => written.delete(&site, start, rows).await,
            Action::FlushSite => site.flush_now().await,
            Action::CollectSite => site.collect_garbage().await,
            Action::FlushCentral => central.flush_now().await,
            Action::Wake => gate.thaw(),
        }
    }
    let shipper = Shipper::new(&source, &settings);
    let mut is_shipped = false;
    while !is_shipped {
        // It gives up while a process is stopped.
        tokio::select! {
            shipped = shipper.ship_all(&target, &mut counts) => match shipped {
                Ok(()) => is_shipped = true,
                Err(ShipError::Target(SiteTargetError::Temporary { .. })) => {}
                Err(error) => panic!("{error}"),
            },
            () = central.flush_for_ever() => unreachable!("it does not end"),
        }
    }
    gate.thaw();
    central.sleep(200).await;
    central.flush_now().await;
    check_central(&central, &written).await;
}

async fn check_central(central: &Side, written: &Written) {
    assert_eq!(central.contents().await, written.contents);
    let segments = central.segments().await;
    let parts = segments.iter().flat_map(|segment| segment.progress());
    let numbers: Vec<u64> = parts.map(|part| part.rows).filter(|number| *number > 0).collect();
    let distinct: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len(), "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
    let tables = segments.iter().flat_map(|segment| segment.tables());
    assert_eq!(tables.map(|table| table.rows).sum::<u64>(), written.rows);
    let deletes = segments.iter().map(|segment| segment.deletes().len());
    // A delete before the first row of the site reaches the central cluster finds no table there.
    assert!(deletes.sum::<usize>() <= written.deletes);
}

fn check_paused(run: &Run) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(check(run));
}

#[test]
fn a_part_whose_process_stops_at_any_call_is_stored_once() {
    let write = |start| (1, Action::Write { start, rows: 5 });
    for number in 0..40 {
        for phase in [CallPhase::Before, CallPhase::After] {
            check_paused(&Run {
                stop: (number, phase),
                lost_reply: 0.0,
                late_landing: 0.0,
                network: Vec::new(),
                actions: vec![write(0), (30, Action::Wake), write(3), (20, Action::FlushCentral)],
            });
        }
    }
}

/// The mark rises by a segment that has no rows, while the database has no table.
#[test]
fn a_first_part_that_is_lost_is_sent_again() {
    check_paused(&Run {
        stop: (12, CallPhase::Before),
        lost_reply: 0.1,
        late_landing: 0.0,
        network: vec![NetworkFault::None, NetworkFault::LostRequest],
        actions: vec![(2, Action::Write { start: 0, rows: 1 })],
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn rows_of_a_site_are_stored_once_and_in_their_order(run in run()) {
        check_paused(&run);
    }
}
