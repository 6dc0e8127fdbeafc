//! Jobs of compaction: which of them somebody works on, and what the last ones did.
//!
//! A claim saves others the same work. It has no part in what is right: a commit is judged by its base.

use neap_bucket::{Change, Commit, Stamp, StoreTime, Versioned};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Manifest, ManifestError, ManifestStore};

/// The number of jobs that a manifest remembers.
const JOBS: usize = 64;

/// The most claims at once: more jobs than that wait for the next plan.
const CLAIMS: usize = 1_000;

/// A range of a table that somebody merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The job.
    pub job: Ulid,
    /// The table.
    pub table: TableId,
    /// The first day, in days since the epoch.
    pub first_day: i32,
    /// The last day.
    pub last_day: i32,
    /// The intervals above this stamp
    pub above: Stamp,
    /// and up to this one.
    pub upto: Stamp,
    /// From when on the claim counts for nothing, by the store's clock.
    pub expires: StoreTime,
}

impl Claim {
    /// Whether both claim the same table, day and stamp.
    fn overlaps(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Segments become sections.
    Flush,
    /// Sections become one.
    Merge,
    /// Sections leave whose rows are all too old.
    Expire,
    /// The sections of a dropped table leave.
    Drop,
    /// Sections are read for a new cache.
    Cache,
    /// A damaged section leaves.
    Quarantine,
}

impl JobKind {
    /// The name in tables and metrics.
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

/// A job that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: Ulid,
    /// What it did.
    pub kind: JobKind,
    /// The table; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableId>,
    /// The number of segments or sections that it took in.
    pub inputs: u32,
    /// The number of sections that it made.
    pub outputs: u32,
    /// The rows that it wrote.
    pub rows: u64,
    /// The bytes of its inputs.
    pub bytes_in: u64,
    /// The bytes that it wrote.
    pub bytes_out: u64,
    /// How long it took until its commit, in milliseconds.
    pub duration_ms: u64,
    /// When it was committed, about, by the store's clock.
    pub finished: StoreTime,
    /// The version of the manifest that it made; set by the commit.
    pub version: u64,
}

/// What became of claims.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The newest manifest known.
    pub current: Versioned<Manifest>,
    /// The jobs that are claimed now; others have ranges that somebody else works on.
    pub jobs: Vec<Ulid>,
}

impl Manifest {
    pub(crate) fn record_job(&mut self, job: JobRecord, version: u64) {
        self.jobs.push(JobRecord { version, ..job });
        let surplus = self.jobs.len().saturating_sub(JOBS);
        self.jobs.drain(..surplus);
    }

    /// The claims that count at a time of the store.
    pub fn live_claims(&self, now: StoreTime) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| now < claim.expires)
    }
}

impl ManifestStore {
    /// Claims jobs, in one commit; those whose range somebody else has claimed are left out. Without a job
    /// that can be claimed it is no commit.
    ///
    /// # Errors
    /// What the store answers; `Unsettled` if it can't be told whether they are claimed.
    pub async fn claim(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        claims: &[Claim],
        now: StoreTime,
    ) -> Result<Claimed, ManifestError> {
        let change = |base: &Versioned<Manifest>| {
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
                Change::Keep(jobs)
            } else {
                Change::Put(next, jobs)
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            Commit::Committed { current, result } => Ok(Claimed {
                current,
                jobs: result,
            }),
            Commit::Refused(never) => match never {},
            Commit::Unknown { reason } => Err(ManifestError::Unsettled { reason }),
        }
    }

    /// Gives claims up, so that the next plan may have their ranges.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn release(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        jobs: &[Ulid],
    ) -> Result<(), ManifestError> {
        let change = |base: &Versioned<Manifest>| {
            let mut next = Manifest::successor(base);
            next.claims.retain(|claim| !jobs.contains(&claim.job));
            Ok::<_, std::convert::Infallible>(if next.claims.len() == base.value.claims.len() {
                Change::Keep(())
            } else {
                Change::Put(next, ())
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            Commit::Committed { .. } => Ok(()),
            Commit::Refused(never) => match never {},
            Commit::Unknown { reason } => Err(ManifestError::Unsettled { reason }),
        }
    }
}
