//! Runs a job while its lease is renewed.

use std::{future::Future, pin::pin};

use futures::future::{Either, select};
use neap_bucket::{StoreTime, World};
use ulid::Ulid;

use crate::{
    BackupError, BackupStore,
    register::{LEASE_TIME, Lease, RENEWAL_INTERVAL},
};

/// A running job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JobId {
    Backup(Ulid),
    Restore(Ulid),
}

/// The holder of the leases of a process.
#[derive(Clone, Debug)]
pub(crate) struct LeaseHolder {
    pub(crate) store: BackupStore,
    pub(crate) holder: Ulid,
    pub(crate) world: World,
}

impl LeaseHolder {
    /// Returns a lease that is renewed at this time.
    pub(crate) fn lease(&self, now: StoreTime) -> Lease {
        Lease {
            holder: self.holder,
            renewed: now,
        }
    }

    /// Runs `work`, and drops it when the job is cancelled or its lease can't be renewed.
    ///
    /// # Errors
    /// Those of `work`, `Cancelled`, and `LeaseLost`.
    pub(crate) async fn run<R>(
        &self,
        job: JobId,
        work: impl Future<Output = Result<R, BackupError>>,
    ) -> Result<R, BackupError> {
        let work = pin!(work);
        let renewals = pin!(self.renew(job));
        match select(work, renewals).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Renews the lease until that fails. Returns why.
    async fn renew(&self, job: JobId) -> BackupError {
        let mut renewed = self.world.moment();
        loop {
            self.world.clock.sleep(RENEWAL_INTERVAL).await;
            let asked = self.world.moment();
            let outcome = self.store.change(|register, now| {
                let lease = self.lease(now);
                match job {
                    JobId::Backup(id) => register.change_backup(id, lease, |_| ()),
                    JobId::Restore(id) => register.change_restore(id, lease, |_| ()),
                }
            });
            match outcome.await {
                Ok(()) => renewed = asked,
                Err(error @ (BackupError::Cancelled | BackupError::LeaseLost(_))) => return error,
                Err(error) => {
                    tracing::warn!(%error, ?job, "the lease of a job was not renewed");
                    if self.world.elapsed(&renewed) + 2 * RENEWAL_INTERVAL >= LEASE_TIME {
                        return BackupError::LeaseLost(LEASE_TIME.as_secs());
                    }
                }
            }
        }
    }
}
