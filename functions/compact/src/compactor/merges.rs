//! Work after a flush: plans merges, dispatches or runs them, and fills caches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use neap_bucket::VersionedValue;
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{
    ClaimedMerge, CompactError, CompactionReport, CompactorEvent, PlanLimits, PlanScope,
    merge::{JobLimits, MergeOutcome},
    time_limit::TimeLimit,
};

/// Merge rate that is certain even on a slow machine: about a third of the rate of one core of a fast machine.
const MIN_MERGE_BYTES_PER_SECOND: u64 = 4 << 20;

/// Maximum number of merges in one plan that are run locally: the maximum number of claims in a manifest. A plan reads
/// the sections of every table, so many merges should share its cost.
const LOCAL_JOBS: usize = 1_000;

/// Outcomes of merges that were run together.
type MergeResults = Result<Vec<Result<MergeOutcome, CompactError>>, CompactError>;

type NewestManifest = Mutex<Option<VersionedValue<Manifest>>>;

fn lock(newest: &NewestManifest) -> MutexGuard<'_, Option<VersionedValue<Manifest>>> {
    newest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the newer manifest of two.
fn keep_newest(newest: &NewestManifest, found: Option<VersionedValue<Manifest>>) {
    let mut newest = lock(newest);
    let version =
        |manifest: &Option<VersionedValue<Manifest>>| manifest.as_ref().map(|it| it.version);
    if version(&newest) < version(&found) {
        *newest = found;
    }
}

impl Compactor {
    /// Plans merges of databases and fills their caches, for several databases in parallel.
    pub(super) async fn merge_databases(
        &self,
        databases: Vec<DatabaseId>,
        scope: PlanScope,
        time: &TimeLimit<'_>,
    ) -> CompactionReport {
        let reports = stream::iter(databases)
            .map(|database| async move {
                let mut report = CompactionReport::default();
                let merged = self.merge_all(database, scope, time, &mut report).await;
                report.note(database, merged);
                let filled = self.fill(database, time, &mut report).await;
                report.note(database, filled);
                report
            })
            .buffer_unordered(self.slots.total());
        let sum = |sum: CompactionReport, report| std::future::ready(sum.and(report));
        reports.fold(CompactionReport::default(), sum).await
    }

    /// Fills caches, if there is time left.
    pub(super) async fn fill(
        &self,
        database: DatabaseId,
        time: &TimeLimit<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        if time.is_over() {
            report.unfinished = true;
            return Ok(());
        }
        let has_had_caches = self.backfill.has_had_caches(database).await;
        if report.settled(database, has_had_caches)? != Some(true) {
            return Ok(());
        }
        let permit = self.merges.acquire().await;
        let filled = self.backfill.run(database, &self.job_limits(time)).await;
        drop(permit);
        if let Some(filled) = report.settled(database, filled)? {
            report.caches += filled.caches;
            report.unfinished |= filled.unfinished;
            report.postponed += usize::from(filled.postponed);
            if let Some(error) = filled.failed {
                report.settled(database, Err::<(), _>(error))?;
            }
        }
        Ok(())
    }

    /// Plans merges, and dispatches or runs them, until there is nothing to merge.
    pub(super) async fn merge_all(
        &self,
        database: DatabaseId,
        scope: PlanScope,
        time: &TimeLimit<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let mut known = None;
        loop {
            if time.is_over() {
                report.unfinished = true;
                return Ok(());
            }
            let limits = self.plan_limits(time);
            let planned = self.maintainer.plan_from(database, scope, limits, &mut known).await;
            let Some(mut planned) = report.settled(database, planned)? else {
                return Ok(());
            };
            report.removed += planned.removed;
            for failure in std::mem::take(&mut planned.failures) {
                report.record_failure(database, failure);
            }
            if let Some(dispatcher) = &self.dispatcher {
                for order in planned.orders {
                    match dispatcher.dispatch(CompactorEvent::Merge(order)).await {
                        Ok(()) => report.handed_out += 1,
                        Err(reason) => report.failures.push((database, reason)),
                    }
                }
                return Ok(());
            }
            let before = report.merges;
            let batches = planned.batches(limits.job_bytes);
            self.run_batches(database, batches, time, &mut known, report).await?;
            // The outputs may be merged further.
            if report.merges == before {
                return Ok(());
            }
        }
    }

    /// Runs batches of merges, each with one commit, while there is time. `known` is the newest manifest known.
    async fn run_batches(
        &self,
        database: DatabaseId,
        batches: Vec<Vec<ClaimedMerge>>,
        time: &TimeLimit<'_>,
        known: &mut Option<VersionedValue<Manifest>>,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let newest = Mutex::new(known.take());
        // Collect the futures, so that this future is `Send` for all lifetimes.
        let runs: Vec<_> = batches
            .into_iter()
            .map(|orders| self.run_batch(database, orders, time, &newest))
            .collect();
        let mut merged = stream::iter(runs).buffer_unordered(self.settings.parallel_merges.max(1));
        let mut left = Vec::new();
        while let Some((not_run, results)) = merged.next().await {
            left.extend(not_run.into_iter().map(|order| order.job));
            match results {
                Ok(results) => {
                    for result in results {
                        report.record_merge(database, result);
                    }
                }
                Err(error) => report.record_merge(database, Err(error)),
            }
        }
        drop(merged);
        *known = newest.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.unfinished |= !left.is_empty();
        let released = self.maintainer.release(database, &left).await;
        report.settled(database, released)?;
        Ok(())
    }

    /// Runs merges with one commit. Also returns the merges that were not run because the time is over.
    async fn run_batch(
        &self,
        database: DatabaseId,
        orders: Vec<ClaimedMerge>,
        time: &TimeLimit<'_>,
        newest: &NewestManifest,
    ) -> (Vec<ClaimedMerge>, MergeResults) {
        let _permit = self.merges.acquire().await;
        if time.is_over() {
            return (orders, Ok(Vec::new()));
        }
        let mut known = lock(newest).clone();
        let limits = self.job_limits(time);
        let results = self.maintainer.run_all(database, &orders, &limits, &mut known).await;
        keep_newest(newest, known);
        (Vec::new(), results)
    }

    fn plan_limits(&self, time: &TimeLimit<'_>) -> PlanLimits {
        let left = time.left().unwrap_or(JobLimits::default().time);
        PlanLimits {
            jobs: match self.dispatcher {
                Some(_) => self.settings.max_jobs,
                None => LOCAL_JOBS,
            },
            job_bytes: left.as_secs().saturating_mul(MIN_MERGE_BYTES_PER_SECOND),
        }
    }

    async fn run(
        &self,
        order: &ClaimedMerge,
        time: &TimeLimit<'_>,
    ) -> Result<MergeOutcome, CompactError> {
        self.maintainer.run(order, &self.job_limits(time)).await
    }

    fn job_limits(&self, time: &TimeLimit<'_>) -> JobLimits {
        JobLimits {
            time: time.left().unwrap_or(JobLimits::default().time),
            max_memory_bytes: self.settings.merge_memory_bytes,
        }
    }

    /// Runs a dispatched merge.
    pub(super) async fn merge(
        &self,
        order: &ClaimedMerge,
        time: &TimeLimit<'_>,
    ) -> Result<CompactionReport, CompactError> {
        let mut report = CompactionReport::default();
        let outcome = self.run(order, time).await;
        if let Some(outcome) = report.settled(order.database, outcome)? {
            report.record_merge(order.database, Ok(outcome));
        }
        Ok(report)
    }
}
