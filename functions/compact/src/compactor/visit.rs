//! A visit to a database with a tail that looks due: deletes flushed segments, and flushes the remaining tail if it is
//! due.

use std::time::Duration;

use futures::{StreamExt, stream};
use neap_bucket::{Stamp, StoreTime, VersionedValue};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{
    CollectionReport, CompactError, CompactionReport, FlushResult, PlanScope,
    deferred_segments::DeferralReason,
    tails::{ListedTail, TailSize, list_tail, tail_size_above},
    time_limit::TimeLimit,
};

/// Time for which segments that are kept for triggers are skipped. After it, trigger progress is checked again.
const TRIGGER_DEFERRAL_TIME: Duration = Duration::from_secs(600);

/// Clock skew added to the time after which flushed segments can be deleted, before they are listed again.
const GRACE_MARGIN: Duration = Duration::from_secs(10);

/// Outcome of a visit.
#[derive(Debug, Default)]
struct DatabaseVisit {
    report: CompactionReport,
    /// Whether the database was flushed.
    is_flushed: bool,
}

/// Time limits of a visit. Its first flush starts if the invocation has time left; further flushes start if the visit
/// has time left.
#[derive(Debug)]
struct VisitTimeLimits<'a> {
    invocation: &'a TimeLimit<'a>,
    part: &'a TimeLimit<'a>,
}

impl Compactor {
    /// Visits databases in parallel, then plans merges of the flushed ones. Merges run after all flushes, so that both
    /// do not use memory at the same time.
    pub(super) async fn visit_all(
        &self,
        databases: Vec<(DatabaseId, Option<ListedTail>)>,
        date: Option<StoreTime>,
        time: &TimeLimit<'_>,
    ) -> CompactionReport {
        let mut visits = stream::iter(databases)
            .map(|(database, tail)| async move {
                let visit = self.visit(database, tail, date, time).await;
                (database, visit)
            })
            .buffer_unordered(self.slots.total());
        let mut report = CompactionReport::default();
        let mut flushed = Vec::new();
        while let Some((database, visit)) = visits.next().await {
            report = report.and(visit.report);
            flushed.extend(visit.is_flushed.then_some(database));
        }
        report.and(self.merge_databases(flushed, PlanScope::Recent, time).await)
    }

    /// Visits a database within a part of the time, and records whether it failed.
    async fn visit(
        &self,
        database: DatabaseId,
        tail: Option<ListedTail>,
        date: Option<StoreTime>,
        time: &TimeLimit<'_>,
    ) -> DatabaseVisit {
        let mut visit = DatabaseVisit::default();
        if time.is_over() {
            visit.report.unfinished = true;
            return visit;
        }
        let part = time.part();
        let times = VisitTimeLimits { invocation: time, part: &part };
        let tended = self.flush_if_due(database, (tail, date), &times, &mut visit);
        let tended = part.run(tended).await;
        let report = &mut visit.report;
        match tended {
            Some(outcome) => report.note(database, outcome),
            None => {
                let reason = "the flush exceeded its time limit and was cancelled".to_owned();
                tracing::warn!(%database, reason);
                report.record_failure(database, reason);
            }
        }
        // A long tail that has used its part of the time comes after other databases in the next run.
        let is_slow = visit.is_flushed && report.unfinished;
        let is_set_back = is_slow || !report.failures.is_empty();
        self.setbacks.note(database, is_set_back, self.bucket.world());
        visit
    }

    /// Deletes flushed segments, and flushes the remaining tail if it is due.
    async fn flush_if_due(
        &self,
        database: DatabaseId,
        (tail, date): (Option<ListedTail>, Option<StoreTime>),
        times: &VisitTimeLimits<'_>,
        visit: &mut DatabaseVisit,
    ) -> Result<(), CompactError> {
        let (tail, date) = match tail {
            Some(tail) => (tail, date),
            None => list_tail(&self.bucket, database).await?,
        };
        if tail.size.segments == 0 {
            return Ok(());
        }
        let manifest = self.maintainer.read(database).await?;
        let mark = manifest.value.low_water_mark;
        let (above, collected) = if tail.is_whole() {
            let (above, tail) = (tail.size_above(mark), tail.into_page(date));
            let collector = &self.collector;
            let collected = collector.collect_listed_segments(database, &manifest, tail);
            (above, collected.await?)
        } else {
            let collected = self.collector.collect_segments(database, &manifest).await?;
            let above = tail_size_above(&self.bucket, database, mark).await?;
            (above, collected)
        };
        self.record_collected(database, &manifest, collected, &mut visit.report);
        if !self.is_due(above, date) {
            return Ok(());
        }
        self.flush_tail(database, (manifest, above), times, visit).await
    }

    /// Flushes until no remaining segment is old enough.
    async fn flush_tail(
        &self,
        database: DatabaseId,
        (manifest, tail): (VersionedValue<Manifest>, TailSize),
        times: &VisitTimeLimits<'_>,
        visit: &mut DatabaseVisit,
    ) -> Result<(), CompactError> {
        let mut manifest = Some(manifest);
        loop {
            // Other databases can take the memory between two flushes of a long tail.
            let flush = self.flusher.reserve(tail.bytes).await;
            let time = if visit.is_flushed {
                times.part
            } else {
                times.invocation
            };
            if time.is_over() {
                visit.report.unfinished = true;
                return Ok(());
            }
            match flush.flush(database, manifest.take()).await? {
                FlushResult::Done { more, mark, .. } => {
                    visit.is_flushed = true;
                    visit.report.flushes += 1;
                    self.defer_flushed(database, mark);
                    if !more {
                        return Ok(());
                    }
                }
                FlushResult::Skipped(reason) => {
                    visit.report.record_unflushed(database, &reason);
                    return Ok(());
                }
            }
        }
    }

    /// Defers flushed segments until they can be deleted.
    fn defer_flushed(&self, database: DatabaseId, mark: Stamp) {
        let time = self.collector.segment_grace().saturating_add(GRACE_MARGIN);
        let deferral = (DeferralReason::AlreadyFlushed, mark);
        let world = self.bucket.world();
        self.deferred.defer(database, deferral, time, world);
    }

    /// Reports deleted segments, and defers the segments that are kept.
    pub(super) fn record_collected(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        collected: CollectionReport,
        report: &mut CompactionReport,
    ) {
        match collected.kept {
            0 => self.deferred.forget(database),
            _ => {
                let deferral = (DeferralReason::AlreadyFlushed, manifest.value.low_water_mark);
                let world = self.bucket.world();
                self.deferred.defer(database, deferral, TRIGGER_DEFERRAL_TIME, world);
            }
        }
        report.add_collected(collected);
    }
}
