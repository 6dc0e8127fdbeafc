//! Random histories of writes, deletes, flushes, merges and refreshes that are killed or frozen at any request. At the
//! end, the views have the rows of their queries.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use neap_bucket::{
    CallGate, CallHook, CallPhase, Clock, FaultyStore, MemoryStore, SteppedClock, StoreFaults,
    World,
};
use neap_test_inputs::cases;
use proptest::prelude::*;
use tokio::sync::Notify;

use super::{DATABASE, QueryTestInstance, instance::TestDeleter};
use crate::QuerySettings;

const HALF_DAY: i64 = 43_200_000_000_000;

/// The time of points with number 0: four days before the clock starts.
const FIRST: i64 = 1_700_000_000_000_000_000 - 8 * HALF_DAY;

/// A tag of which no step changes points.
const UNCHANGED_TAG: u8 = 3;

/// The query of the first view: rows leave its result by overwrites, too.
const DAILY: &str = "SELECT date_bin(INTERVAL '1 day', time) AS time, k, count(*) AS n, sum(a) AS a, max(b) AS b \
                     FROM t WHERE a IS NULL OR a < 50 GROUP BY 1, k";

/// The query of the second view, over the rows of the first one.
const LONGER: &str = "SELECT date_bin(INTERVAL '3 days', time) AS time, k, sum(n) AS n, sum(a) AS a, max(b) AS b \
                      FROM daily GROUP BY 1, k";

/// The continuous query.
const CONTINUOUS: &str =
    "SELECT count(a) AS n, mean(a) AS a, max(b) AS b FROM t GROUP BY time(1d), k";

pub(super) type Point = ((Option<u8>, i64), [Option<i8>; 2]);

#[derive(Clone, Debug)]
pub(super) enum ViewHistoryStep {
    Write(Vec<Point>),
    DeleteTimes(i64, i64),
    DeleteTag(u8),
    Flush,
    Merge,
    Pass(u64),
    /// A refresh by one of two processes.
    Refresh(usize),
    /// Both processes refresh at the same time.
    RefreshBoth,
    /// A refresh ends at this call to the store.
    Kill(usize, u64, bool),
    /// A refresh freezes at this call to the store, while the other process works, and continues.
    Freeze(usize, u64, bool),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<ViewHistoryStep>> {
    use ViewHistoryStep::*;
    let fields = proptest::array::uniform2(proptest::option::of(any::<i8>()))
        .prop_filter("a line has a field", |fields| fields.iter().any(Option::is_some));
    let point = ((proptest::option::of(0..UNCHANGED_TAG), 0..8i64), fields);
    let step = prop_oneof![
        6 => proptest::collection::vec(point, 1..6).prop_map(Write),
        2 => (0..8i64, 0..3i64).prop_map(|(first, more)| DeleteTimes(first, first + more)),
        1 => (0..UNCHANGED_TAG).prop_map(DeleteTag),
        5 => Just(Flush),
        2 => Just(Merge),
        1 => prop_oneof![Just(20u64), Just(200), Just(2_000)].prop_map(Pass),
        3 => (0..2usize).prop_map(Refresh),
        1 => Just(RefreshBoth),
        3 => (0..2usize, 0..60u64, any::<bool>()).prop_map(|(who, call, after)| Kill(who, call, after)),
        3 => (0..2usize, 0..60u64, any::<bool>()).prop_map(|(who, call, after)| Freeze(who, call, after)),
    ];
    proptest::collection::vec(step, 1..24)
}

/// A check of the answers of a process.
pub(super) type ViewCheck =
    for<'a> fn(&'a QueryTestInstance) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Stops the calls of a process to the store from a call on.
#[derive(Debug, Default)]
struct StopPoint {
    /// The number of calls until the stop, and whether it takes effect after the call; `None`: no stop.
    next: Mutex<Option<(u64, bool)>>,
    stopped: Notify,
}

/// A process whose calls to the store can be stopped.
struct StoppableProcess {
    instance: QueryTestInstance,
    stop: Arc<StopPoint>,
    gate: CallGate,
}

