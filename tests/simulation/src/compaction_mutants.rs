//! Mutation tests of compaction: each rule of merging and collecting is necessary. A merger or a collector without it
//! breaks an invariant that it protects; with all rules, they pass the same seeds.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Operation, ProtocolMargins, ProtocolRules, VersionedValue};
use neap_compact::{FlushResult, MergeJob, MergeReason};
use neap_manifest::{Manifest, Section};

use crate::{
    actor_mix::ActorMix,
    disabled_rule::DisabledRule,
    instance::{DATABASE, Instance, InstanceOptions},
    machine::Suspension,
    operators::restore_as,
    oracle::{Invariant, Violation},
    protocol_mutants::assert_rule_matters,
    rows::{HOSTS, Rows, TABLE, WITNESSES},
    scenario::{ScriptedScenario, before, freeze},
    schedule::{ScheduleMix, ScheduleParameters},
    simulate::{run, simulate, simulate_all},
    simulated_store::StoreBehavior,
    write::GeneratedWrite,
};

/// Maximum number of seeds until a mutant must break an invariant.
const SEEDS: u64 = 500;

/// The simulation's own mergers and collectors, which do not support pages.
pub(crate) const OWN_COMPACTORS: ActorMix = ActorMix {
    any: 1.0,
    merging: 1.0,
    planning: 0.0,
    compacting: 0.0,
    collecting: 0.0,
    deleting: (0.0, 0.0),
    expiring: 0.0,
    dropping: 0.0,
    restoring: 0.0,
    destroying: 0.0,
    looking_back: (0.0, 0.0),
    inline_sections: &[512],
    merge_pauses: &[0.5, 5.0],
    ..ActorMix::ALL
};

/// Collectors with short time-travel periods and orphan ages.
const COLLECTING: ActorMix = ActorMix {
    collecting: 1.0,
    time_travel: &[200],
    orphan_age: &[400],
    ..OWN_COMPACTORS
};

pub(crate) const BUSY: ScheduleMix = ScheduleMix {
    ledger: 0.0,
    sole_writer: 0.0,
    new_column: 0.0,
    wall_steps: false,
    wall_skew: &[0.0],
    pace: &[1.0, 4.0],
    write_pauses: &[0.5, 5.0, 20.0],
    flush_pauses: &[1.0, 10.0],
    query_pauses: &[3.0, 40.0],
    ..ScheduleMix::ALL
};

/// Returns a busy schedule of these actors.
fn busy(cast: ActorMix) -> ScheduleMix {
    ScheduleMix { cast, ..BUSY }
}

fn rules() -> ProtocolRules {
    ProtocolRules::new(ProtocolMargins::NETWORK)
}

/// Finds seeds that break with a disabled rule. Checks that they break one of `expected`, and pass without it.
pub(crate) fn matters(weakness: DisabledRule, mix: &ScheduleMix, expected: &[Invariant]) {
    let with = |weakness| ScheduleMix {
        cast: ActorMix { weakness: Some(weakness), ..mix.cast.clone() },
        ..mix.clone()
    };
    let tally = simulate_all(0..SEEDS, rules(), &with(weakness), 2);
    println!(
        "{weakness:?}: {} seeds, {:?}, broken: {:?}",
        tally.seeds, tally.counts, tally.broken
    );
    assert_rule_matters(&tally, expected, |seed| {
        simulate(seed, rules(), &with(DisabledRule::None), false)
    });
}

#[test]
fn mergers_and_collectors_with_all_rules_keep_all_invariants() {
    let mix = busy(ActorMix {
        collecting: 0.7,
        deleting: (0.5, 0.2),
        expiring: 0.3,
        restoring: 0.3,
        looking_back: (0.5, 0.3),
        weakness: Some(DisabledRule::None),
        ..COLLECTING
    });
    let tally = simulate_all(0..200, rules(), &mix, 1);
    println!("{:?}", tally.counts);
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
}

#[test]
fn a_merge_that_is_not_closed_breaks_the_order_of_sections() {
    let mix = busy(OWN_COMPACTORS);
    let expected = [Invariant::ManifestIsConsistent];
    matters(DisabledRule::MergeClosure, &mix, &expected);
}

/// Writes a row of the day that is `day` days before the schedule begins, and flushes it when the schedule is `minute`
/// minutes old.
async fn write_and_flush(
    scenario: &ScriptedScenario,
    instance: &Instance,
    day: usize,
    minute: u32,
) {
    let content = GeneratedWrite { cells: vec![(HOSTS.len() * day, "a")], ..scenario.content() };
    scenario.write(instance, &content, None).await.unwrap();
    scenario.sleep_until(60.0 * f64::from(minute)).await;
    let flushed = instance.flusher.flush(DATABASE).await;
    assert!(matches!(flushed, Ok(FlushResult::Done { .. })), "{flushed:?}");
}

