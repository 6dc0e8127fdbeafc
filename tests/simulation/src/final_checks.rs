//! The checks after a schedule, on instances without faults.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use neap_bucket::{Key, ProtocolRules};
use neap_compact::{CompactorEvent, JobLimits, PlanLimits, PlanScope};
use neap_fsck::{Fsck, FsckOptions};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use crate::{
    actors::ActorContext,
    compactors::collect,
    instance::{DATABASE, Instance},
    jobs::{finish_jobs, has_errors, report_erasures},
    ledger::{ReportedOutcomes, check_reported_outcomes},
    oracle::{Invariant, SimulationOracle},
    plugin_actor::deliver_all,
    query::QueryConsistency,
    view_checks::check_views,
    write::GeneratedWrite,
};

/// After this time, no request of the schedule is in flight.
const MAX_IN_FLIGHT_TIME: Duration = Duration::from_secs(6000);

/// The rounds of planning after which everything is merged.
const MAX_PLAN_ROUNDS: usize = 6;

/// Queries all databases after the schedule. In 30 % of the schedules, it then waits until late writes have landed,
/// writes and flushes once more, merges and collects everything, and queries again.
pub(crate) async fn finish(stage: &ActorContext, rules: ProtocolRules, sayings: &ReportedOutcomes) {
    let world = &stage.world;
    let last = Instance::healthy(world, "last", rules);
    finish_jobs(stage, &last).await;
    check_answers(stage, &last).await;
    check_views(stage, &last).await;
    check_bucket(stage, &last, false).await;
    if world.choices.cast.triggering {
        deliver_all(&last).await;
    }
    if world.chance.happens(0.3) {
        world.time.sleep(MAX_IN_FLIGHT_TIME).await;
        let request = stage.requests.fetch_add(1, Ordering::Relaxed);
        let written = last.write(&GeneratedWrite::new(request, 0, "a"), None).await;
        if written.is_ok() {
            world.truth.oracle(|oracle| oracle.acknowledge(request));
        }
        world.time.sleep(Duration::from_secs(60)).await;
        let flushed = last.flusher.flush(DATABASE).await;
        last.trace(format_args!("last flush: {flushed:?}"));
        if world.choices.cast.triggering {
            deliver_all(&last).await;
        }
        let cast = &world.choices.cast;
        if cast.collecting && cast.weakness.is_none() {
            merge_and_collect_all(stage, &last).await;
        }
        if cast.jobs.erasing {
            report_erasures(&last, |_| true).await;
        }
        let verifier = Instance::healthy(world, "verifier", rules);
        check_answers(stage, &verifier).await;
        check_views(stage, &verifier).await;
        check_past_versions(stage, &verifier).await;
        check_bucket(stage, &verifier, true).await;
    }
    check_reported_outcomes(&last, sayings).await;
}

async fn check_answers(stage: &ActorContext, instance: &Instance) {
    for (database, name) in stage.databases() {
        if instance.is_live(database).await != Some(true) {
            continue;
        }
        if instance.ask(database, QueryConsistency::Strong).await.is_none() {
            let text = format!("{name} returned no answer without any fault");
            fail(stage, Invariant::NoUnexpectedError, text);
        }
    }
}

fn fail(stage: &ActorContext, invariant: Invariant, text: String) {
    let fail = |oracle: &mut SimulationOracle| oracle.fail(invariant, text);
    stage.world.truth.oracle(fail);
}

/// Checks the bucket as an operator does. A full check reads every row.
async fn check_bucket(stage: &ActorContext, instance: &Instance, full: bool) {
    // The check reports marks that are ahead of the store's clock.
    if stage.mix.store_steps {
        return;
    }
    let options = FsckOptions { full, ..FsckOptions::default() };
    let report = Fsck::new(instance.bucket.clone()).check(&options, &|_| {}).await;
    instance.trace(format_args!("fsck: {report:?}"));
    let truth = &stage.world.truth;
    match report {
        Ok(report) => truth.oracle(|oracle| {
            let hidden = if stage.world.choices.cast.jobs.backing_up {
                oracle.hidden_names.clone()
            } else {
                BTreeSet::new()
            };
            if has_errors(&report, &hidden) {
                oracle.fail(Invariant::CheckIsClean, report);
            } else {
                let rows = usize::try_from(report.checked.rows).unwrap_or(0);
                oracle.counts.checked_rows += rows;
            }
        }),
        Err(error) => fail(stage, Invariant::NoUnexpectedError, error.to_string()),
    }
}

/// Checks that every listed version can be read.
async fn check_past_versions(stage: &ActorContext, instance: &Instance) {
    for (database, name) in stage.databases() {
        if instance.is_live(database).await != Some(true) {
            continue;
        }
        let Ok(manifest) = instance.manifests.read(database, None).await else {
            continue;
        };
        for version in Manifest::versions(&manifest) {
            let question = QueryConsistency::AsOf(version.mark);
            if instance.ask(database, question).await.is_none() {
                let text = format!("{version:?} of {name} is listed and can't be read");
                fail(stage, Invariant::HistoryIsRetained, text);
            }
        }
    }
}

/// Merges everything and deletes all garbage.
async fn merge_and_collect_all(stage: &ActorContext, instance: &Arc<Instance>) {
    let time = &stage.world.time;
    for (database, _) in stage.databases() {
        merge_all(stage, instance, database).await;
    }
    let kept = instance.collects.time_travel + Duration::from_secs(60);
    // Orphans and bundles with deleted rows are condemned, merges empty these bundles, condemned entries are doomed, the
    // objects of doomed entries are deleted, and the entries are removed. Collecting a copy releases the pins on its source.
    for wait in [instance.collects.orphan_age, kept, kept, kept, kept] {
        time.sleep(wait).await;
        if stage.world.choices.cast.destroying {
            let removed = instance.compactor.handle(&CompactorEvent::Collect, None).await;
            instance.trace(format_args!("last removal: {removed:?}"));
        }
        for (database, _) in stage.databases().into_iter().rev() {
            if instance.is_live(database).await == Some(true) {
                merge_all(stage, instance, database).await;
            }
            collect(instance, database).await;
            collect(instance, database).await;
        }
    }
    // A copy that was never published is not checked.
    let truth = &stage.world.truth;
    for (database, name) in stage.databases() {
        let mut there = truth.keys(&Key::data_prefix(database));
        there.extend(truth.keys(&Key::tail_prefix(database)));
        let garbage = truth.oracle(|oracle| oracle.garbage(database, &there));
        if !garbage.is_empty() {
            let text = format!("garbage of {name} was not deleted: {garbage:?}");
            fail(stage, Invariant::GarbageIsCollected, text);
        }
    }
}

/// Merges until nothing is left to merge.
async fn merge_all(stage: &ActorContext, instance: &Arc<Instance>, database: DatabaseId) {
    for _ in 0..MAX_PLAN_ROUNDS {
        let limits = PlanLimits::with_max_jobs(64);
        let planned = instance.maintainer.plan(database, PlanScope::All, limits).await;
        instance.trace(format_args!("last plan: {planned:?}"));
        let Ok(planned) = planned else {
            fail(stage, Invariant::NoUnexpectedError, "no plan".to_owned());
            return;
        };
        for order in &planned.orders {
            let run = instance.maintainer.run(order, &JobLimits::default()).await;
            instance.trace(format_args!("last merge: {run:?}"));
            if let Err(error) = run {
                fail(stage, Invariant::NoUnexpectedError, error.to_string());
            }
        }
        if planned.orders.is_empty() {
            return;
        }
    }
}
