//! Mutation tests of the protocol: each rule is necessary. Without it, seeds break an invariant that it protects; with
//! it, the same seeds pass.

use std::time::Duration;

use neap_bucket::{ProtocolMargins, ProtocolRules};

use crate::{
    actor_mix::ActorMix,
    machine::Suspension,
    oracle::Invariant,
    schedule::ScheduleMix,
    simulate::{ScheduleResult, SeedSummary, simulate, simulate_all},
};

/// Maximum number of seeds until a weakened rule must break an invariant.
const SEEDS: u64 = 2_000;

fn rules() -> ProtocolRules {
    ProtocolRules::new(ProtocolMargins::NETWORK)
}

/// Finds seeds that break with `weakened` rules. Checks that they break one of `expected`, and pass with the rules of
/// the protocol.
fn matters(weakened: ProtocolRules, mix: &ScheduleMix, expected: &[Invariant]) {
    let tally = simulate_all(0..SEEDS, weakened, mix, 2);
    println!(
        "{} seeds, {} acknowledged, broken: {:?}",
        tally.seeds, tally.acknowledged, tally.broken
    );
    assert_rule_matters(&tally, expected, |seed| simulate(seed, rules(), mix, false));
}

/// Checks that seeds without a rule break one of `expected`, and that the same seeds pass with it.
pub(crate) fn assert_rule_matters(
    without_rule: &SeedSummary,
    expected: &[Invariant],
    with_rule: impl Fn(u64) -> ScheduleResult,
) {
    let seeds = without_rule.seeds;
    assert!(!without_rule.broken.is_empty(), "no violation in {seeds} seeds");
    for (seed, violation) in &without_rule.broken {
        let is_expected = expected.contains(&violation.invariant);
        assert!(is_expected, "seed {seed} breaks {violation}");
        let violations = with_rule(*seed).violations;
        assert!(violations.is_empty(), "seed {seed} with the rule: {violations:?}");
    }
}

/// Writers whose machines often freeze, without their clocks revealing it.
const FROZEN_WRITERS: ScheduleMix = ScheduleMix {
    freeze: &[0.05],
    freezes: &[&[8, 15, 25, 40, 75, 130]],
    kill: &[0.0],
    latency: &[20, 200],
    pace: &[0.3, 1.0],
    wall_skew: &[0.0],
    wall_steps: false,
    ledger: 0.0,
    sole_writer: 0.0,
    ..ScheduleMix::WITHOUT_COMPACTION
};

#[test]
fn without_the_waiting_limit_an_old_batch_wins_over_newer_writes() {
    let weakened = ProtocolRules { wait_limit: Duration::MAX, ..rules() };
    let mix = ScheduleMix {
        suspensions: &[Suspension::NoClockStops, Suspension::MonotonicClockStops],
        freezes: &[&[75, 130, 400]],
        write_pauses: &[0.5, 5.0, 20.0],
        ..FROZEN_WRITERS
    };
    matters(weakened, &mix, &[Invariant::LaterWinsOverFailed]);
}

#[test]
fn without_the_acknowledgement_limit_acknowledged_writes_are_void() {
    let weakened = ProtocolRules { acknowledgement_limit: Duration::MAX, ..rules() };
    let mix = ScheduleMix {
        suspensions: &[Suspension::BothClocksStop],
        flush_pauses: &[1.0, 5.0],
        ..FROZEN_WRITERS
    };
    matters(weakened, &mix, &[Invariant::AcknowledgedIsVisible]);
}

#[test]
fn without_the_flush_lag_acknowledged_writes_are_void() {
    let weakened = ProtocolRules { flush_lag: Duration::ZERO, ..rules() };
    let mix = ScheduleMix {
        flush_pauses: &[0.5, 2.0],
        write_pauses: &[0.05, 0.5, 5.0],
        latency: &[200, 1000],
        ..ScheduleMix::WITHOUT_COMPACTION
    };
    matters(weakened, &mix, &[Invariant::AcknowledgedIsVisible]);
}

#[test]
fn without_recent_put_ids_commits_are_duplicated_or_reported_as_refused() {
    let weakened = ProtocolRules { recent_put_ids: 0, ..rules() };
    let mix = ScheduleMix {
        ledger: 1.0,
        trouble: &[0.12],
        ..ScheduleMix::WITHOUT_COMPACTION
    };
    matters(
        weakened,
        &mix,
        &[Invariant::CommitIsAppliedOnce, Invariant::RefusalIsNotApplied],
    );
}

#[test]
fn without_the_snapshot_span_acknowledged_writes_are_missing() {
    let weakened = ProtocolRules { snapshot_span: Duration::MAX, ..rules() };
    let mix = ScheduleMix {
        calls: &[200, 300],
        freeze: &[0.03],
        freezes: &[&[400, 1000]],
        page_keys: &[2],
        write_pauses: &[5.0, 20.0],
        flush_pauses: &[10.0, 30.0],
        collect_pauses: &[20.0],
        query_pauses: &[3.0, 40.0],
        pace: &[1.0],
        ..FROZEN_WRITERS
    };
    matters(weakened, &mix, &[Invariant::AcknowledgedIsVisible]);
}

#[test]
fn without_the_mark_check_a_backward_store_clock_loses_acknowledged_writes() {
    let weakened = ProtocolRules { mark_is_checked: false, ..rules() };
    let mix = ScheduleMix {
        store_steps: true,
        trust_store_clock: true,
        // Object ages are wrong while the store's clock is, so nothing is collected.
        collect_pauses: &[1e6],
        pace: &[1.0, 4.0],
        ledger: 0.0,
        ..ScheduleMix::WITHOUT_COMPACTION
    };
    matters(weakened, &mix, &[Invariant::AcknowledgedIsVisible]);
}

#[test]
fn without_following_the_tail_strict_writes_lose_to_earlier_writes() {
    let weakened = ProtocolRules { tail_is_followed: false, ..rules() };
    let mix = ScheduleMix {
        strict: &[1.0],
        write_pauses: &[0.05, 0.5],
        pace: &[1.0],
        ..ScheduleMix::WITHOUT_COMPACTION
    };
    matters(weakened, &mix, &[Invariant::LaterWins]);
}

#[test]
fn without_the_settling_time_of_drops_rows_go_into_dropped_tables() {
    let weakened = ProtocolRules { settling_time: Duration::ZERO, ..rules() };
    let mix = ScheduleMix {
        write_pauses: &[0.05, 0.5],
        pace: &[1.0],
        cast: ActorMix { destroying: 0.5, ..ActorMix::DROPS },
        ..ScheduleMix::COMPACTION
    };
    matters(weakened, &mix, &[Invariant::DropIsObserved]);
}

#[test]
fn without_the_settling_time_of_aliases_rows_go_into_renamed_tables() {
    let weakened = ProtocolRules { settling_time: Duration::ZERO, ..rules() };
    let mix = ScheduleMix {
        write_pauses: &[0.05, 0.5],
        pace: &[1.0],
        cast: ActorMix {
            dropping: 0.0,
            restoring: 0.0,
            destroying: 0.0,
            ..ActorMix::RENAMES
        },
        ..ScheduleMix::COMPACTION
    };
    matters(weakened, &mix, &[Invariant::DropIsObserved]);
}
