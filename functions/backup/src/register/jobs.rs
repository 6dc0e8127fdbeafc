//! The progress of a job, and the lease of the process that runs it.

use std::time::Duration;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::BackupError;

/// Time after which another process may take over a job whose lease was not renewed.
pub(crate) const LEASE_TIME: Duration = Duration::from_secs(60);

/// Interval at which a process renews the lease of its job.
pub(crate) const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// Time without a renewal after which a job is not continued any more (12 h). The hidden databases of a restore exist for
/// a day.
pub(super) const ABANDONED_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Maximum number of processes that continue a job without progress, in case it is the job that ends them.
const MAX_TAKEOVERS: u32 = 10;

/// Maximum bytes of an error that the register records.
const MAX_ERROR_BYTES: usize = 1_000;

/// The state of a backup or restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It runs, or waits for a process that continues it.
    InProgress,
    /// It has ended successfully.
    Completed,
    /// It has ended, without damaged objects. Everything else is in the backup.
    Incomplete,
    /// It has ended with an error.
    Failed,
    /// A request has ended it.
    Cancelled,
}

impl JobState {
    /// Returns whether a backup in this state can be restored and continued.
    pub fn has_contents(self) -> bool {
        match self {
            Self::Completed | Self::Incomplete => true,
            Self::InProgress | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// The lease of a process on a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run of the job in a process.
    pub holder: Ulid,
    /// When the process reported last, by the store's clock.
    pub renewed: StoreTime,
}

/// The backup or restore of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobId {
    Backup(Ulid),
    Restore(Ulid),
}

/// The progress of a backup or restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The state.
    pub state: JobState,
    /// When it was requested, by the store's clock.
    pub created: StoreTime,
    /// When it was completed, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<StoreTime>,
    /// Number of objects.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The lease while it is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Number of processes that have taken it over since it last made progress.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub takeovers: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Job {
    /// Creates a job in progress.
    pub(crate) fn new(lease: Lease) -> Self {
        Self {
            state: JobState::InProgress,
            created: lease.renewed,
            completed: None,
            objects: 0,
            bytes: 0,
            error: None,
            lease: Some(lease),
            takeovers: 0,
        }
    }

    /// Returns whether it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.state == JobState::InProgress
    }

    /// Returns whether no process has reported for this time.
    pub(super) fn is_silent_for(&self, time: Duration, now: StoreTime) -> bool {
        let lease = self.lease.as_ref();
        self.is_running() && lease.is_none_or(|lease| now.since(lease.renewed) >= time)
    }

    /// Returns whether another process may take it over.
    pub(crate) fn is_orphaned(&self, now: StoreTime) -> bool {
        self.is_silent_for(LEASE_TIME, now)
    }

    /// Returns the state at a time of the store. A job that no process has continued for 12 hours has failed.
    pub fn state_at(&self, now: StoreTime) -> JobState {
        if self.is_silent_for(ABANDONED_TIME, now) {
            JobState::Failed
        } else {
            self.state
        }
    }

    /// Returns why it has failed, as others see it at a time of the store.
    pub(crate) fn error_at(&self, now: StoreTime) -> Option<String> {
        if self.is_silent_for(ABANDONED_TIME, now) {
            Some(abandoned().to_string())
        } else {
            self.error.clone()
        }
    }

    /// Renews the lease.
    /// Fails with `Cancelled`, or `LeaseLost` if the job has ended, or another process has the lease.
    pub(crate) fn renew(&mut self, lease: Lease) -> Result<(), BackupError> {
        match self.state {
            JobState::Cancelled => return Err(BackupError::Cancelled),
            JobState::InProgress if self.holder() == Some(lease.holder) => {}
            _ => return Err(lost_lease()),
        }
        self.lease = Some(lease);
        Ok(())
    }

    /// Records objects and bytes that are copied.
    pub(crate) fn report(&mut self, objects: u64, bytes: u64) {
        if objects > self.objects {
            self.takeovers = 0;
        }
        (self.objects, self.bytes) = (objects, bytes);
    }

    /// Gives an orphaned job to another process. Returns whether it was orphaned.
    /// Fails if the job has to fail, because it is abandoned, or too many processes have taken it over without
    /// progress.
    pub(super) fn take_over(&mut self, lease: Lease) -> Result<bool, BackupError> {
        let now = lease.renewed;
        if !self.is_orphaned(now) {
            return Ok(false);
        }
        if self.is_silent_for(ABANDONED_TIME, now) {
            return Err(abandoned());
        }
        if self.takeovers >= MAX_TAKEOVERS {
            return Err(BackupError::Interrupted(MAX_TAKEOVERS));
        }
        self.takeovers += 1;
        self.lease = Some(lease);
        Ok(true)
    }

    pub(crate) fn complete(&mut self, now: StoreTime) {
        (self.state, self.completed) = (JobState::Completed, Some(now));
        (self.error, self.lease, self.takeovers) = (None, None, 0);
    }

    pub(crate) fn fail(&mut self, error: &BackupError) {
        self.end(JobState::Failed, error);
    }

    /// Marks the job of a backup as ended, although objects are damaged.
    pub(crate) fn complete_partly(&mut self, error: &BackupError) {
        self.end(JobState::Incomplete, error);
    }

    fn end(&mut self, state: JobState, error: &BackupError) {
        let text = error.to_string().chars().take(MAX_ERROR_BYTES / 4).collect();
        (self.state, self.error) = (state, Some(text));
        (self.lease, self.takeovers) = (None, 0);
    }

    pub(crate) fn cancel(&mut self) {
        self.fail(&BackupError::Cancelled);
        self.state = JobState::Cancelled;
    }

    /// Returns the run that has the lease.
    pub(crate) fn holder(&self) -> Option<Ulid> {
        self.lease.map(|lease| lease.holder)
    }
}

pub(crate) fn lost_lease() -> BackupError {
    BackupError::LeaseLost(LEASE_TIME.as_secs())
}

pub(super) fn abandoned() -> BackupError {
    BackupError::Abandoned(ABANDONED_TIME.as_secs() / 3_600)
}
