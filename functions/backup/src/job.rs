//! Runs a job while its lease is renewed.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
};

use futures::future::{Either, select};
use neap_bucket::{StoreTime, World};
use ulid::Ulid;

use crate::{
    BackupError, BackupRegister, BackupStore,
    register::{JobId, LEASE_TIME, Lease, RENEWAL_INTERVAL},
};

/// Number and bytes of the objects that a job has copied. The renewals of its lease record them.
#[derive(Debug, Default)]
pub(crate) struct CopiedObjects {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl CopiedObjects {
    pub(crate) fn add(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts from the first object again.
    pub(crate) fn restart(&self) {
        self.objects.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Returns the number of objects and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (read(&self.objects), read(&self.bytes))
    }
}

/// The lease of a run of a job. Each run has its own, so that a process that was frozen can't continue a job that
/// another run has taken over, even in the same process.
#[derive(Debug)]
pub(crate) struct JobLease {
    pub(crate) job: JobId,
    pub(crate) holder: Ulid,
    pub(crate) copied: CopiedObjects,
    pub(crate) store: BackupStore,
    pub(crate) world: World,
}

impl JobLease {
    /// Returns the lease as renewed at this time.
    fn at(&self, now: StoreTime) -> Lease {
        Lease { holder: self.holder, renewed: now }
    }

    /// Commits a change of the register, which receives the renewed lease.
    /// Errors: those of `change`, or the store does not answer.
    pub(crate) async fn change<R: Send>(
        &self,
        mut change: impl FnMut(&mut BackupRegister, Lease) -> Result<R, BackupError> + Send,
    ) -> Result<R, BackupError> {
        let commit = |register: &mut BackupRegister, now| change(register, self.at(now));
        self.store.change(commit).await
    }

    /// Runs `work`, and drops it when the job is cancelled or its lease can't be renewed.
    /// Errors: those of `work`, `Cancelled`, and `LeaseLost`.
    pub(crate) async fn run<R>(
        &self,
        work: impl Future<Output = Result<R, BackupError>>,
    ) -> Result<R, BackupError> {
        let work = pin!(work);
        let renewals = pin!(self.renew());
        match select(work, renewals).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Renews the lease until that fails. Returns why.
    async fn renew(&self) -> BackupError {
        let mut renewed = self.world.clock_reading();
        loop {
            self.world.clock.sleep(RENEWAL_INTERVAL).await;
            let asked = self.world.clock_reading();
            let outcome = self.change(|register, lease| {
                let job = register.renewed_job(self.job, lease)?;
                let (objects, bytes) = self.copied.totals();
                if objects > 0 {
                    job.report(objects, bytes);
                }
                Ok(())
            });
            match outcome.await {
                Ok(()) => renewed = asked,
                Err(error @ (BackupError::Cancelled | BackupError::LeaseLost(_))) => return error,
                Err(error) => {
                    let job = self.job;
                    tracing::warn!(%error, ?job, "the lease of a job was not renewed");
                    if self.world.elapsed(&renewed) + 2 * RENEWAL_INTERVAL >= LEASE_TIME {
                        return BackupError::LeaseLost(LEASE_TIME.as_secs());
                    }
                }
            }
        }
    }
}
