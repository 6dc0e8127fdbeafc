//! Histories with new seeds, one after the other, for a given time.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use super::{
    cluster::ClusterKind,
    faults::FaultMix,
    run::{HistoryRun, HistorySummary},
};
use crate::harness::now;

/// The load of a history in a soak, and the longest fault. Some faults exceed the timeouts of processes.
const LOAD: Duration = Duration::from_secs(90);
const LONGEST_FAULT: Duration = Duration::from_secs(30);

/// The sums over all histories.
#[derive(Debug, Default)]
struct SoakTotals {
    histories: u64,
    load_seconds: u64,
    requests: usize,
    acknowledged: usize,
    faults: BTreeMap<String, u64>,
    checked: BTreeMap<&'static str, u64>,
    operations: BTreeMap<&'static str, u64>,
    broken: Vec<(ClusterKind, u64)>,
}

fn add<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, counts: impl IntoIterator<Item = (K, u64)>) {
    for (key, count) in counts {
        *sums.entry(key).or_default() += count;
    }
}

impl SoakTotals {
    fn add(&mut self, kind: ClusterKind, seed: u64, summary: &HistorySummary) {
        fn name(kind: &impl Debug) -> String {
            format!("{kind:?}")
        }
        self.histories += 1;
        self.load_seconds += summary.load_seconds();
        self.requests += summary.requests;
        self.acknowledged += summary.acknowledged;
        let faults = summary.faults.iter();
        add(&mut self.faults, faults.map(|(kind, count)| (name(kind), *count)));
        add(&mut self.checked, summary.facts.clone());
        let operations = summary.operations;
        add(
            &mut self.operations,
            [
                ("compactions", operations.compactions),
                ("killed compactions", operations.killed_compactions),
                ("restores", operations.restores),
            ],
        );
        if summary.is_broken() {
            self.broken.push((kind, seed));
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Returns a seed of up to 9 digits.
fn random_seed() -> u64 {
    // The standard library draws the keys of its hashers.
    RandomState::new().build_hasher().finish() % 1_000_000_000
}

/// Runs histories for the minutes in `NEAP_HISTORY_MINUTES`. Without the variable, there is nothing to do: the other tests
/// run short histories.
#[test]
fn soak() {
    let Some(minutes) = variable("NEAP_HISTORY_MINUTES") else {
        return;
    };
    let time = Duration::from_secs(60 * minutes.parse::<u64>().unwrap());
    let only = variable("NEAP_HISTORY_STORE");
    let kinds: Vec<_> = ClusterKind::ALL
        .into_iter()
        .filter(|kind| only.as_deref().is_none_or(|only| only == kind.name()))
        .collect();
    assert!(!kinds.is_empty(), "NEAP_HISTORY_STORE={only:?}");
    let first: u64 = variable("NEAP_HISTORY_SEED")
        .map(|seed| seed.parse().unwrap())
        .unwrap_or_else(random_seed);
    let started_at = now();
    let mut totals = SoakTotals::default();
    for (seed, kind) in (first..).zip(kinds.iter().cycle()) {
        let run = HistoryRun {
            kind: *kind,
            seed,
            load: LOAD,
            faults: FaultMix::All,
            longest_fault: LONGEST_FAULT,
            has_view_of_view: true,
        };
        if let Some(summary) = run.run() {
            println!("{summary}");
            totals.add(*kind, seed, &summary);
        }
        if started_at.elapsed() >= time {
            break;
        }
    }
    println!("{totals:#?}");
    assert!(totals.broken.is_empty(), "{:?}", totals.broken);
}
