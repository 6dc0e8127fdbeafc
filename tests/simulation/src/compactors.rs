//! Actors that merge sections and collect garbage. Each runs until the schedule ends.

use std::{sync::Arc, time::Duration};

use neap_bucket::Stamp;
use neap_compact::{
    CompactError, CompactorEvent, JobLimits, MergeError, MergeJob, MergeReason, PlanScope,
};
use neap_manifest::{ManifestError, Section, SectionBounds};
use neap_schema::DatabaseId;

use crate::{
    actors::{ActorContext, run_on},
    instance::{Instance, InstanceSlot},
    oracle::{Invariant, SimulationOracle},
    random::SeededRandom,
};

/// The error of store times. Objects are kept for at least the time-travel period less this.
const CLOCK_ERROR: Duration = Duration::from_secs(12);

impl Instance {
    fn report_unexpected(&self, what: &str, error: &dyn std::fmt::Display) {
        if self.world.truth.damages() > 0 {
            return;
        }
        let text = format!("{what}: {error}");
        let fail = |oracle: &mut SimulationOracle| oracle.fail(Invariant::NoUnexpectedError, text);
        self.world.truth.oracle(fail);
    }

    /// Reports a violation if a part of an event must not fail with this message.
    fn check_message(&self, what: &str, failure: &str) {
        let surprises = [
            "damaged",
            "not sorted",
            "invalid commit:",
            "invalid page reference:",
            "is not one of the table",
        ];
        if surprises.iter().any(|surprise| failure.contains(surprise)) {
            self.report_unexpected(what, &failure);
        }
    }

    /// Reports a violation if a job that began at `started_at` must not fail with this error.
    pub(crate) fn check_error(&self, what: &str, error: &CompactError, started_at: Duration) {
        self.trace(format_args!("{what}: {error}"));
        match error {
            CompactError::Format(_)
            | CompactError::Segment(_)
            | CompactError::Points(_)
            | CompactError::Encode { .. }
            | CompactError::Manifest(
                ManifestError::Format(_) | ManifestError::InvalidCommit { .. },
            ) => {
                self.report_unexpected(what, error);
            }
            CompactError::Manifest(ManifestError::PageGone { .. }) => {
                self.check_missing_object(what, error, started_at);
            }
            CompactError::Merge(error) => self.check_merge_error(what, error, started_at),
            _ => {}
        }
    }

    fn check_merge_error(&self, what: &str, error: &MergeError, started_at: Duration) {
        match error {
            MergeError::Format(_)
            | MergeError::NotSorted(_)
            | MergeError::Column { .. }
            | MergeError::Points(_)
            | MergeError::Mask(_)
            | MergeError::Encode(_)
            | MergeError::Manifest(
                ManifestError::Format(_) | ManifestError::InvalidCommit { .. },
            ) => {
                self.report_unexpected(what, error);
            }
            MergeError::Missing(_) | MergeError::Manifest(ManifestError::PageGone { .. }) => {
                self.check_missing_object(what, error, started_at);
            }
            _ => {}
        }
    }

    fn check_missing_object(
        &self,
        what: &str,
        error: &dyn std::fmt::Display,
        started_at: Duration,
    ) {
        let lasted = self.world.time.now() - started_at;
        let kept = self.world.truth.oracle(|oracle| oracle.time_travel);
        if lasted + CLOCK_ERROR < kept {
            self.report_unexpected(what, error);
        }
    }
}

/// Returns a merge of random sections of one table. If `is_closed`, it includes all sections that must be merged with
/// them.
pub(crate) fn closed_set(
    chance: &SeededRandom,
    sections: &[Arc<Section>],
    is_closed: bool,
) -> Option<MergeJob> {
    let first = sections.get(chance.below(sections.len()))?;
    let of_table = sections.iter().filter(|one| one.table == first.table);
    let mut rest: Vec<Arc<Section>> = of_table.cloned().collect();
    let mut inputs = Vec::new();
    for _ in 0..=chance.below(3) {
        if !rest.is_empty() {
            inputs.push(rest.swap_remove(chance.below(rest.len())));
        }
    }
    if is_closed {
        close(&mut inputs, rest)?;
    }
    MergeJob::new(inputs, MergeReason::Recent)
}

/// Adds the sections that overlap the bounds of the inputs, until no further section does.
fn close(inputs: &mut Vec<Arc<Section>>, mut rest: Vec<Arc<Section>>) -> Option<()> {
    loop {
        let bounds = inputs.iter().map(|section| section.bounds()).reduce(SectionBounds::union)?;
        let (met, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|section| bounds.overlaps(&section.bounds()));
        rest = others;
        if met.is_empty() {
            return Some(());
        }
        inputs.extend(met);
    }
}

fn limits(chance: &SeededRandom) -> JobLimits {
    JobLimits {
        time: Duration::from_secs(chance.pick(&[20, 600])),
        ..JobLimits::default()
    }
}

/// Merges random sections at random intervals.
pub(crate) async fn merger(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.merge_pauses).await;
        let database = stage.random_database().0;
        run_on(&place, async |instance| {
            match instance.weakness {
                Some(weakness) => instance.merge_without_rule(database, weakness).await,
                None => merge_random(&instance, database).await,
            };
        })
        .await;
    }
}

