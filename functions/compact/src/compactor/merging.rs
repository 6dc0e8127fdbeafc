//! What follows a flush: merges are planned and handed out or run, and caches are filled.

use futures::{StreamExt, stream};
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{
    CompactError, Event, MergeOrder, PlanLimits, Report, Scope,
    merge::{JobLimits, MergeOutcome},
    time_limit::TimeLimit,
};

/// What a merge surely gets through on a slow machine: about a third of what one core of a fast one does.
const SURE_BYTES_PER_SECOND: u64 = 4 << 20;

impl Compactor {
    /// Plans merges of databases and fills their caches, several databases at once.
    pub(super) async fn merge_databases(
        &self,
        databases: Vec<DatabaseId>,
        scope: Scope,
        time: &TimeLimit<'_>,
    ) -> Report {
        let reports = stream::iter(databases).map(|database| async move {
            let mut report = Report::default();
            let merged = self.merge_all(database, scope, time, &mut report).await;
            report.note(database, merged);
            let filled = self.fill(database, time, &mut report).await;
            report.note(database, filled);
            report
        });
        let reports = reports.buffer_unordered(self.slots.total());
        let sum = |sum: Report, report| std::future::ready(sum.and(report));
        reports.fold(Report::default(), sum).await
    }

    /// Fills caches, if there is time left.
    pub(super) async fn fill(
        &self,
        database: DatabaseId,
        time: &TimeLimit<'_>,
        report: &mut Report,
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

    /// Plans merges, and hands them out or runs them, until there is nothing to merge.
    pub(super) async fn merge_all(
        &self,
        database: DatabaseId,
        scope: Scope,
        time: &TimeLimit<'_>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        loop {
            if time.is_over() {
                report.unfinished = true;
                return Ok(());
            }
            let limits = self.plan_limits(time);
            let planned = self.maintainer.plan(database, scope, limits).await;
            let Some(planned) = report.settled(database, planned)? else {
                return Ok(());
            };
            report.removed += planned.removed;
            for failure in planned.failures {
                report.note_failure(database, failure);
            }
            if let Some(dispatcher) = &self.dispatcher {
                for order in planned.orders {
                    match dispatcher.dispatch(Event::Merge(order)).await {
                        Ok(()) => report.handed_out += 1,
                        Err(reason) => report.failures.push((database, reason)),
                    }
                }
                return Ok(());
            }
            let before = report.merges;
            let left = self.run_all(planned.orders, time, report).await;
            report.unfinished |= !left.is_empty();
            let released = self.maintainer.release(database, &left).await;
            report.settled(database, released)?;
            // What was merged may be merged further.
            if report.merges == before {
                return Ok(());
            }
        }
    }

    /// Runs merges as long as there is time. The claims of those that are left.
    async fn run_all(
        &self,
        orders: Vec<MergeOrder>,
        time: &TimeLimit<'_>,
        report: &mut Report,
    ) -> Vec<ulid::Ulid> {
        let merged = stream::iter(orders).map(|order| async move {
            let _permit = self.merges.acquire().await;
            let outcome = match time.is_over() {
                true => None,
                false => Some(self.run(&order, time).await),
            };
            (order, outcome)
        });
        let parallel = self.settings.parallel_merges.max(1);
        let merged: Vec<_> = merged.buffer_unordered(parallel).collect().await;
        let mut left = Vec::new();
        for (order, outcome) in merged {
            match outcome {
                Some(outcome) => report.note_merge(order.database, outcome),
                None => left.push(order.job),
            }
        }
        left
    }

    fn plan_limits(&self, time: &TimeLimit<'_>) -> PlanLimits {
        let left = time.left().unwrap_or(JobLimits::default().time);
        PlanLimits {
            jobs: self.settings.max_jobs,
            job_bytes: left.as_secs().saturating_mul(SURE_BYTES_PER_SECOND),
        }
    }

    async fn run(
        &self,
        order: &MergeOrder,
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

    /// Runs a merge that was handed out.
    pub(super) async fn merge(
        &self,
        order: &MergeOrder,
        time: &TimeLimit<'_>,
    ) -> Result<Report, CompactError> {
        let mut report = Report::default();
        let outcome = self.run(order, time).await;
        if let Some(outcome) = report.settled(order.database, outcome)? {
            report.note_merge(order.database, Ok(outcome));
        }
        Ok(report)
    }
}
