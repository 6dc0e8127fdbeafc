//! Looks after the backups of a cluster: continues interrupted jobs, deletes what deleted and failed backups have left,
//! and makes scheduled backups.
//!
//! Every process may run a keeper. Each of its steps is one commit, or can be repeated.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::{join_all, select};
use neap_bucket::{Key, Stamp, StoreTime};
use neap_catalog::{ANY_AGE, RootCatalog};

use crate::{
    BackupEngine, BackupError, BackupRegister, BackupRequest, BackupSchedule, JobState,
    RestoreSource,
    engine::{DueJob, default_name},
    listing::delete_prefix,
    register::{DiscardedBackup, JobId, Lease},
};

/// Interval of the keeper while there are backups or a schedule.
const INTERVAL: Duration = Duration::from_secs(60);

/// Interval of the keeper of a cluster without backups.
const IDLE_INTERVAL: Duration = Duration::from_secs(600);

/// Time within which a repeated order for a scheduled backup means the one in progress, because the invocation that began
/// it ran out of time.
const REPETITION_TIME: Duration = Duration::from_secs(60 * 60);

/// How the jobs of a run have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobReport {
    /// Number of jobs.
    pub jobs: usize,
    /// Why jobs have failed.
    pub failures: Vec<String>,
}

/// Looks after the backups of a cluster.
#[derive(Debug)]
pub struct BackupKeeper {
    engine: Arc<BackupEngine>,
    schedule: Option<BackupSchedule>,
    /// When the keeper was started, by the store's clock. A schedule without backups begins then.
    started: OnceLock<StoreTime>,
}

impl BackupKeeper {
    /// Creates a keeper. Without a schedule, backups are made by requests only.
    pub fn new(engine: Arc<BackupEngine>, schedule: Option<BackupSchedule>) -> Self {
        Self { engine, schedule, started: OnceLock::new() }
    }

