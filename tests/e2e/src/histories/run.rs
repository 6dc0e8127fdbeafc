//! Runs one history: load under faults, then all processes without faults, and the check.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    checker::{CheckReport, ClockMargin, Promise, Violation, check},
    clients::{Client, DATABASE},
    cluster::{Cluster, ClusterKind},
    derived_data::{self, SettledData},
    faults::{FaultInjector, FaultKind, FaultMix},
    history::{
        Event, History, Operation, Outcome, ReadAnswer, ReadConsistency, ReadPath, ReadSelection,
        Table, TableRead,
    },
    operator::{Operator, OperatorCounts},
    recorder::{HistoryRecorder, RecordedHistory},
    statements::{CACHED_ROWS, LONG_WINDOW, SHORT_WINDOW},
};
use crate::harness::{neap, pause, wait_for};

/// The number of clients besides the operator. Half of them have sessions.
const CLIENTS: usize = 4;
/// The number of faults that may be active at once.
const INJECTORS: u64 = 2;
/// Maximum wait until all processes answer again after the last fault.
const RECOVERY: Duration = Duration::from_secs(120);
/// Maximum difference between the clocks of two instances: HTTP stores report time in whole seconds.
const RESOLUTION: Duration = Duration::from_secs(1);
/// Maximum number of violations that are shown.
const SHOWN: usize = 10;

#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryRun {
    pub(super) kind: ClusterKind,
    pub(super) seed: u64,
    pub(super) load: Duration,
    pub(super) faults: FaultMix,
    /// Maximum duration of a fault.
    pub(super) longest_fault: Duration,
    /// Whether there is a view of a view. It is complete one flush lag later than the view.
    pub(super) has_view_of_view: bool,
}

/// What a history contained, and what it broke.
#[derive(Debug)]
pub(super) struct HistorySummary {
    run: HistoryRun,
    pub(super) requests: usize,
    pub(super) acknowledged: usize,
    pub(super) unanswered: BTreeMap<&'static str, u64>,
    pub(super) faults: BTreeMap<FaultKind, u64>,
    pub(super) operations: OperatorCounts,
    pub(super) facts: BTreeMap<&'static str, u64>,
    pub(super) violations: Vec<Violation>,
    pub(super) unexpected: BTreeMap<String, u64>,
    /// Messages of the consistency check of the store.
    fsck: Option<String>,
    events: Vec<Event>,
}

