//! Mutation tests of materialized views: each rule of `shared/query/rollup` is necessary. Refreshers and queries without it
//! break an invariant that it protects; with all rules, they pass the same seeds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_bucket::Operation;
use neap_catalog::ANY_AGE;

use crate::{
    actor_mix::{ActorMix, ActorSelection, JobMix},
    compaction_mutants::{BUSY, OWN_COMPACTORS, matters},
    disabled_rule::DisabledRule,
    instance::{DATABASE, InstanceOptions},
    machine::{Machine, Suspension},
    network::{CallScript, InterceptionPoint, ScriptDecision},
    oracle::{Invariant, Violation},
    rows::{HOSTS, Rows, TABLE},
    scenario::ScriptedScenario,
    schedule::{ScheduleMix, ScheduleParameters},
    simulate::run,
    view_actor::{refresh, refresh_as_of},
    view_checks::check_views,
    view_interleavings::{LIMIT, actors, write_and_flush},
    view_rows::{VIEW, new_view},
    write::GeneratedDelete,
};

/// Views whose sources change often, because clients also delete rows.
const VIEWS_CAST: ActorMix = ActorMix {
    viewing: 1.0,
    merging: 0.0,
    deleting: (1.0, 0.3),
    days: &[1, 2],
    refresh_pauses: &[1.0, 5.0],
    ..OWN_COMPACTORS
};

const VIEWS: ScheduleMix = ScheduleMix {
    calls: &[300],
    freeze: &[0.01, 0.03],
    freezes: &[&[15, 75, 130, 400]],
    cast: VIEWS_CAST,
    ..BUSY
};

#[test]
fn windows_that_are_not_listed_until_their_rows_are_stored_stay_outdated() {
    let expected = [Invariant::ViewsMatchSources, Invariant::CurrentWindowsMatchSources];
    matters(DisabledRule::PendingWindows, &VIEWS, &expected);
}

#[test]
fn windows_of_another_database_that_are_not_listed_until_their_rows_are_stored_stay_outdated() {
    let mix = ScheduleMix {
        cast: ActorMix {
            jobs: JobMix { forwarding: 1.0, ..JobMix::NONE },
            ..VIEWS_CAST
        },
        ..VIEWS
    };
    let expected = [Invariant::ViewsMatchSources];
    matters(DisabledRule::PendingWindows, &mix, &expected);
}

#[test]
fn two_claims_at_once_leave_older_rows() {
    let expected = [
        Invariant::ClaimsAreExclusive,
        Invariant::ViewsMatchSources,
        Invariant::CurrentWindowsMatchSources,
    ];
    matters(DisabledRule::SoleClaim, &VIEWS, &expected);
}