/// Merges a random closed set of sections.
pub(crate) async fn merge_random(instance: &Instance, database: DatabaseId) -> Option<()> {
    let chance = &instance.world.chance;
    let started_at = instance.world.time.now();
    let manifest = instance.manifests.read(database, None).await.ok()?;
    let found = instance.manifests.all_sections(database, &manifest.value);
    let found = match found.await {
        Ok(found) => found,
        Err(error) => {
            instance.check_error("a merge", &error.into(), started_at);
            return None;
        }
    };
    let sections: Vec<_> = found.into_iter().map(|found| found.section).collect();
    let job = closed_set(chance, &sections, true)?;
    let merged = instance.merger.run(database, &job.reference(), None, &limits(chance)).await;
    match merged {
        Ok(outcome) => instance.trace(format_args!(
            "merge of {} sections of {database}: {outcome:?}",
            job.inputs.len()
        )),
        Err(error) => instance.check_error("a merge", &error.into(), started_at),
    }
    Some(())
}

/// Plans and runs merges, and removes expired rows and dropped tables.
pub(crate) async fn planner(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.merge_pauses).await;
        let database = stage.random_database().0;
        run_on(&place, async |instance| plan(&instance, database).await).await;
    }
}

async fn plan(instance: &Instance, database: DatabaseId) {
    let chance = &instance.world.chance;
    let started_at = instance.world.time.now();
    let scope = chance.pick(&[PlanScope::Recent, PlanScope::All]);
    let planned = match instance
        .maintainer
        .plan(database, scope, neap_compact::PlanLimits::with_max_jobs(4))
        .await
    {
        Ok(planned) => planned,
        Err(error) => return instance.check_error("a plan", &error, started_at),
    };
    instance.trace(format_args!("plan for {database}: {planned:?}"));
    if chance.happens(0.5) {
        let started_at = instance.world.time.now();
        let orders = &planned.orders;
        let run = instance.maintainer.run_all(database, orders, &limits(chance), &mut None).await;
        let (results, error) = match run {
            Ok(results) => (results, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        for result in results.into_iter().chain(error.map(Err)) {
            match result {
                Ok(outcome) => instance.trace(format_args!("of several: {outcome:?}")),
                Err(error) => instance.check_error("orders", &error, started_at),
            }
        }
        return;
    }
    for order in &planned.orders {
        // This order is lost.
        if chance.happens(0.1) {
            continue;
        }
        let started_at = instance.world.time.now();
        match instance.maintainer.run(order, &limits(chance)).await {
            Ok(outcome) => instance.trace(format_args!("order {}: {outcome:?}", order.job)),
            Err(error) => instance.check_error("an order", &error, started_at),
        }
    }
}

/// Runs the whole compact function.
pub(crate) async fn compactor(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.merge_pauses).await;
        run_on(&place, async |instance| {
            let chance = &instance.world.chance;
            let event = if chance.happens(0.5) {
                CompactorEvent::Scheduled
            } else {
                CompactorEvent::Collect
            };
            let started_at = instance.world.time.now();
            let limit = Duration::from_secs(chance.pick(&[20, 600]));
            match instance.compactor.handle(&event, Some(limit)).await {
                Ok(report) => {
                    instance.trace(format_args!("{event:?}: {report:?}"));
                    for (_, failure) in &report.failures {
                        instance.check_message("an event", failure);
                    }
                }
                Err(error) => instance.check_error("an event", &error, started_at),
            }
        })
        .await;
    }
}

/// Deletes garbage at random intervals.
pub(crate) async fn collector(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.collect_pauses).await;
        let is_all = stage.world.choices.cast.collecting;
        let database = stage.random_database().0;
        run_on(&place, async |instance| match instance.weakness {
            Some(weakness) => {
                instance.collect_without_rule(database, weakness).await;
            }
            None if is_all => collect(&instance, database).await,
            None => {
                collect_segments(&instance, database).await;
            }
        })
        .await;
    }
}

/// Runs the collector once on a database.
pub(crate) async fn collect(instance: &Instance, database: DatabaseId) {
    let started_at = instance.world.time.now();
    match instance.collector.collect(database).await {
        Ok(collected) => instance.trace(format_args!("collects {database}: {collected:?}")),
        Err(error) => instance.check_error("a collection", &error, started_at),
    }
}

/// Deletes the segments that have been below a low-water mark for long enough.
pub(crate) async fn collect_segments(instance: &Instance, database: DatabaseId) -> Option<()> {
    let manifest = instance.manifests.read(database, None).await.ok()?;
    let collected = instance.collector.collect_segments(database, &manifest).await.ok()?;
    instance.trace(format_args!("collects {database}: {collected:?}"));
    Some(())
}

/// Returns a random earlier state for a query to read.
pub(crate) fn random_past_stamp(stage: &ActorContext, database: DatabaseId) -> Stamp {
    let (world, chance) = (&stage.world, &stage.world.chance);
    let number = chance.below(usize::MAX);
    let stamp = world.truth.oracle(|oracle| oracle.some_stamp(database, number));
    let ago = Duration::from_secs(chance.pick(&[1, 10, 60, 200, 1000, 4000]));
    let time = neap_bucket::StoreTime::from_micros(world.time.micros()).minus(ago);
    match stamp {
        Some(stamp) if chance.happens(0.5) => stamp,
        _ => Stamp::end_of(time),
    }
}