impl HistoryRun {
    fn rng(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000).wrapping_add(stream))
    }

    /// Runs the history. `None` if the kind of cluster is not available.
    pub(super) fn run(self) -> Option<HistorySummary> {
        let cluster = Cluster::start(self.kind)?;
        let recorder = HistoryRecorder::new(CLIENTS + 1);
        let client = |number: usize| Client {
            number,
            cluster: &cluster,
            recorder: &recorder,
            rng: self.rng(number as u64),
            has_session: number.is_multiple_of(2),
            stamp: None,
        };
        derived_data::create_trigger(&cluster, self.kind);
        client(CLIENTS).create_tables();
        derived_data::create_caches(&cluster);
        assert!(derived_data::create_view(&cluster, SHORT_WINDOW), "no view");
        let faults: Mutex<BTreeMap<FaultKind, u64>> = Mutex::default();
        let is_over = AtomicBool::new(false);
        let operations = thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (client, is_over) = (client(number), &is_over);
                scope.spawn(move || client.run(is_over));
            }
            for number in 0..INJECTORS {
                let injector = FaultInjector {
                    cluster: &cluster,
                    is_over: &is_over,
                    counts: &faults,
                    rng: self.rng(100 + number),
                    mix: self.faults,
                    longest: self.longest_fault,
                };
                scope.spawn(move || injector.run());
            }
            let operator = Operator {
                client: client(CLIENTS),
                counts: OperatorCounts::default(),
                wants_view_of_view: self.has_view_of_view,
            };
            let operator = scope.spawn(|| operator.run(&is_over));
            pause(self.load);
            is_over.store(true, Ordering::Relaxed);
            operator.join().unwrap()
        });
        cluster.heal();
        let mut reader = client(CLIENTS);
        read_everywhere(&cluster, &mut reader, &reads_of_tables());
        let fsck = match self.faults {
            FaultMix::All => self.settle_and_check(&cluster, &mut reader),
            // Views can't be compared with rows that the store has lost.
            FaultMix::LostSegments => {
                Self::flush_and_merge(&cluster);
                fsck(&cluster)
            }
        };
        read_everywhere(&cluster, &mut reader, &reads_of_tables());
        let parts = recorder.into_parts();
        if let Some(stack) = cluster.functions {
            stack.finish();
        }
        let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(self.summarize(parts, faults, operations, fsck))
    }

    /// Flushes and merges all rows that are acknowledged.
    fn flush_and_merge(cluster: &Cluster) {
        pause(cluster.store.flush_lag() + RESOLUTION);
        let compact = neap(&cluster.store.after(&["compact", "--settle-after", "0s"]));
        assert_eq!(compact.status, Some(0), "{}", compact.err);
    }

    /// Waits until the views and the trigger have all rows, reads what they have, and checks the consistency of the store.
    /// Returns its complaints.
    fn settle_and_check(&self, cluster: &Cluster, reader: &mut Client<'_>) -> Option<String> {
        let settled = SettledData { cluster, recorder: reader.recorder };
        Self::flush_and_merge(cluster);
        cluster.restart_refresher();
        settled.wait_for_view(SHORT_WINDOW);
        let windows = if self.has_view_of_view {
            // The rows of the view are new rows of the source of the other one.
            Self::flush_and_merge(cluster);
            cluster.restart_refresher();
            wait_for("view of the view", RECOVERY, || {
                derived_data::create_view(cluster, LONG_WINDOW).then_some(())
            });
            settled.wait_for_view(LONG_WINDOW);
            &[SHORT_WINDOW, LONG_WINDOW][..]
        } else {
            &[SHORT_WINDOW]
        };
        settled.wait_for_plans();
        let paths = [ReadPath::View, ReadPath::Table, ReadPath::WithoutViews];
        let reads = windows.iter().flat_map(|length| {
            let windows = ReadSelection::Windows(*length);
            paths.map(|path| TableRead::strong(Table::Samples, windows, path))
        });
        read_everywhere(cluster, reader, &reads.collect::<Vec<_>>());
        if self.kind.has_trigger() {
            reader.read_deliveries(RECOVERY);
        }
        fsck(cluster)
    }

    fn summarize(
        self,
        parts: RecordedHistory,
        faults: BTreeMap<FaultKind, u64>,
        operations: OperatorCounts,
        fsck: Option<String>,
    ) -> HistorySummary {
        let acknowledged = parts.events.iter().filter(|event| event.is_acknowledged()).count();
        let history = History::new(parts.events);
        let margin = ClockMargin { between_instances: RESOLUTION };
        let CheckReport { violations, facts } = check(&history, margin);
        HistorySummary {
            run: self,
            requests: history.events.len(),
            acknowledged,
            unanswered: parts.unanswered,
            faults,
            operations,
            facts,
            violations,
            unexpected: parts.unexpected,
            fsck,
            events: history.events,
        }
    }
}

/// Checks the consistency of the store. Returns its complaints.
fn fsck(cluster: &Cluster) -> Option<String> {
    let fsck = neap(&cluster.store.after(&["fsck", "--full"]));
    (fsck.status != Some(0)).then(|| format!("{}{}", fsck.out, fsck.err))
}

/// Returns strong reads of all tables, and of the caches.
fn reads_of_tables() -> Vec<TableRead> {
    let rows = Table::ALL
        .iter()
        .map(|table| TableRead::rows(*table, None, ReadConsistency::Strong));
    let caches = [ReadSelection::Newest(CACHED_ROWS), ReadSelection::Tags]
        .map(|selection| TableRead::strong(Table::Samples, selection, ReadPath::Cache));
    rows.chain(caches).collect()
}

