//! Compaction jobs: claims of running jobs, and records of committed ones.
//!
//! A claim only prevents duplicate work. Correctness does not depend on claims, because every commit is validated
//! against its base.

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Manifest, ManifestError, ManifestStore};

/// Maximum number of job records that a manifest keeps.
const JOBS: usize = 64;

/// Maximum number of claims. Further jobs wait for the next plan.
const CLAIMS: usize = 1_000;

/// A claim of a running job on a range of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The job.
    pub job: Ulid,
    /// The table.
    pub table: TableId,
    /// The first day, in days since the epoch.
    pub first_day: i32,
    /// The last day, in days since the epoch.
    pub last_day: i32,
    /// Exclusive lower bound of the stamp interval.
    pub above: Stamp,
    /// Inclusive upper bound of the stamp interval.
    pub upto: Stamp,
    /// Time at which the claim expires, by the store's clock.
    pub expires: StoreTime,
}

impl Claim {
    /// Returns whether both claim the same table, day and stamp.
    fn overlaps(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }
}

/// The kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Writes segments to sections.
    Flush,
    /// Merges sections into one.
    Merge,
    /// Removes sections whose rows have all expired.
    Expire,
    /// Removes the sections of a dropped table.
    Drop,
    /// Builds a new cache from sections.
    Cache,
    /// Removes a damaged section.
    Quarantine,
}

impl JobKind {
    /// Returns the name used in system tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Merge => "merge",
            Self::Expire => "expire",
            Self::Drop => "drop",
            Self::Cache => "cache",
            Self::Quarantine => "quarantine",
        }
    }
}

/// The record of a committed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: Ulid,
    /// The kind of the job.
    pub kind: JobKind,
    /// The table; `None` for all tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableId>,
    /// The number of input segments or sections.
    pub inputs: u32,
    /// The number of output sections.
    pub outputs: u32,
    /// The number of rows written.
    pub rows: u64,
    /// The size of the inputs in bytes.
    pub bytes_in: u64,
    /// The number of bytes written.
    pub bytes_out: u64,
    /// Duration until the commit, in milliseconds.
    pub duration_ms: u64,
    /// Approximate commit time, by the store's clock.
    pub finished: StoreTime,
    /// The version of the manifest that the job committed; set by the commit.
    pub version: u64,
}

/// The result of claiming jobs.
#[derive(Clone, Debug)]
pub struct ClaimOutcome {
    /// The newest known manifest.
    pub current: VersionedValue<Manifest>,
    /// The jobs that are claimed now. The ranges of the other jobs are claimed by other instances.
    pub jobs: Vec<Ulid>,
}

impl Manifest {
    pub(crate) fn record_job(&mut self, job: JobRecord, version: u64) {
        self.jobs.push(JobRecord { version, ..job });
        let surplus = self.jobs.len().saturating_sub(JOBS);
        self.jobs.drain(..surplus);
    }

    /// Returns the claims that have not expired at a time of the store's clock.
    pub fn live_claims(&self, now: StoreTime) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| now < claim.expires)
    }
}

impl ManifestStore {
    /// Claims jobs in one commit, and leaves out those whose range is already claimed. Commits nothing if no job can be
    /// claimed.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::Inconsistent`] if the outcome is unknown.
    pub async fn claim(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        claims: &[Claim],
        now: StoreTime,
    ) -> Result<ClaimOutcome, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.claims.retain(|claim| now < claim.expires);
            let mut jobs = Vec::new();
            for claim in claims {
                let is_free = !next.claims.iter().any(|other| other.overlaps(claim));
                if is_free && next.claims.len() < CLAIMS {
                    next.claims.push(*claim);
                    jobs.push(claim.job);
                }
            }
            Ok::<_, std::convert::Infallible>(if jobs.is_empty() {
                RegisterChange::Keep(jobs)
            } else {
                RegisterChange::Put(next, jobs)
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { current, result } => Ok(ClaimOutcome {
                current,
                jobs: result,
            }),
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }

    /// Releases claims, so that the next plan can use their ranges.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn release(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        jobs: &[Ulid],
    ) -> Result<(), ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.claims.retain(|claim| !jobs.contains(&claim.job));
            Ok::<_, std::convert::Infallible>(if next.claims.len() == base.value.claims.len() {
                RegisterChange::Keep(())
            } else {
                RegisterChange::Put(next, ())
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { .. } => Ok(()),
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }
}