/// Returns the sections of a table, oldest first.
fn sections_of(
    instance: &Instance,
    manifest: &VersionedValue<Manifest>,
    table: &str,
) -> Vec<Arc<Section>> {
    let catalog = instance.catalog.known_database(DATABASE).unwrap();
    let table = catalog.value.table(table).unwrap().id();
    let mut sections: Vec<_> = manifest
        .value
        .sections
        .iter()
        .filter(|one| one.table == table)
        .cloned()
        .collect();
    sections.sort_by_key(|section| section.upto);
    sections
}

/// Merges sections of a manifest. Returns whether the merge was committed.
async fn merge(
    instance: &Instance,
    manifest: &VersionedValue<Manifest>,
    inputs: Vec<Arc<Section>>,
    weakness: DisabledRule,
) -> bool {
    let job = MergeJob::new(inputs, MergeReason::Recent).unwrap();
    let merged = instance.merge_on(DATABASE, manifest.clone(), job, weakness);
    merged.await.unwrap()
}

/// Whether this invariant is broken and no other.
fn is_only(broken: &[Violation], invariant: Invariant) -> bool {
    !broken.is_empty() && broken.iter().all(|one| one.invariant == invariant)
}

/// Commits two merges that were both closed when they were chosen. Returns the violations, and whether the second merge
/// was committed.
///
/// ```text
///   flush    0    1    2    3
///   day 0         A
///   day 1    B              B      A makes one section of days 0 to 2 and flushes 1 to 2,
///   day 2              A           B one of day 1 and flushes 0 to 3
/// ```
async fn merge_with_overlapping_bounds(weakness: DisabledRule) -> (Vec<Violation>, bool) {
    let scenario = ScriptedScenario::open().await;
    let instance = scenario.instance("merger");
    for (day, minute) in [1, 0, 2, 1].into_iter().zip(1..) {
        write_and_flush(&scenario, &instance, day, minute).await;
    }
    let manifest = instance.manifests.read(DATABASE, None).await.unwrap();
    let [b0, a1, a2, b3] = sections_of(&instance, &manifest, TABLE).try_into().unwrap();
    assert!(merge(&instance, &manifest, vec![a1, a2], weakness).await);
    let is_done = merge(&instance, &manifest, vec![b0, b3], weakness).await;
    (scenario.violations(), is_done)
}

#[test]
fn two_merges_with_overlapping_bounds_break_the_order_of_sections() {
    run(async {
        let (broken, _) = merge_with_overlapping_bounds(DisabledRule::MergeClosureRecheck).await;
        let invariant = Invariant::ManifestIsConsistent;
        assert!(is_only(&broken, invariant), "{broken:?}");
        let (broken, is_done) = merge_with_overlapping_bounds(DisabledRule::None).await;
        assert!(broken.is_empty() && !is_done, "{broken:?}");
    });
}

#[test]
fn removed_inputs_reappear_without_the_input_check() {
    let mix = busy(OWN_COMPACTORS);
    let expected = [Invariant::ManifestIsConsistent, Invariant::SegmentFlushedOnce];
    matters(DisabledRule::MergeInputCheck, &mix, &expected);
}

#[test]
fn deleted_rows_reappear_if_a_merge_ignores_deletes() {
    let mix = busy(ActorMix { deleting: (1.0, 0.3), ..OWN_COMPACTORS });
    let expected = [Invariant::AnswerMatchesSegments];
    matters(DisabledRule::MergeAppliesDeletes, &mix, &expected);
}

#[test]
fn deletes_that_filter_everything_remove_later_writes() {
    let mix = busy(ActorMix { deleting: (1.0, 0.3), ..OWN_COMPACTORS });
    let expected = [Invariant::AnswerMatchesSegments];
    matters(DisabledRule::DeleteStampLimit, &mix, &expected);
}

#[test]
fn expired_rows_reappear_if_a_merge_does_not_record_the_expiry() {
    let mix = busy(ActorMix {
        expiring: 1.0,
        operator_pauses: &[2.0, 20.0],
        ..OWN_COMPACTORS
    });
    let expected = [Invariant::AnswerMatchesSegments];
    matters(DisabledRule::ExpiryRecord, &mix, &expected);
}

#[test]
fn deleting_an_object_with_its_first_section_removes_other_sections() {
    let mix = busy(ActorMix { days: &[2, 4], wide: 1.0, ..COLLECTING });
    let expected = [Invariant::ObjectsExist];
    matters(DisabledRule::DeleteAfterLastSection, &mix, &expected);
}

#[test]
fn without_a_grace_period_queries_lose_their_objects() {
    let mix = busy(COLLECTING);
    let expected = [Invariant::ObjectsExist, Invariant::HistoryIsRetained];
    matters(DisabledRule::TimeTravelPeriod, &mix, &expected);
}

