//! Merges of a plan over many tables: as many as can be run, as references without metadata of their inputs.

use super::{
    MergeJob, MergeJobRef, MergeReason,
    plan::{MergePriority, merge_priority},
};
use crate::CompactionDebt;

/// Maximum number of extractions, each of which has a commit of its own. The claims of more would expire before all of them are done,
/// and would leave none to merges of recent days, because a manifest has a limited number of claims.
const MAX_EXTRACTIONS: usize = 250;

/// Keeps the most urgent merges.
#[derive(Debug)]
pub(crate) struct MergeQueue {
    limit: usize,
    jobs: Vec<(MergePriority, MergeJobRef)>,
    debt: CompactionDebt,
}

impl MergeQueue {
    /// Creates a queue that keeps at most `limit` merges.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { limit, jobs: Vec::new(), debt: CompactionDebt::default() }
    }

    /// Adds the merges of a table.
    pub(crate) fn add(&mut self, jobs: &[MergeJob]) {
        self.debt = [self.debt, CompactionDebt::from_jobs(jobs)].into_iter().sum();
        let references = jobs.iter().map(|job| (merge_priority(job), job.reference()));
        self.jobs.extend(references);
        if self.jobs.len() >= self.limit.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.jobs.sort_by_key(|(urgency, _)| *urgency);
        self.jobs.truncate(self.limit);
    }

    /// Returns the debt of all merges that were added.
    pub(crate) fn debt(&self) -> CompactionDebt {
        self.debt
    }

    /// Returns the kept merges, most urgent first. Further extractions are left to the next plan.
    pub(crate) fn most_urgent(mut self) -> Vec<MergeJobRef> {
        self.shrink();
        let mut extractions = 0;
        let jobs = self.jobs.into_iter().map(|(_, job)| job).filter(|job| {
            extractions += usize::from(job.reason == MergeReason::Extracted);
            job.reason != MergeReason::Extracted || extractions <= MAX_EXTRACTIONS
        });
        jobs.collect()
    }
}
