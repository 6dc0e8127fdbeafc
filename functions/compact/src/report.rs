//! The report of an invocation: completed and remaining work.

use std::time::Duration;

use neap_schema::DatabaseId;

use crate::{
    CollectionReport, CompactError, FlushSkipped, MergeOutcome, MergeSkipped, PublishedTable,
};

/// Segments in the bucket at the start of a scheduled run, over all databases. Includes segments that other processes
/// have flushed and that are not deleted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailTotals {
    /// Number of segments.
    pub segments: usize,
    /// Size of the segments in bytes.
    pub bytes: u64,
    /// Age of the oldest segment.
    pub oldest: Duration,
}

/// Completed and remaining work of an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Tails found by a scheduled run.
    pub tails: TailTotals,
    /// Number of committed flushes.
    pub flushes: usize,
    /// Number of databases whose flush was dispatched.
    pub flushes_handed_out: usize,
    /// Number of merges committed by this invocation.
    pub merges: usize,
    /// Number of dispatched merges.
    pub handed_out: usize,
    /// Number of sections removed without being read.
    pub removed: usize,
    /// Number of table caches that received their first object.
    pub caches: usize,
    /// The published tables.
    pub published: Vec<PublishedTable>,
    /// Deleted objects.
    pub collected: CollectionReport,
    /// Databases with failures, and their error messages.
    pub failures: Vec<(DatabaseId, String)>,
    /// Number of jobs postponed to the next run, because their commits lost every race or the store did not report an
    /// outcome in time. This is not a failure, because the next run completes them.
    pub postponed: usize,
    /// Whether the time limit expired before all work was done.
    pub unfinished: bool,
}

impl CompactionReport {
    /// Returns whether there is work that another run could do immediately.
    pub fn has_more(&self) -> bool {
        self.unfinished || self.postponed > 0
    }

    /// Combines two reports. Tails are those of the report that listed them.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        let TailTotals { segments, bytes, oldest } = other.tails;
        self.tails.segments += segments;
        self.tails.bytes = self.tails.bytes.saturating_add(bytes);
        self.tails.oldest = self.tails.oldest.max(oldest);
        self.flushes += other.flushes;
        self.flushes_handed_out += other.flushes_handed_out;
        self.merges += other.merges;
        self.handed_out += other.handed_out;
        self.removed += other.removed;
        self.caches += other.caches;
        self.published.extend(other.published);
        self.add_collected(other.collected);
        for (database, reason) in other.failures {
            self.record_failure(database, reason);
        }
        self.postponed += other.postponed;
        self.unfinished |= other.unfinished;
        self
    }

    /// Adds deleted objects.
    pub(crate) fn add_collected(&mut self, collected: CollectionReport) {
        self.collected = std::mem::take(&mut self.collected).and(collected);
    }

    /// Returns the value of a job, or `None` if the job is postponed to the next run.
    pub(crate) fn settled<T>(
        &mut self,
        database: DatabaseId,
        outcome: Result<T, CompactError>,
    ) -> Result<Option<T>, CompactError> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_unsettled() => {
                self.postpone(database, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Records the failure of a database, if the outcome is one.
    pub(crate) fn note(&mut self, database: DatabaseId, outcome: Result<(), CompactError>) {
        if let Err(error) = self.settled(database, outcome) {
            tracing::warn!(%database, %error, "maintenance failed");
            self.failures.push((database, error.to_string()));
        }
    }

    /// Records a failure, without duplicates.
    pub(crate) fn record_failure(&mut self, database: DatabaseId, reason: String) {
        let failure = (database, reason);
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Records why a flush did nothing.
    pub(crate) fn record_unflushed(&mut self, database: DatabaseId, reason: &FlushSkipped) {
        match reason {
            FlushSkipped::NothingToFlush | FlushSkipped::Overtaken => {}
            FlushSkipped::Unknown(_) => self.postpone(database, reason),
            _ => self.failures.push((database, reason.to_string())),
        }
    }

    /// Records the outcome of a merge. A failed merge does not affect other merges.
    pub(crate) fn record_merge(
        &mut self,
        database: DatabaseId,
        outcome: Result<MergeOutcome, CompactError>,
    ) {
        let outcome = match self.settled(database, outcome) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%database, %error, "not merged");
                return self.failures.push((database, error.to_string()));
            }
        };
        match outcome {
            MergeOutcome::Done { rows, bytes_in, bytes_out, .. } => {
                tracing::info!(%database, rows, bytes_in, bytes_out, "merged");
                self.merges += 1;
            }
            MergeOutcome::Skipped(MergeSkipped::OutOfTime) => self.unfinished = true,
            MergeOutcome::Skipped(MergeSkipped::Overtaken) => {}
            MergeOutcome::Skipped(
                reason @ (MergeSkipped::RacesLost | MergeSkipped::Unknown(_)),
            ) => {
                self.postpone(database, &reason);
            }
            MergeOutcome::Skipped(reason) => {
                tracing::warn!(%database, %reason, "not merged");
                self.failures.push((database, reason.to_string()));
            }
        }
    }

    fn postpone(&mut self, database: DatabaseId, reason: &dyn std::fmt::Display) {
        tracing::info!(%database, %reason, "postponed to the next run");
        self.postponed += 1;
    }
}