#[test]
fn objects_deleted_before_they_are_doomed_are_missing_from_readable_versions() {
    let mix = busy(ActorMix { looking_back: (1.0, 0.5), restoring: 1.0, ..COLLECTING });
    let expected = [Invariant::ObjectsExist];
    matters(DisabledRule::DoomBeforeDelete, &mix, &expected);
}

#[test]
fn orphans_that_are_not_condemned_are_deleted_while_a_commit_names_them() {
    let mix = ScheduleMix {
        freeze: &[0.03],
        freezes: &[&[400, 1000]],
        trouble: &[0.12],
        cast: COLLECTING,
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist];
    matters(DisabledRule::CondemnOrphans, &mix, &expected);
}

/// Restores a version while a collector is frozen before its commit. The collector has found that the time-travel
/// period of the version is over and that the version is not pinned. Then collects again, and returns the violations.
async fn restore_while_a_collector_is_frozen(weakness: DisabledRule) -> Vec<Violation> {
    let scenario = ScriptedScenario::open().await;
    let owner = scenario.instance("owner");
    for minute in 1..=2 {
        write_and_flush(&scenario, &owner, 0, minute).await;
    }
    for table in [TABLE, WITNESSES] {
        let manifest = owner.manifests.read(DATABASE, None).await.unwrap();
        let inputs = sections_of(&owner, &manifest, table);
        assert_eq!(inputs.len(), 2);
        assert!(merge(&owner, &manifest, inputs, DisabledRule::None).await);
    }
    scenario.sleep_until(5_000.0).await;
    let manifest = owner.manifests.read(DATABASE, None).await.unwrap();
    let first = Manifest::versions(&manifest)[0].mark;
    let machine = scenario.machine("collector", Suspension::NoClockStops);
    let script = before(Operation::Put, "manifest", freeze(&machine, 5));
    let collector = scenario.scripted(&machine, script);
    let restored = async {
        scenario.sleep(1.0).await;
        restore_as(&owner, DATABASE, manifest, first, "copy").await
    };
    let (collected, restored) =
        futures::join!(collector.collect_without_rule(DATABASE, weakness), restored);
    assert!(collected.is_some());
    restored.unwrap();
    collector.collect_without_rule(DATABASE, weakness).await.unwrap();
    scenario.violations()
}

#[test]
fn a_collector_with_a_stale_manifest_deletes_objects_of_restored_databases() {
    run(async {
        let broken = restore_while_a_collector_is_frozen(DisabledRule::CurrentManifest).await;
        assert!(is_only(&broken, Invariant::ObjectsExist), "{broken:?}");
        let broken = restore_while_a_collector_is_frozen(DisabledRule::None).await;
        assert!(broken.is_empty(), "{broken:?}");
    });
}

/// Compacts while the clock of the store is an hour ahead. Returns the answers to a query before and after that.
async fn compact_while_the_store_is_ahead(trusts_store_clock: bool) -> [Rows; 2] {
    let fast = Some((Duration::from_secs(300), Duration::from_secs(400)));
    let store = StoreBehavior { fast, ..ScheduleParameters::WITHOUT_FAULTS.store };
    let scenario = ScriptedScenario::open_with(ScheduleParameters {
        store,
        ..ScheduleParameters::WITHOUT_FAULTS
    })
    .await;
    let owner = scenario.instance("owner");
    let content = GeneratedWrite {
        cells: (0..4).map(|day| (2 * day, "a")).collect(),
        ..scenario.content()
    };
    scenario.write(&owner, &content, None).await.unwrap();
    scenario.sleep_until(60.0).await;
    owner.flusher.flush(DATABASE).await.unwrap();
    // The rows of the previous day expire in half an hour.
    let retention = Some(Duration::from_secs(86_400 + 1800));
    owner.catalog.set_retention(DATABASE, retention).await.unwrap();
    let before = scenario.instance("reader").query().await.unwrap();
    scenario.sleep_until(310.0).await;
    let machine = scenario.machine("compactor", Suspension::NoClockStops);
    let start = InstanceOptions {
        trusts_store_clock,
        ..InstanceOptions::healthy(scenario.rules)
    };
    let compactor = &scenario.start(&machine, start).compactor;
    compactor.settle(DATABASE, None).await.ok();
    scenario.sleep_until(500.0).await;
    let after = scenario.instance("later reader").query().await.unwrap();
    [before, after]
}

#[test]
fn a_store_clock_that_leaps_destroys_data_if_clocks_need_not_agree() {
    run(async {
        let [before, after] = compact_while_the_store_is_ahead(false).await;
        assert_eq!(before, after);
        let [before, after] = compact_while_the_store_is_ahead(true).await;
        assert!(after.len() < before.len(), "{after:?}");
    });
}
