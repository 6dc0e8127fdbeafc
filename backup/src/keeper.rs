//! Looks after the backups of a cluster: ends abandoned jobs, deletes what deleted and failed backups have left, and
//! makes scheduled backups.
//!
//! Every process may run a keeper. Each of its steps is one commit, or can be repeated.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::select;
use neap_bucket::{Bucket, Key, ListRequest, MAX_DELETE_KEYS, StoreTime};
use neap_catalog::{ANY_AGE, RootCatalog};

use crate::{
    BackupEngine, BackupError, BackupRegister, BackupRequest, BackupSchedule, JobState,
    engine::default_name, register::DiscardedBackup,
};

/// Interval of the keeper while there are backups or a schedule.
const INTERVAL: Duration = Duration::from_secs(60);

/// Interval of the keeper of a cluster without backups.
const IDLE_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1_000_000;

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
        Self {
            engine,
            schedule,
            started: OnceLock::new(),
        }
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
        let pause = self.engine.leases.world.clock.sleep(pause);
        select(pause, pin!(self.engine.changed.notified())).await;
    }

    /// Does everything that is due once. Returns whether there are backups.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn tidy(&self) -> Result<bool, BackupError> {
        let engine = &self.engine;
        let (register, now) = engine.read().await?;
        let started = *self.started.get_or_init(|| now);
        let known = engine.parts.catalog.root(ANY_AGE).await?.value;
        let mut known = known.databases().values();
        if self.schedule.is_none()
            && register.is_empty()
            && known.all(|entry| entry.backup.is_none())
        {
            return Ok(false);
        }
        // The root catalog is read first: a backup is registered before it gets an entry in the root catalog.
        let root = engine.parts.catalog.root(Duration::ZERO).await?.value;
        let (register, now) = engine.read().await?;
        self.end_jobs(&register, &root, now).await?;
        self.release(&register, &root).await?;
        for discarded in register.deletable(now) {
            if let Err(error) = self.delete_objects(&discarded).await {
                tracing::warn!(%error, backup = %discarded.backup, "a deleted backup was not removed from its place");
            }
        }
        if let Some(schedule) = &self.schedule {
            self.keep_schedule(schedule, &register, started, now)
                .await?;
        }
        Ok(!register.is_empty())
    }

    /// Records how abandoned jobs have ended.
    async fn end_jobs(
        &self,
        register: &BackupRegister,
        root: &RootCatalog,
        now: StoreTime,
    ) -> Result<(), BackupError> {
        let running = |state: JobState, shown: JobState| {
            state == JobState::InProgress && shown == JobState::Failed
        };
        let mut backups = register.backups().iter();
        let mut restores = register.restores();
        let is_expired = backups.any(|one| running(one.state, one.state_at(now)))
            || restores.any(|one| running(one.state, one.state_at(now)));
        let ended = [JobState::Failed, JobState::Cancelled];
        let published = register
            .restores()
            .filter(|one| ended.contains(&one.state_at(now)) && one.is_published(root));
        let published: Vec<_> = published.map(|one| one.id).collect();
        if !is_expired && published.is_empty() {
            return Ok(());
        }
        let change = self.engine.leases.store.change(|register, now| {
            register.end_expired(now);
            for id in &published {
                register.end_restore(*id, None, now);
            }
            Ok(())
        });
        change.await
    }

    /// Releases the copies of backups that have failed, were deleted, or are at a place.
    async fn release(
        &self,
        register: &BackupRegister,
        root: &RootCatalog,
    ) -> Result<(), BackupError> {
        let held = root.databases().values().filter(|entry| {
            let deletion = entry.deletion.filter(|it| it.hard_delete_at.is_none());
            deletion.is_some()
        });
        let backups = held.filter_map(|entry| entry.backup);
        let free: BTreeSet<_> = backups.filter(|id| !register.holds_copies(*id)).collect();
        if free.is_empty() {
            return Ok(());
        }
        let released = self
            .engine
            .parts
            .catalog
            .release_backup_copies(&free)
            .await?;
        tracing::info!(databases = released, "released the copies of backups");
        Ok(())
    }

    /// Deletes the objects of a backup at a place.
    async fn delete_objects(&self, discarded: &DiscardedBackup) -> Result<(), BackupError> {
        let place = self.engine.parts.open_place(&discarded.place)?;
        let cluster = self.engine.cluster().await?;
        // First, so that no restore begins with it.
        let listed = place.register();
        let remove = listed.change(|register, _| {
            register.check_cluster(&cluster)?;
            register.remove_at_place(discarded.backup);
            Ok(())
        });
        remove.await?;
        delete_prefix(&place.bucket, &Key::backup_prefix(discarded.backup)).await?;
        let forget = self.engine.leases.store.change(|register, _| {
            register.forget_discarded(discarded.backup);
            Ok(())
        });
        forget.await
    }

    /// Starts a scheduled backup that is due, and deletes old ones.
    async fn keep_schedule(
        &self,
        schedule: &BackupSchedule,
        register: &BackupRegister,
        started: StoreTime,
        now: StoreTime,
    ) -> Result<(), BackupError> {
        let is_due = |register: &BackupRegister, now: StoreTime| {
            let scheduled = register.backups().iter().filter(|one| one.scheduled);
            let last = scheduled.map(|one| one.created).max().unwrap_or(started);
            (schedule.next)(last).is_some_and(|next| next <= now)
        };
        if is_due(register, now) {
            self.start_scheduled(schedule, is_due).await?;
        }
        let Some(retention) = schedule.retention else {
            return Ok(());
        };
        let remove = |register: &mut BackupRegister, now: StoreTime| {
            register.remove_scheduled(now.minus(retention), now)
        };
        if remove(&mut register.clone(), now) > 0 {
            let change = self
                .engine
                .leases
                .store
                .change(|register, now| Ok(remove(register, now)));
            let removed = change.await?;
            tracing::info!(backups = removed, "deleted old scheduled backups");
            self.engine.changed.notify_one();
        }
        Ok(())
    }

    async fn start_scheduled(
        &self,
        schedule: &BackupSchedule,
        is_due: impl Fn(&BackupRegister, StoreTime) -> bool,
    ) -> Result<(), BackupError> {
        let engine = &self.engine;
        let id = engine.parts.bucket.draw_ulid();
        let request = BackupRequest {
            place: schedule.place.clone(),
            ..BackupRequest::default()
        };
        let begin = engine.leases.store.change(|register, now| {
            // Another process may have been faster.
            if !is_due(register, now) {
                return Ok(None);
            }
            let name = default_name("scheduled", now);
            let lease = engine.leases.lease(now);
            let backup = register.begin_backup(id, name, &request, true, lease);
            backup.map(Some)
        });
        if let Some(backup) = begin.await? {
            engine.spawn_backup(backup);
        }
        Ok(())
    }
}

/// Deletes all objects with a prefix.
async fn delete_prefix(bucket: &Bucket, prefix: &str) -> Result<(), BackupError> {
    let mut page_token = None;
    for _ in 0..MAX_PAGES {
        let request = ListRequest {
            prefix,
            start_after: None,
            page_token,
        };
        let page = bucket.list(request).await?.value;
        let keys: Vec<_> = page.entries.into_iter().map(|entry| entry.key).collect();
        for keys in keys.chunks(MAX_DELETE_KEYS) {
            bucket.delete(keys).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    Ok(())
}