/// Returns a script that freezes a machine for 200 s before its first call of this operation on a key with this prefix.
fn freeze_before(
    machine: &Arc<Machine>,
    (operation, prefix): (Operation, &'static str),
) -> CallScript {
    let machine = Arc::clone(machine);
    let is_played = AtomicBool::new(false);
    Arc::new(move |at, called, key| {
        let is_it = at == InterceptionPoint::Before && called == operation;
        if is_it && key.starts_with(prefix) && !is_played.swap(true, Ordering::Relaxed) {
            machine.freeze(Duration::from_secs(200));
        }
        Box::pin(async { ScriptDecision::Proceed })
    })
}

/// Refreshes a view while another refresher, whose claim has ended, is frozen before this call. Returns the violations.
///
/// ```text
///   seconds   0      60       61       80                    90       240        280         300
///   client    row             delete
///   a                                  claim, computes, frozen ................. continues
///   b                flush                                   flush    refresh                check
///   marks            39                                      69
/// ```
async fn continue_after_another_refresh(
    weakness: Option<DisabledRule>,
    call: (Operation, &'static str),
) -> Vec<Violation> {
    let scenario = ScriptedScenario::open_with(ScheduleParameters {
        cast: ActorSelection { viewing: true, ..ActorSelection::NO_OPTIONAL_ACTORS },
        ..ScheduleParameters::WITHOUT_FAULTS
    })
    .await;
    let stage = actors(&scenario);
    let start = |name: &str, call: Option<(Operation, &'static str)>| {
        let machine = scenario.machine(name, Suspension::NoClockStops);
        let start = InstanceOptions {
            weakness,
            script: call.map(|call| freeze_before(&machine, call)),
            ..InstanceOptions::healthy(scenario.rules)
        };
        scenario.start(&machine, start)
    };
    let b = start("b", None);
    write_and_flush(&scenario, &b).await;
    let created = b.catalog.create_view(DATABASE, &new_view(VIEW)).await;
    created.unwrap();
    let erasure = GeneratedDelete {
        request: scenario.content().request,
        table: Some(TABLE),
        hosts: HOSTS.to_vec(),
        times: (i64::MIN, i64::MAX),
    };
    b.erase(&erasure, None).await.unwrap();
    scenario.sleep_until(80.0).await;
    let a = start("a", Some(call));
    let of_b = async {
        scenario.sleep_until(90.0).await;
        b.flusher.flush(DATABASE).await.unwrap();
        scenario.sleep_until(240.0).await;
        refresh(&stage, &b, DATABASE, LIMIT).await.unwrap();
    };
    let (of_a, ()) = futures::join!(refresh(&stage, &a, DATABASE, LIMIT), of_b);
    assert!(of_a.is_ok_and(|report| report.failures().next().is_some()));
    scenario.sleep_until(300.0).await;
    check_views(&stage, &b).await;
    scenario.violations()
}

/// Checks that rows of a view differ from its source without a rule, and do not differ with it.
fn assert_rows_differ_without(rule: DisabledRule, call: (Operation, &'static str)) {
    run(async {
        let broken = continue_after_another_refresh(Some(rule), call).await;
        let is_expected = |one: &Violation| one.invariant == Invariant::ViewsMatchSources;
        assert!(!broken.is_empty() && broken.iter().all(is_expected), "{broken:?}");
    });
    run(async {
        let broken = continue_after_another_refresh(None, call).await;
        assert!(broken.is_empty(), "{broken:?}");
    });
}

#[test]
fn writes_after_the_end_of_a_claim_replace_newer_rows() {
    // The refresher has checked its claim. It reads the root catalog, and then writes.
    assert_rows_differ_without(DisabledRule::ClaimEnd, (Operation::Get, "catalog"));
}

#[test]
fn late_writes_of_an_abandoned_claim_reappear_unless_its_windows_are_replaced() {
    // The write has its stamp, and is not sent yet.
    assert_rows_differ_without(DisabledRule::UnfinishedWindows, (Operation::Put, "tail/"));
}

#[test]
fn listed_windows_differ_from_the_source() {
    let expected = [Invariant::CurrentWindowsMatchSources];
    matters(DisabledRule::CurrentWindows, &VIEWS, &expected);
}

/// Computes a view, deletes the rows of its source after they have expired, and refreshes the view again, according to the
/// present catalog or the one before its source had a retention. Returns the rows of the view before and after.
async fn refresh_after_expiry(with_present_catalog: bool) -> [Rows; 2] {
    let scenario = ScriptedScenario::open().await;
    let stage = actors(&scenario);
    let instance = scenario.instance("b");
    write_and_flush(&scenario, &instance).await;
    let created = instance.catalog.create_view(DATABASE, &new_view(VIEW)).await;
    created.unwrap();
    refresh(&stage, &instance, DATABASE, LIMIT).await.unwrap();
    let before = instance.read_table(DATABASE, VIEW, None).await.unwrap();
    let former = instance.catalog.database(DATABASE, ANY_AGE).await.unwrap();
    let source = former.value.table(TABLE).unwrap().id();
    let hour = Some(Duration::from_secs(3600));
    let present = instance.catalog.set_table_retention(DATABASE, source, hour).await.unwrap();
    // The rows are at most some days old at the start.
    scenario.sleep(10.0 * 86_400.0).await;
    let erasure = GeneratedDelete {
        request: scenario.content().request,
        table: Some(TABLE),
        hosts: HOSTS.to_vec(),
        times: (i64::MIN, i64::MAX),
    };
    instance.erase(&erasure, None).await.unwrap();
    scenario.sleep(60.0).await;
    instance.flusher.flush(DATABASE).await.unwrap();
    let catalog = if with_present_catalog {
        present
    } else {
        former
    };
    let refreshed = refresh_as_of(&stage, &instance, (DATABASE, &catalog.value), LIMIT).await;
    refreshed.unwrap();
    let after = instance.read_table(DATABASE, VIEW, None).await.unwrap();
    [before, after].map(|answer| answer.unwrap().rows)
}

#[test]
fn rows_that_expired_at_the_source_are_lost_without_its_retention() {
    run(async {
        let [before, after] = refresh_after_expiry(true).await;
        assert_eq!(before.len(), 1);
        assert_eq!(after, before);
    });
    run(async {
        let [before, after] = refresh_after_expiry(false).await;
        assert_eq!(before.len(), 1);
        assert!(after.is_empty(), "{after:?}");
    });
}