/// Sends reads to all instances that answer queries.
fn read_everywhere(cluster: &Cluster, reader: &mut Client<'_>, reads: &[TableRead]) {
    for instance in cluster.instances("query") {
        for read in reads {
            wait_for("answer after the last fault", RECOVERY, || {
                let is_answered = reader.read_at(DATABASE, instance.clone(), *read);
                is_answered.then_some(())
            });
        }
    }
}

impl HistorySummary {
    /// Whether the history breaks a promise, or has answers that no promise permits.
    pub(super) fn is_broken(&self) -> bool {
        !self.violations.is_empty() || !self.unexpected.is_empty() || self.fsck.is_some()
    }

    /// Whether the history breaks this promise.
    pub(super) fn breaks(&self, promise: Promise) -> bool {
        let mut broken = self.violations.iter().map(|violation| violation.promise);
        broken.any(|broken| broken == promise)
    }

    /// Asserts that the history keeps all promises, and shows that something was checked.
    pub(super) fn assert_kept(&self) {
        assert!(!self.is_broken(), "a promise is broken");
        assert!(self.acknowledged > 20, "almost nothing was acknowledged");
        let strong = self.facts.get("strong reads").copied();
        assert!(strong > Some(20), "almost nothing was read");
        for fact in ["newest rows", "sets of tags", "comparisons with views"] {
            assert!(self.facts.contains_key(fact), "no {fact} were checked");
        }
        let has_deliveries = self.facts.contains_key("delivered cells");
        assert_eq!(has_deliveries, self.run.kind.has_trigger(), "deliveries");
        assert!(!self.faults.is_empty(), "there were no faults");
    }

    /// Returns the number of seconds of load.
    pub(super) fn load_seconds(&self) -> u64 {
        self.run.load.as_secs()
    }

    /// Writes the history to a file.
    fn write_history(&self) -> PathBuf {
        let name = format!("neap-history-{}-{}", self.run.kind.name(), self.run.seed);
        let path = std::env::temp_dir().join(name);
        let describe = |event: &Event| match (&event.operation, &event.outcome) {
            (Operation::Read(_), Outcome::Answer(ReadAnswer::Cells(values), mark)) => {
                let values = values.iter().map(|(cell, value)| {
                    format!(" {}/{}/{}={value}", cell.tag, cell.time, cell.field)
                });
                format!(
                    "{:?}-{:?} client {} instance {:?} after {:?} {:?} mark {mark:?}:{}\n",
                    event.begin,
                    event.end,
                    event.client,
                    event.instance,
                    event.after,
                    event.operation,
                    values.collect::<String>()
                )
            }
            _ => format!("{event:?}\n"),
        };
        let text: String = self.events.iter().map(describe).collect();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl fmt::Display for HistorySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HistoryRun { kind, seed, load, .. } = self.run;
        writeln!(
            f,
            "{} seed {seed}: {} s, {} requests, {} acknowledged, without result {:?}",
            kind.name(),
            load.as_secs(),
            self.requests,
            self.acknowledged,
            self.unanswered
        )?;
        writeln!(f, "  faults {:?}, {:?}", self.faults, self.operations)?;
        write!(f, "  checked {:?}", self.facts)?;
        if !self.is_broken() {
            return Ok(());
        }
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n  {violation}")?;
        }
        if self.violations.len() > SHOWN {
            write!(f, "\n  … of {} violations", self.violations.len())?;
        }
        for (answer, count) in &self.unexpected {
            write!(f, "\n  {count} unexpected answers: {answer}")?;
        }
        if let Some(fsck) = &self.fsck {
            write!(f, "\n  fsck: {fsck}")?;
        }
        write!(
            f,
            "\n  history in {}\n  NEAP_HISTORY_STORE={} NEAP_HISTORY_SEED={seed} scripts/soak 1",
            self.write_history().display(),
            kind.name()
        )
    }
}
