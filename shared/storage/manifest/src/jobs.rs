//! Compaction jobs: claims of running jobs, and records of committed ones.
//!
//! A claim only prevents duplicate work. Correctness does not depend on claims, because every commit is validated
//! against its base.

use neap_bucket::{CommitOutcome, RegisterChange, StoreTime, VersionedValue};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{Claim, JobRecord, Manifest, ManifestError, ManifestStore};

/// Maximum number of job records that a manifest keeps.
const JOBS: usize = 64;

/// Maximum number of claims. Further jobs wait for the next plan.
const CLAIMS: usize = 1_000;

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
            CommitOutcome::Committed { current, result } => {
                Ok(ClaimOutcome { current, jobs: result })
            }
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
