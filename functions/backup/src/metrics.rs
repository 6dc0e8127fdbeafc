//! Numbers of backups and restores for operators.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use neap_bucket::StoreTime;

use crate::{BackupError, BackupRegister, JobState};

/// Outcomes of the jobs of a process.
#[derive(Debug, Default)]
pub(crate) struct JobOutcomes {
    backups: OutcomeCounts,
    restores: OutcomeCounts,
}

#[derive(Debug, Default)]
struct OutcomeCounts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl OutcomeCounts {
    fn add(&self, error: Option<&BackupError>) {
        let counter = match error {
            None => &self.succeeded,
            // Another process continues the job, or a request has ended it.
            Some(BackupError::LeaseLost(_) | BackupError::Cancelled) => return,
            Some(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl JobOutcomes {
    pub(crate) fn add_backup(&self, error: Option<&BackupError>) {
        self.backups.add(error);
    }

    pub(crate) fn add_restore(&self, error: Option<&BackupError>) {
        self.restores.add(error);
    }
}

/// The newest completed backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBackup {
    /// When it was requested, by the store's clock: everything that was acknowledged before is in it.
    pub requested: StoreTime,
    /// Time from the request to the completion.
    pub duration: Duration,
    /// Bytes that it references.
    pub bytes: u64,
}

/// Numbers of backups and restores, as a process knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupMetrics {
    /// Number of backups of the cluster that are in progress.
    pub in_progress: u64,
    /// Number of completed backups of the cluster.
    pub completed: u64,
    /// Number of incomplete, failed and cancelled backups that the register of the cluster lists.
    pub failed: u64,
    /// The newest completed backup of the cluster.
    pub last: Option<LastBackup>,
    /// Number of backups that this process has completed.
    pub backups_succeeded: u64,
    /// Number of backups that have failed in this process.
    pub backups_failed: u64,
    /// Number of restores that this process has completed.
    pub restores_succeeded: u64,
    /// Number of restores that have failed in this process.
    pub restores_failed: u64,
}

impl BackupMetrics {
    pub(crate) fn new(outcomes: &JobOutcomes, register: Option<&BackupRegister>) -> Self {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let mut metrics = Self {
            backups_succeeded: read(&outcomes.backups.succeeded),
            backups_failed: read(&outcomes.backups.failed),
            restores_succeeded: read(&outcomes.restores.succeeded),
            restores_failed: read(&outcomes.restores.failed),
            ..Self::default()
        };
        for backup in register.map_or(&[][..], BackupRegister::backups) {
            match backup.job.state {
                JobState::InProgress => metrics.in_progress += 1,
                JobState::Completed => metrics.completed += 1,
                JobState::Incomplete | JobState::Failed | JobState::Cancelled => {
                    metrics.failed += 1;
                }
            }
            if let Some(completed) = backup.job.completed {
                metrics.last = Some(LastBackup {
                    requested: backup.job.created,
                    duration: completed.since(backup.job.created),
                    bytes: backup.job.bytes,
                });
            }
        }
        metrics
    }
}