    /// Runs until the future is dropped.
    pub async fn run(&self) {
        // A process that has just started has more urgent work.
        self.pause(INTERVAL).await;
        loop {
            let pause = match self.tidy().await {
                Ok(false) if self.schedule.is_none() => IDLE_INTERVAL,
                Ok(_) => INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "backups were not looked after");
                    INTERVAL
                }
            };
            self.pause(pause).await;
        }
    }

    /// Waits, at most until a backup or a restore of this process has ended.
    async fn pause(&self, pause: Duration) {
        let pause = self.engine.parts.bucket.world().clock.sleep(pause);
        select(pause, pin!(self.engine.changed.notified())).await;
    }

    /// Does everything that is due once, and runs jobs in the background. Returns whether there are backups.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn tidy(&self) -> Result<bool, BackupError> {
        let (jobs, has_backups) = self.look_after(None).await?;
        for job in jobs {
            self.engine.spawn(job);
        }
        Ok(has_backups)
    }

    /// Does everything that is due once, and waits for the jobs. Scheduled backups are not due; with `is_scheduled`, one
    /// is made now, unless one was requested within the last minute, or within the last hour and is still in progress.
    /// Returns how the jobs have ended.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn run_once(&self, is_scheduled: bool) -> Result<JobReport, BackupError> {
        let (jobs, _) = self.look_after(Some(is_scheduled)).await?;
        let runs = jobs.into_iter().map(|job| self.engine.run(job));
        let failures: Vec<_> = join_all(runs).await.into_iter().collect();
        Ok(JobReport {
            jobs: failures.len(),
            failures: failures.into_iter().flatten().collect(),
        })
    }

    /// Does everything that is due, and returns the jobs that this process has to run, and whether there are backups.
    async fn look_after(
        &self,
        is_scheduled: Option<bool>,
    ) -> Result<(Vec<DueJob>, bool), BackupError> {
        let engine = &self.engine;
        let (register, now) = engine.read().await?;
        let started = *self.started.get_or_init(|| now);
        let cached_root = engine.parts.catalog.root(ANY_AGE).await?.value;
        let mut databases = cached_root.databases().values();
        if self.schedule.is_none()
            && register.is_empty()
            && databases.all(|entry| entry.backup.is_none())
        {
            return Ok((Vec::new(), false));
        }
        // The root catalog is read first: a backup is registered before it gets an entry in the root catalog.
        let root = engine.parts.catalog.root(Duration::ZERO).await?.value;
        let (register, now) = engine.read().await?;
        let mut jobs = self.continue_jobs(&register, &root, now).await?;
        self.release(&register, &root).await?;
        let may_remove = engine.parts.bucket.removal_time(Stamp::ZERO).is_ok();
        let discarded = register.deletable(now).into_iter();
        for discarded in discarded.filter(|_| may_remove) {
            if let Err(error) = self.delete_objects(&discarded).await {
                tracing::warn!(%error, backup = %discarded.backup, "a deleted backup was not removed from its place");
            }
        }
        if let Some(schedule) = &self.schedule {
            let is_due = |register: &BackupRegister, now: StoreTime| {
                let last = register.last_scheduled();
                match is_scheduled {
                    None => {
                        let next = (schedule.next)(last.unwrap_or(started));
                        next.is_some_and(|next| next <= now)
                    }
                    Some(is_due) => {
                        let pause = if register.has_running_scheduled() {
                            REPETITION_TIME
                        } else {
                            INTERVAL
                        };
                        is_due && last.is_none_or(|last| now.since(last) >= pause)
                    }
                }
            };
            if is_due(&register, now) {
                let job = self.begin_scheduled(schedule, is_due).await?;
                jobs.extend(job);
            }
            if may_remove {
                self.remove_scheduled(schedule, &register, now).await?;
            }
        }
        Ok((jobs, !register.is_empty()))
    }

    /// Records the completion of restores that have published their databases and were interrupted then, and takes over
    /// other jobs that were interrupted. Returns them.
    async fn continue_jobs(
        &self,
        register: &BackupRegister,
        root: &RootCatalog,
        now: StoreTime,
    ) -> Result<Vec<DueJob>, BackupError> {
        let published: Vec<_> = register
            .restores()
            .filter(|one| {
                let is_interrupted = !one.job.is_running() || one.job.is_orphaned(now);
                let is_recorded = one.job.state == JobState::Completed;
                is_interrupted && !is_recorded && one.is_published(root)
            })
            .map(|one| one.id)
            .collect();
        if !published.is_empty() {
            let complete = self.engine.store.change(|register, now| {
                for id in &published {
                    register.complete_restore(*id, now);
                }
                Ok(())
            });
            complete.await?;
        }
        let orphans = register.jobs().filter(|(_, job)| job.is_orphaned(now));
        let mut taken = Vec::new();
        for (id, _) in orphans {
            if self.can_reach_place(register, id) {
                taken.extend(self.take_over(id).await?);
            }
        }
        Ok(taken)
    }

    /// Returns whether this process can use the place of a job. Another one may be able to.
    fn can_reach_place(&self, register: &BackupRegister, id: JobId) -> bool {
        let of_backup = |id| register.backup(id).and_then(|one| one.place.as_deref());
        let place = match id {
            JobId::Backup(id) => of_backup(id),
            JobId::Restore(id) => match register.restore(id).map(|one| &one.source) {
                Some(RestoreSource::Backup(id)) => of_backup(*id),
                Some(RestoreSource::AtPlace { place, .. }) => Some(place.as_str()),
                Some(RestoreSource::Moment(_)) | None => None,
            },
        };
        place.is_none_or(|place| self.engine.parts.open_place(place).is_ok())
    }

    /// Takes over an interrupted job, unless another process was faster, or the job has to fail.
    async fn take_over(&self, id: JobId) -> Result<Option<DueJob>, BackupError> {
        let holder = self.engine.draw_holder();
        let take_over = self.engine.store.change(|register, now| {
            let lease = Lease { holder, renewed: now };
            if !register.take_over(id, lease) {
                return Ok(None);
            }
            Ok(match id {
                JobId::Backup(id) => register.backup(id).cloned().map(DueJob::Backup),
                JobId::Restore(id) => register.restore(id).cloned().map(DueJob::Restore),
            })
        });
        let taken = take_over.await?;
        if taken.is_some() {
            tracing::info!(job = ?id, "took over an interrupted job");
        }
        Ok(taken)
    }

    /// Releases the copies of backups that have failed, were deleted, or are at a place, and those that killed processes
    /// have left.
    async fn release(
        &self,
        register: &BackupRegister,
        root: &RootCatalog,
    ) -> Result<(), BackupError> {
        let held = root.databases().iter().filter(|(copy, entry)| {
            let deletion = entry.deletion.filter(|it| it.hard_delete_at.is_none());
            let is_free = |backup| !register.holds_copy(backup, **copy);
            deletion.is_some() && entry.backup.is_some_and(is_free)
        });
        let free: BTreeSet<_> = held.map(|(copy, _)| *copy).collect();
        if free.is_empty() {
            return Ok(());
        }
        let released = self.engine.parts.catalog.release_backup_copies(&free).await?;
        tracing::info!(databases = released, "released the copies of backups");
        Ok(())
    }

    /// Deletes the objects of a backup at a place.
    async fn delete_objects(&self, discarded: &DiscardedBackup) -> Result<(), BackupError> {
        let place = self.engine.parts.open_place(&discarded.place)?;
        let cluster = self.engine.parts.cluster().await?;
        // First, so that no restore begins with it.
        let listed = place.register();
        let remove = listed.change(|register, _| {
            register.check_cluster(&cluster)?;
            register.remove_at_place(discarded.backup);
            Ok(())
        });
        remove.await?;
        delete_prefix(&place.bucket, &Key::backup_prefix(discarded.backup)).await?;
        let forget = self.engine.store.change(|register, _| {
            register.forget_discarded(discarded.backup);
            Ok(())
        });
        forget.await
    }

    /// Deletes scheduled backups that are older than the retention.
    async fn remove_scheduled(
        &self,
        schedule: &BackupSchedule,
        register: &BackupRegister,
        now: StoreTime,
    ) -> Result<(), BackupError> {
        let Some(retention) = schedule.retention else {
            return Ok(());
        };
        let remove = |register: &mut BackupRegister, now: StoreTime| {
            register.remove_scheduled(now.minus(retention), now)
        };
        if remove(&mut register.clone(), now) > 0 {
            let change = self.engine.store.change(|register, now| Ok(remove(register, now)));
            let removed = change.await?;
            tracing::info!(backups = removed, "deleted old scheduled backups");
            self.engine.changed.notify_one();
        }
        Ok(())
    }

    /// Registers a scheduled backup.
    async fn begin_scheduled(
        &self,
        schedule: &BackupSchedule,
        is_due: impl Fn(&BackupRegister, StoreTime) -> bool + Sync,
    ) -> Result<Option<DueJob>, BackupError> {
        let engine = &self.engine;
        let (id, holder) = (engine.parts.bucket.draw_ulid(), engine.draw_holder());
        let begin = engine.store.change(|register, now| {
            // Another process may have been faster.
            if !is_due(register, now) {
                return Ok(None);
            }
            let place = schedule.place.as_deref();
            let request = BackupRequest {
                parent: register.scheduled_parent(place, schedule.full_every),
                place: schedule.place.clone(),
                ..BackupRequest::default()
            };
            let name = default_name("scheduled", now);
            let lease = Lease { holder, renewed: now };
            let backup = register.begin_backup(id, name, &request, true, lease);
            backup.map(Some)
        });
        Ok(begin.await?.map(DueJob::Backup))
    }
}
