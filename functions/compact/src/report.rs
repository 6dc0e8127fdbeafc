//! What an invocation of the compact function has done, and what it has left.

use std::time::Duration;

use neap_schema::DatabaseId;

use crate::{Collected, CompactError, GaveUp, MergeGaveUp, MergeOutcome};

/// The segments in the bucket when a scheduled run began, those of all databases together. They include what other
/// processes have flushed and is not deleted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tails {
    /// Their number.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The age of the oldest one.
    pub oldest: Duration,
}

/// What an invocation has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What a scheduled run found.
    pub tails: Tails,
    /// Flushes that were committed.
    pub flushes: usize,
    /// Databases whose flush was handed out.
    pub flushes_handed_out: usize,
    /// Merges that were committed here.
    pub merges: usize,
    /// Merges that were handed out.
    pub handed_out: usize,
    /// Sections that left without being read.
    pub removed: usize,
    /// Caches of tables that have got their first object.
    pub caches: usize,
    /// What was deleted.
    pub collected: Collected,
    /// Databases with which something went wrong, and what.
    pub failures: Vec<(DatabaseId, String)>,
    /// Jobs that are left to the next run: others have always been faster to commit, or the store did not say
    /// in time what became of a commit. That is no failure, for the next run does what is left of them.
    pub postponed: usize,
    /// Whether the time was over before all was done.
    pub unfinished: bool,
}

impl Report {
    /// Whether there is something to do that another run could do at once.
    pub fn has_more(&self) -> bool {
        self.unfinished || self.postponed > 0
    }

    /// Both together. What was found in the bucket is that of the one that looked.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        let Tails {
            segments,
            bytes,
            oldest,
        } = other.tails;
        self.tails.segments += segments;
        self.tails.bytes = self.tails.bytes.saturating_add(bytes);
        self.tails.oldest = self.tails.oldest.max(oldest);
        self.flushes += other.flushes;
        self.flushes_handed_out += other.flushes_handed_out;
        self.merges += other.merges;
        self.handed_out += other.handed_out;
        self.removed += other.removed;
        self.caches += other.caches;
        self.add_collected(other.collected);
        for (database, reason) in other.failures {
            self.note_failure(database, reason);
        }
        self.postponed += other.postponed;
        self.unfinished |= other.unfinished;
        self
    }

    /// Takes down what was deleted.
    pub(crate) fn add_collected(&mut self, collected: Collected) {
        self.collected = std::mem::take(&mut self.collected).and(collected);
    }

    /// What a job came to, or `None` if it is left to the next run.
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

    /// Takes down what went wrong with a database.
    pub(crate) fn note(&mut self, database: DatabaseId, outcome: Result<(), CompactError>) {
        if let Err(error) = self.settled(database, outcome) {
            tracing::warn!(%database, %error, "maintenance failed");
            self.failures.push((database, error.to_string()));
        }
    }

    /// Takes down a failure, once.
    pub(crate) fn note_failure(&mut self, database: DatabaseId, reason: String) {
        let failure = (database, reason);
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Why a flush did nothing.
    pub(crate) fn note_unflushed(&mut self, database: DatabaseId, reason: &GaveUp) {
        match reason {
            GaveUp::NothingToFlush | GaveUp::Overtaken => {}
            GaveUp::Unknown(_) => self.postpone(database, reason),
            _ => self.failures.push((database, reason.to_string())),
        }
    }

    /// What became of a merge. One that failed leaves the others alone.
    pub(crate) fn note_merge(
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
            MergeOutcome::Done {
                rows,
                bytes_in,
                bytes_out,
                ..
            } => {
                tracing::info!(%database, rows, bytes_in, bytes_out, "merged");
                self.merges += 1;
            }
            MergeOutcome::Nothing(MergeGaveUp::OutOfTime) => self.unfinished = true,
            MergeOutcome::Nothing(MergeGaveUp::Overtaken) => {}
            MergeOutcome::Nothing(reason @ (MergeGaveUp::Busy | MergeGaveUp::Unknown(_))) => {
                self.postpone(database, &reason);
            }
            MergeOutcome::Nothing(reason) => {
                tracing::warn!(%database, %reason, "not merged");
                self.failures.push((database, reason.to_string()));
            }
        }
    }

    fn postpone(&mut self, database: DatabaseId, reason: &dyn std::fmt::Display) {
        tracing::info!(%database, %reason, "left to the next run");
        self.postponed += 1;
    }
}
