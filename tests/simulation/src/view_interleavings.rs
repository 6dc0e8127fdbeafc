//! Interleavings of refreshes of materialized views, one by one.

use std::{sync::atomic::Ordering, time::Duration};

use neap_bucket::Operation;
use neap_compact::FlushResult;

use crate::{
    actors::ActorContext,
    instance::{DATABASE, Instance},
    machine::Suspension,
    query::QueryConsistency,
    scenario::{ScriptedScenario, before, freeze},
    schedule::ScheduleMix,
    simulate::run,
    view_actor::refresh,
    view_rows::{VIEW, new_view},
};

/// The time limit of a refresh.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// Returns the context of actors, whose requests have other numbers than those of the script.
pub(crate) fn actors(scenario: &ScriptedScenario) -> ActorContext {
    let stage = ActorContext::new(&scenario.world, &ScheduleMix::ALL);
    stage.requests.store(1_000, Ordering::Relaxed);
    stage
}

/// Writes a row, and flushes it a minute later.
pub(crate) async fn write_and_flush(scenario: &ScriptedScenario, instance: &Instance) {
    let content = scenario.content();
    scenario.write(instance, &content, None).await.unwrap();
    scenario.sleep(60.0).await;
    let flushed = instance.flusher.flush(DATABASE).await;
    assert!(matches!(flushed, Ok(FlushResult::Done { .. })), "{flushed:?}");
}

/// ```text
///   a   reads the manifest ---- frozen ---- reads the progress
///   b                 flushes and refreshes
/// ```
#[test]
fn a_refresher_whose_manifest_is_older_than_the_progress_computes_no_window_again() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let stage = actors(&scenario);
        let b = scenario.instance("b");
        write_and_flush(&scenario, &b).await;
        let created = b.catalog.create_view(DATABASE, &new_view(VIEW)).await;
        created.unwrap();
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let frozen = freeze(&machine, 200);
        let script = before(Operation::Get, "/views", frozen);
        let a = scenario.scripted(&machine, script);
        let (of_a, of_b) = futures::join!(refresh(&stage, &a, DATABASE, LIMIT), async {
            scenario.sleep(1.0).await;
            write_and_flush(&scenario, &b).await;
            refresh(&stage, &b, DATABASE, LIMIT).await
        });
        assert_eq!(of_b.unwrap().windows, 1);
        assert_eq!(of_a.unwrap().windows, 0);
        scenario.assert_no_violations();
    });
}

/// ```text
///   seconds   45      60       69         70       71
///   client    row
///   flushes           mark 41             mark 51
///   a                          refresh                       its host of the store is two seconds ahead
///   b                                              refresh   its host is two seconds behind
/// ```
#[test]
fn rows_of_a_later_claim_win_if_the_clock_of_the_claim_before_was_ahead() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let stage = actors(&scenario);
        scenario.world.truth.set_skew(2.0);
        let a = scenario.instance("a");
        for seconds in [0.0, 45.0] {
            scenario.sleep_until(seconds).await;
            let content = scenario.content();
            scenario.write(&a, &content, None).await.unwrap();
        }
        let created = a.catalog.create_view(DATABASE, &new_view(VIEW)).await;
        created.unwrap();
        scenario.sleep_until(60.0).await;
        a.flusher.flush(DATABASE).await.unwrap();
        scenario.sleep_until(69.0).await;
        let of_a = refresh(&stage, &a, DATABASE, LIMIT).await.unwrap();
        scenario.sleep_until(70.0).await;
        a.flusher.flush(DATABASE).await.unwrap();
        scenario.world.truth.set_skew(-2.0);
        scenario.sleep_until(71.0).await;
        let b = scenario.instance("b");
        let of_b = refresh(&stage, &b, DATABASE, LIMIT).await.unwrap();
        assert_eq!((of_a.rows, of_b.rows), (1, 1));
        let answer = b.ask(DATABASE, QueryConsistency::Strong).await.unwrap();
        let totals = answer.values().flatten().filter_map(|(_, fields)| fields.get("total"));
        assert_eq!(totals.collect::<Vec<_>>(), [&200]);
        scenario.assert_no_violations();
    });
}