impl StoppableProcess {
    async fn new(store: &Arc<MemoryStore>, clock: &Arc<SteppedClock>, seed: u64) -> Self {
        let stop = Arc::new(StopPoint::default());
        let hooked = Arc::clone(&stop);
        let slot: Arc<Mutex<Option<CallGate>>> = Arc::default();
        let gate_slot = Arc::clone(&slot);
        let hook: CallHook = Arc::new(move |call| {
            let is_stop = {
                let mut next = hooked.next.lock().unwrap();
                match &mut *next {
                    Some((0, after)) if *after == (call.phase == CallPhase::After) => {
                        *next = None;
                        true
                    }
                    Some((left, _)) => {
                        *left -= u64::from(call.phase == CallPhase::After && *left > 0);
                        false
                    }
                    None => false,
                }
            };
            let gate = gate_slot.lock().unwrap().clone();
            let stopped = Arc::clone(&hooked);
            Box::pin(async move {
                if let Some(gate) = gate.filter(|_| is_stop) {
                    gate.freeze();
                    stopped.stopped.notify_one();
                    gate.pass().await;
                }
            })
        });
        let world = World::seeded(Arc::clone(clock) as Arc<dyn Clock>, seed);
        let faulty =
            FaultyStore::new(Arc::clone(store) as _, world, StoreFaults::default()).with_hook(hook);
        let gate = faulty.gate();
        *slot.lock().unwrap() = Some(gate.clone());
        let instance = QueryTestInstance::over(
            Arc::new(faulty) as _,
            Arc::clone(clock),
            QuerySettings::default(),
            TestDeleter::Writer,
        );
        Self { instance: instance.await, stop, gate }
    }

    /// Refreshes. Failures are those of requests that waited too long.
    async fn refresh(&self) -> bool {
        let limit = Duration::from_secs(1_000_000);
        match self.instance.engine.refresh_views(DATABASE, limit).await {
            Ok(report) => report.next_refresh().is_none(),
            Err(_) => false,
        }
    }

    /// Refreshes until a call to the store. Then `meanwhile` runs, and the refresh ends or continues.
    async fn stop_at(
        &self,
        call: u64,
        after: bool,
        continues: bool,
        meanwhile: impl Future<Output = ()>,
    ) {
        *self.stop.next.lock().unwrap() = Some((call, after));
        let refresh = self.refresh();
        tokio::pin!(refresh);
        let is_stopped = tokio::select! {
            _ = &mut refresh => false,
            () = self.stop.stopped.notified() => true,
        };
        *self.stop.next.lock().unwrap() = None;
        if !is_stopped {
            return;
        }
        meanwhile.await;
        self.gate.thaw();
        if continues {
            refresh.await;
        }
    }
}

pub(super) struct ViewHistory {
    processes: [StoppableProcess; 2],
    /// Called after each step, and while a process is frozen, with a process that is not.
    check: Option<ViewCheck>,
}

impl ViewHistory {
    pub(super) async fn new(check: Option<ViewCheck>) -> Self {
        let (store, clock) = QueryTestInstance::memory_store();
        let processes = [
            StoppableProcess::new(&store, &clock, 1).await,
            StoppableProcess::new(&store, &clock, 2).await,
        ];
        let history = Self { processes, check };
        // Creates all tables and columns. No step deletes or overwrites the second point, so that the views have it, whenever
        // they are computed first.
        let all = [Some(0), Some(0)];
        history.write(&[((Some(0), 0), all), ((Some(UNCHANGED_TAG), -20), all)]).await;
        let one = history.one();
        one.flush().await;
        one.create_view("daily", DAILY).await;
        history.processes[0].refresh().await;
        one.flush().await;
        one.create_view("longer", LONGER).await;
        one.influxql(&format!(
            "CREATE CONTINUOUS QUERY cq ON db BEGIN {} END",
            CONTINUOUS.replace(" FROM t", " INTO measured FROM t")
        ))
        .await;
        one.pass(Duration::from_secs(30));
        history
    }

    pub(super) fn one(&self) -> &QueryTestInstance {
        &self.processes[0].instance
    }

