//! A visit to a database whose tail looks due: what was flushed before is deleted, and what is left is flushed.

use std::time::Duration;

use futures::{StreamExt, stream};
use neap_bucket::{Stamp, StoreTime, Versioned};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{
    Collected, CompactError, Flushed, Report, Scope,
    deferred::DeferralReason,
    tails::{ListedTail, TailSize, list_tail, tail_size_above},
    time_limit::TimeLimit,
};

/// For so long segments are passed over that are kept for triggers. Then it is looked whether they have been seen.
const KEPT_TIME: Duration = Duration::from_secs(600);

/// Flushed segments are looked at so much later than they can be deleted: what clocks differ by.
const GRACE_MARGIN: Duration = Duration::from_secs(10);

/// What a visit has come to.
#[derive(Debug, Default)]
struct Visit {
    report: Report,
    /// Whether the database was flushed.
    is_flushed: bool,
}

/// The time of a visit. Its first flush begins if the invocation has time, the others if the visit has.
#[derive(Debug)]
struct VisitTimes<'a> {
    invocation: &'a TimeLimit<'a>,
    part: &'a TimeLimit<'a>,
}

impl Compactor {
    /// Visits databases, several at once, and then plans merges of those that were flushed: flushes come first, and the
    /// memory of merges is not taken beside that of flushes.
    pub(super) async fn visit_all(
        &self,
        databases: Vec<(DatabaseId, Option<ListedTail>)>,
        date: Option<StoreTime>,
        time: &TimeLimit<'_>,
    ) -> Report {
        let visits = stream::iter(databases).map(|(database, tail)| async move {
            let visit = self.visit(database, tail, date, time).await;
            (database, visit)
        });
        let mut visits = visits.buffer_unordered(self.slots.total());
        let mut report = Report::default();
        let mut flushed = Vec::new();
        while let Some((database, visit)) = visits.next().await {
            report = report.and(visit.report);
            flushed.extend(visit.is_flushed.then_some(database));
        }
        report.and(self.merge_databases(flushed, Scope::Recent, time).await)
    }

    /// Visits a database with a part of the time, and notes whether that went well.
    async fn visit(
        &self,
        database: DatabaseId,
        tail: Option<ListedTail>,
        date: Option<StoreTime>,
        time: &TimeLimit<'_>,
    ) -> Visit {
        let mut visit = Visit::default();
        if time.is_over() {
            visit.report.unfinished = true;
            return visit;
        }
        let part = time.part();
        let times = VisitTimes {
            invocation: time,
            part: &part,
        };
        let tended = self.tend_tail(database, (tail, date), &times, &mut visit);
        let tended = part.run(tended).await;
        let report = &mut visit.report;
        match tended {
            Some(outcome) => report.note(database, outcome),
            None => {
                let reason = "the flush took too long and was cut short".to_owned();
                tracing::warn!(%database, reason);
                report.note_failure(database, reason);
            }
        }
        // A long tail that has taken its part of the time has the next one after the others.
        let is_slow = visit.is_flushed && report.unfinished;
        let is_set_back = is_slow || !report.failures.is_empty();
        self.setbacks
            .note(database, is_set_back, self.bucket.world());
        visit
    }

    /// Deletes what was flushed before, and flushes if what is left of the tail is due.
    async fn tend_tail(
        &self,
        database: DatabaseId,
        (tail, date): (Option<ListedTail>, Option<StoreTime>),
        times: &VisitTimes<'_>,
        visit: &mut Visit,
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
        let (above, collected) = match tail.is_whole() {
            true => {
                let (above, tail) = (tail.size_above(mark), tail.into_page(date));
                let collector = &self.collector;
                let collected = collector.collect_listed_segments(database, &manifest, tail);
                (above, collected.await?)
            }
            false => {
                let collected = self.collector.collect_segments(database, &manifest).await?;
                let above = tail_size_above(&self.bucket, database, mark).await?;
                (above, collected)
            }
        };
        self.note_collected(database, &manifest, collected, &mut visit.report);
        if !self.is_due(above, date) {
            return Ok(());
        }
        self.flush_tail(database, (manifest, above), times, visit)
            .await
    }

    /// Flushes until nothing is left that is old enough.
    async fn flush_tail(
        &self,
        database: DatabaseId,
        (manifest, tail): (Versioned<Manifest>, TailSize),
        times: &VisitTimes<'_>,
        visit: &mut Visit,
    ) -> Result<(), CompactError> {
        let mut manifest = Some(manifest);
        loop {
            // Others have their turn between two flushes of a long tail.
            let flush = self.flusher.reserve(tail.bytes).await;
            let time = match visit.is_flushed {
                true => times.part,
                false => times.invocation,
            };
            if time.is_over() {
                visit.report.unfinished = true;
                return Ok(());
            }
            match flush.flush(database, manifest.take()).await? {
                Flushed::Done { more, mark, .. } => {
                    visit.is_flushed = true;
                    visit.report.flushes += 1;
                    self.pass_over_flushed(database, mark);
                    if !more {
                        return Ok(());
                    }
                }
                Flushed::Nothing(reason) => {
                    visit.report.note_unflushed(database, &reason);
                    return Ok(());
                }
            }
        }
    }

    /// Until they can be deleted, there is nothing to do with flushed segments.
    fn pass_over_flushed(&self, database: DatabaseId, mark: Stamp) {
        let time = self.collector.segment_grace().saturating_add(GRACE_MARGIN);
        let deferral = (DeferralReason::Flushed, mark);
        let world = self.bucket.world();
        self.deferred.defer(database, deferral, time, world);
    }

    /// Takes down which segments were deleted, and passes over those that are kept.
    pub(super) fn note_collected(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
        collected: Collected,
        report: &mut Report,
    ) {
        match collected.kept {
            0 => self.deferred.forget(database),
            _ => {
                let deferral = (DeferralReason::Flushed, manifest.value.low_water_mark);
                let world = self.bucket.world();
                self.deferred.defer(database, deferral, KEPT_TIME, world);
            }
        }
        report.add_collected(collected);
    }
}
