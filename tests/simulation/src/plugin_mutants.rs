//! Mutation tests of the delivery to triggers. Engines or collectors without a rule lose segments; with all rules, they
//! pass the same seeds.

use crate::{
    actor_mix::ActorMix,
    compaction_mutants::{BUSY, OWN_COMPACTORS, matters},
    disabled_rule::DisabledRule,
    oracle::Invariant,
    plugin_actor::{create_triggers, deliver_all},
    scenario::ScriptedScenario,
    schedule::ScheduleMix,
    simulate::run,
};

/// Engines that list the tail often, beside writers whose puts are late.
const TRIGGERS: ScheduleMix = ScheduleMix {
    trouble: &[0.03, 0.12],
    cast: ActorMix {
        triggering: 1.0,
        merging: 0.0,
        refresh_pauses: &[0.5, 5.0],
        ..OWN_COMPACTORS
    },
    ..BUSY
};

#[test]
fn a_checkpoint_that_passes_segments_in_flight_loses_them() {
    let expected = [Invariant::DeliveryIsComplete];
    matters(DisabledRule::CheckpointLag, &TRIGGERS, &expected);
}

#[test]
fn a_collector_that_does_not_wait_for_triggers_deletes_what_they_need() {
    let mix = ScheduleMix {
        calls: &[400],
        write_pauses: &[5.0, 20.0],
        collect_pauses: &[20.0],
        cast: ActorMix { refresh_pauses: &[100.0], ..TRIGGERS.cast },
        ..TRIGGERS
    };
    let expected = [Invariant::DeliveryIsComplete];
    matters(DisabledRule::CollectAfterDelivery, &mix, &expected);
}

/// Hosts of the store whose clocks differ by ten seconds answer the creation of the triggers and the write after it.
#[test]
fn a_write_right_after_a_trigger_is_delivered_if_hosts_differ_by_ten_seconds() {
    let violations = run(async {
        let scenario = ScriptedScenario::open().await;
        let truth = &scenario.world.truth;
        truth.set_skew(5.0);
        create_triggers(&scenario.instance("founder")).await;
        truth.set_skew(-5.0);
        let (writer, content) = (scenario.instance("writer"), scenario.content());
        scenario.write(&writer, &content, None).await.unwrap();
        truth.set_skew(0.0);
        deliver_all(&scenario.instance("engine")).await;
        scenario.violations()
    });
    assert!(violations.is_empty(), "{violations:?}");
}
