//! The leases of jobs: renewal, takeover, and the end of abandoned jobs.

use neap_bucket::StoreTime;

use super::{
    BackupRegister, Job, JobId, Lease,
    jobs::{ABANDONED_TIME, abandoned, lost_lease},
};
use crate::BackupError;

impl BackupRegister {
    pub(crate) fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        let backups = self.backups.iter().map(|one| (JobId::Backup(one.id), &one.job));
        let restores = self.restores.iter();
        backups.chain(restores.map(|one| (JobId::Restore(one.id), &one.job)))
    }

    /// Returns a job, if it exists.
    pub(crate) fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        match id {
            JobId::Backup(id) => {
                let found = self.backups.iter_mut().find(|one| one.id == id);
                found.map(|one| &mut one.job)
            }
            JobId::Restore(id) => {
                let found = self.restores.iter_mut().find(|one| one.id == id);
                found.map(|one| &mut one.job)
            }
        }
    }

    /// Returns a job after the renewal of its lease.
    /// Fails with `Cancelled`, or `LeaseLost` if the job has ended or is gone, or another process has the lease.
    pub(crate) fn renewed_job(&mut self, id: JobId, lease: Lease) -> Result<&mut Job, BackupError> {
        let job = self.job_mut(id).ok_or_else(lost_lease)?;
        job.renew(lease)?;
        Ok(job)
    }

    /// Marks a job as failed, if this run has the lease.
    pub(crate) fn fail_own_job(&mut self, id: JobId, lease: Lease, error: &BackupError) {
        if self.renewed_job(id, lease).is_ok() {
            self.fail_job(id, error, lease.renewed);
        }
    }

    fn fail_job(&mut self, id: JobId, error: &BackupError, now: StoreTime) {
        if let Some(job) = self.job_mut(id) {
            job.fail(error);
        }
        if let JobId::Backup(id) = id {
            self.discard_objects(id, now);
        }
    }

    /// Gives an orphaned job to another process. Returns whether that process has to continue it.
    pub(crate) fn take_over(&mut self, id: JobId, lease: Lease) -> bool {
        let taken = self.job_mut(id).map(|job| job.take_over(lease));
        match taken {
            Some(Ok(taken)) => taken,
            Some(Err(error)) => {
                self.fail_job(id, &error, lease.renewed);
                false
            }
            None => false,
        }
    }

    /// Marks jobs as failed that no process has continued for 12 hours.
    pub(crate) fn end_abandoned(&mut self, now: StoreTime) {
        let silent: Vec<_> = self
            .jobs()
            .filter(|(_, job)| job.is_silent_for(ABANDONED_TIME, now))
            .map(|(id, _)| id)
            .collect();
        for id in silent {
            self.fail_job(id, &abandoned(), now);
        }
    }
}