    pub(super) async fn write(&self, points: &[Point]) {
        let line = |((tag, time), [a, b]): &Point| {
            let tag = tag.map_or(String::new(), |tag| format!(",k=k{tag}"));
            let fields: Vec<String> = [("a", a), ("b", b)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| format!("{name}={value}i")))
                .collect();
            format!("t{tag} {} {}", fields.join(","), FIRST + time * HALF_DAY)
        };
        let lines: Vec<String> = points.iter().map(line).collect();
        self.one().write(&lines.join("\n")).await;
    }

    async fn check_with(&self, who: usize) {
        if let Some(check) = self.check {
            check(&self.processes[who].instance).await;
        }
    }

    pub(super) async fn take(&self, step: ViewHistoryStep) {
        self.act(step).await;
        self.check_with(0).await;
    }

    async fn act(&self, step: ViewHistoryStep) {
        use ViewHistoryStep::*;
        let one = self.one();
        match step {
            Write(points) => self.write(&points).await,
            DeleteTimes(first, last) => {
                one.pass(Duration::from_millis(1));
                one.sql(&format!(
                    "DELETE FROM t WHERE time BETWEEN to_timestamp({}) AND to_timestamp({})",
                    FIRST + first * HALF_DAY,
                    FIRST + last * HALF_DAY
                ))
                .await;
            }
            DeleteTag(tag) => {
                one.pass(Duration::from_millis(1));
                one.sql(&format!("DELETE FROM t WHERE k = 'k{tag}'")).await;
            }
            Flush => {
                one.flush().await;
            }
            Merge => {
                one.merge().await;
            }
            Pass(seconds) => one.pass(Duration::from_secs(seconds)),
            Refresh(who) => {
                self.processes[who].refresh().await;
            }
            RefreshBoth => {
                tokio::join!(self.processes[0].refresh(), self.processes[1].refresh());
            }
            Kill(who, call, after) => {
                self.processes[who].stop_at(call, after, false, self.check_with(1 - who)).await;
            }
            Freeze(who, call, after) => {
                let other = &self.processes[1 - who];
                let meanwhile = async {
                    self.check_with(1 - who).await;
                    one.pass(Duration::from_secs(200));
                    other.refresh().await;
                    self.check_with(1 - who).await;
                };
                self.processes[who].stop_at(call, after, true, meanwhile).await;
            }
        }
    }

    /// Refreshes until all views are current, with flushes for views of views.
    /// Refreshes with the second process, which is frozen after a call to the store while `meanwhile` runs.
    pub(super) async fn refresh_around(&self, call: u64, meanwhile: impl Future<Output = ()>) {
        self.processes[1].stop_at(call, true, true, meanwhile).await;
    }

    pub(super) async fn settle(&self) {
        for _ in 0..12 {
            self.one().flush().await;
            self.one().pass(Duration::from_secs(200));
            self.processes[1].refresh().await;
        }
        assert!(self.processes[1].refresh().await);
    }

    async fn check(&self) {
        let one = self.one();
        let columns = "CAST(time AS BIGINT) AS time, k, n, a, b";
        for (view, query) in [("daily", DAILY), ("longer", LONGER)] {
            // A row without a value is not stored.
            let stored = one.sql(&format!("SELECT {columns} FROM {view} ORDER BY time, k")).await;
            let computed = one
                .sql(&format!("SELECT {columns} FROM ({query}) AS computed ORDER BY time, k"))
                .await;
            assert_eq!(stored, computed, "{view}");
        }
        let stored = one.influxql("SELECT n, a, b FROM measured GROUP BY k").await;
        let computed = one.influxql(&format!("{CONTINUOUS} FILL(none)")).await;
        let name = |table: &str| format!("\"name\":\"{table}\"");
        assert_eq!(stored.replace(&name("measured"), &name("t")), computed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    #[test]
    fn views_have_the_rows_of_their_queries_after_any_history(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let history = ViewHistory::new(None).await;
            for step in steps {
                history.take(step).await;
            }
            history.settle().await;
            history.check().await;
        });
    }
}
