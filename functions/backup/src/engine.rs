//! Starts, runs, cancels and deletes backups and restores.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use neap_bucket::{Bucket, Key, MissingObject, ProtocolRules, StoreTime};
use neap_catalog::{ANY_AGE, Catalog, origin, validate_database_name};
use neap_compact::Flusher;
use neap_manifest::ManifestStore;
use neap_wal::TailReader;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupMetrics, BackupPlaces, BackupRegister, BackupRequest, BackupStore,
    Restore, RestoreRequest, RestoreSource,
    job::{CopiedObjects, JobLease},
    metrics::JobOutcomes,
    register::{Job, JobId, Lease},
};

/// The components of a process that backups and restores use.
#[derive(Clone, Debug)]
pub struct BackupParts {
    /// The bucket of the cluster.
    pub bucket: Bucket,
    /// The catalogs.
    pub catalog: Arc<Catalog>,
    /// The manifests.
    pub manifests: ManifestStore,
    /// Reads the tails.
    pub tail: TailReader,
    /// Flushes the copies.
    pub flusher: Flusher,
    /// The rules of the storage protocol in this cluster.
    pub rules: ProtocolRules,
    /// Opens places for backups.
    pub places: Arc<dyn BackupPlaces>,
}

/// A job that a process has to run.
#[derive(Clone, Debug)]
pub(crate) enum DueJob {
    Backup(Backup),
    Restore(Restore),
}

/// Runs backups and restores of a cluster.
#[derive(Debug)]
pub struct BackupEngine {
    pub(crate) parts: BackupParts,
    pub(crate) store: BackupStore,
    outcomes: JobOutcomes,
    /// Wakes the keeper, because there may be something to delete.
    pub(crate) changed: Notify,
}

impl BackupEngine {
    /// Creates the engine of a process.
    pub fn new(parts: BackupParts) -> Self {
        Self {
            store: BackupStore::new(&parts.bucket),
            parts,
            outcomes: JobOutcomes::default(),
            changed: Notify::new(),
        }
    }

    /// Returns the register and the store's time.
    ///
    /// # Errors
    /// The store does not answer, or the register is damaged or lost.
    pub async fn read(&self) -> Result<(Arc<BackupRegister>, StoreTime), BackupError> {
        // The root catalog is read first: a backup is registered before it gets an entry there.
        let root = self.parts.catalog.root(ANY_AGE).await?;
        let (register, now) = self.store.read().await?;
        let is_held = root.value.databases().values().any(|entry| entry.backup.is_some());
        if register.version == 0 && is_held {
            return Err(MissingObject::needed_by(&Key::Backups, &Key::RootCatalog).into());
        }
        Ok((register.value, now))
    }

    /// Returns the metrics of the jobs of this process, and of the backups that it read last.
    pub fn metrics(&self) -> BackupMetrics {
        BackupMetrics::new(&self.outcomes, self.store.last_read().as_deref())
    }

    /// Draws the holder of a lease.
    pub(crate) fn draw_holder(&self) -> Ulid {
        Ulid(self.parts.bucket.world().entropy.next_u128())
    }

    /// Returns the lease of a run of a job, as the register has recorded it.
    fn lease(&self, id: JobId, job: &Job) -> JobLease {
        JobLease {
            job: id,
            holder: job.holder().unwrap_or_else(|| self.draw_holder()),
            copied: CopiedObjects::default(),
            store: self.store.clone(),
            world: self.parts.bucket.world().clone(),
        }
    }

    /// Registers a backup and runs it in the background.
    ///
    /// # Errors
    /// The request is refused, or the store does not answer.
    pub async fn start_backup(
        self: &Arc<Self>,
        request: &BackupRequest,
    ) -> Result<Backup, BackupError> {
        let backup = self.begin_backup(request).await?;
        self.spawn(DueJob::Backup(backup.clone()));
        Ok(backup)
    }

    /// Runs a job in the background.
    pub(crate) fn spawn(self: &Arc<Self>, job: DueJob) {
        let (engine, by) = (Arc::clone(self), origin::current());
        tokio::spawn(origin::scope(by, async move {
            engine.run(job).await;
        }));
    }

    /// Runs a job. Returns why it has failed.
    pub(crate) async fn run(&self, job: DueJob) -> Option<String> {
        match job {
            DueJob::Backup(backup) => self.run_backup(backup).await,
            DueJob::Restore(restore) => self.run_restore(restore).await,
        }
    }

    /// Registers a backup, which [`run_backup`](Self::run_backup) makes.
    ///
    /// # Errors
    /// The request is refused, or the store does not answer.
    pub async fn begin_backup(&self, request: &BackupRequest) -> Result<Backup, BackupError> {
        if let Some(place) = &request.place {
            self.parts.open_place(place)?;
        }
        if let Some(name) = &request.database {
            let found = self.parts.catalog.database_by_name(name, Duration::ZERO).await?;
            if found.is_none() {
                let text = format!("there is no database {name:?}");
                return Err(BackupError::NotFound(text));
            }
        }
        // A lost register is not created again.
        self.read().await?;
        let (id, holder) = (self.parts.bucket.draw_ulid(), self.draw_holder());
        let begin = self.store.change(|register, now| {
            let name = request.name.clone().unwrap_or_else(|| default_name("backup", now));
            let lease = Lease { holder, renewed: now };
            register.begin_backup(id, name, request, false, lease)
        });
        begin.await
    }

    /// Makes a backup that was registered, or continues one that was interrupted, and records how it has ended.
    /// Returns why it has failed.
    pub async fn run_backup(&self, backup: Backup) -> Option<String> {
        let lease = self.lease(JobId::Backup(backup.id), &backup.job);
        let outcome = lease.run(self.parts.make_backup(&backup, &lease)).await;
        let error = outcome.err();
        self.outcomes.add_backup(error.as_ref());
        match &error {
            None => tracing::info!(backup = backup.name, "backup completed"),
            Some(error @ BackupError::Incomplete { .. }) => {
                tracing::warn!(backup = backup.name, %error, "backup is incomplete");
            }
            Some(error) => {
                tracing::warn!(backup = backup.name, %error, "backup failed");
                fail(&lease, error).await;
            }
        }
        if matches!(error, None | Some(BackupError::Incomplete { .. })) {
            self.parts.delete_progress(&backup).await;
        }
        self.changed.notify_one();
        error.map(|error| error.to_string())
    }

    /// Cancels the backup in progress with this name. Its job ends within seconds.
    ///
    /// # Errors
    /// `NotFound` if none is in progress, or the store does not answer.
    pub async fn cancel_backup(&self, name: &str) -> Result<(), BackupError> {
        let cancel = self.store.change(|register, now| register.cancel_backup(name, now));
        cancel.await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Deletes a backup; with `children`, also all incremental backups that continue it. Returns it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is in progress, is being restored, or has children, or the store does not answer.
    pub async fn delete_backup(&self, name: &str, children: bool) -> Result<Backup, BackupError> {
        let remove = self.store.change(|register, now| register.remove_backup(name, children, now));
        let removed = remove.await?;
        self.changed.notify_one();
        Ok(removed)
    }

    /// Registers a restore and runs it in the background.
    ///
    /// # Errors
    /// The request is refused, another restore is in progress, or the store does not answer.
    pub async fn start_restore(
        self: &Arc<Self>,
        request: &RestoreRequest,
    ) -> Result<Restore, BackupError> {
        let restore = self.begin_restore(request).await?;
        self.spawn(DueJob::Restore(restore.clone()));
        Ok(restore)
    }

    /// Registers a restore, which [`run_restore`](Self::run_restore) performs.
    ///
    /// # Errors
    /// The request is refused, another restore is in progress, or the store does not answer.
    pub async fn begin_restore(&self, request: &RestoreRequest) -> Result<Restore, BackupError> {
        if let Some(name) = &request.to {
            validate_database_name(name)
                .map_err(|error| BackupError::Invalid(error.to_string()))?;
            if request.database.is_none() {
                let text = "a new name needs the database to restore";
                return Err(BackupError::Invalid(text.to_owned()));
            }
        }
        let at_place = match (&request.place, &request.backup) {
            (Some(place), Some(name)) => Some(self.find_at_place(place, name).await?),
            (Some(_), None) => return Err(no_backup()),
            (None, _) => None,
        };
        // A lost register is not created again.
        self.read().await?;
        let (id, holder) = (self.parts.bucket.draw_ulid(), self.draw_holder());
        let begin = self.store.change(|register, now| {
            let (backup, source) = match (&at_place, request.moment, &request.backup) {
                (Some(source), ..) => (request.backup.clone().unwrap_or_default(), source.clone()),
                (None, Some(moment), None) if request.database.is_some() => {
                    if moment.time() > now {
                        let text = "the moment is in the future";
                        return Err(BackupError::Invalid(text.to_owned()));
                    }
                    let time = time_text(moment.time());
                    (time, RestoreSource::Moment(moment))
                }
                (None, None, Some(name)) => {
                    let found = register.find_restorable(name);
                    let not_found =
                        || BackupError::NotFound(format!("there is no completed backup {name:?}"));
                    let id = found.ok_or_else(not_found)?.id;
                    (name.clone(), RestoreSource::Backup(id))
                }
                _ => return Err(no_backup()),
            };
            let restore = Restore {
                id,
                backup,
                source,
                database: request.database.clone(),
                to: request.to.clone(),
                keep_retention: request.keep_retention,
                job: Job::new(Lease { holder, renewed: now }),
                copies: Vec::new(),
            };
            register.begin_restore(restore.clone())?;
            Ok(restore)
        });
        begin.await
    }

    async fn find_at_place(&self, place: &str, name: &str) -> Result<RestoreSource, BackupError> {
        let opened = self.parts.open_place(place)?;
        let (register, _) = opened.register().read().await?;
        let found = register.value.find_restorable(name);
        let not_found = || BackupError::NotFound(format!("the place has no backup {name:?}"));
        Ok(RestoreSource::AtPlace {
            place: place.to_owned(),
            backup: found.ok_or_else(not_found)?.id,
        })
    }

    /// Performs a restore that was registered, or continues one that was interrupted, and records how it has ended.
    /// Returns why it has failed.
    pub async fn run_restore(&self, restore: Restore) -> Option<String> {
        let lease = self.lease(JobId::Restore(restore.id), &restore.job);
        let outcome = lease.run(self.make_restore(&restore, &lease)).await;
        let error = match outcome {
            Err(error) if !self.is_published(restore.id).await => Some(error),
            _ => None,
        };
        self.outcomes.add_restore(error.as_ref());
        match &error {
            None => {
                tracing::info!(restore = %restore.id, "restore completed");
                let complete = self.store.change(|register, now| {
                    register.complete_restore(restore.id, now);
                    Ok(())
                });
                if let Err(error) = complete.await {
                    tracing::warn!(%error, "the end of a restore was not recorded; the keeper does it");
                }
            }
            Some(error) => {
                tracing::warn!(restore = %restore.id, %error, "restore failed");
                fail(&lease, error).await;
            }
        }
        self.changed.notify_one();
        error.map(|error| error.to_string())
    }

    async fn make_restore(&self, restore: &Restore, lease: &JobLease) -> Result<(), BackupError> {
        let parts = &self.parts;
        let cluster = parts.cluster().await?;
        let (register, _) = self.read().await?;
        let backup = match restore.source {
            RestoreSource::Backup(id) => register.backup(id),
            RestoreSource::AtPlace { .. } | RestoreSource::Moment(_) => None,
        };
        let plan = parts.plan_restore(restore, backup, &cluster).await?;
        let copies = parts.prepare_restored(&plan, restore, lease).await?;
        parts.publish(&plan, restore, &copies).await
    }

    /// Returns whether a restore that was interrupted has published its databases before.
    async fn is_published(&self, restore: Ulid) -> bool {
        let Ok((register, _)) = self.read().await else {
            return false;
        };
        let restore = register.restore(restore);
        let Ok(root) = self.parts.catalog.root(Duration::ZERO).await else {
            return false;
        };
        restore.is_some_and(|restore| restore.is_published(&root.value))
    }

    /// Cancels a restore in progress. Its job ends within seconds, unless it has published the databases.
    ///
    /// # Errors
    /// `NotFound` if it does not exist or has ended, or the store does not answer.
    pub async fn cancel_restore(&self, id: Ulid) -> Result<(), BackupError> {
        let cancel = self.store.change(|register, now| register.cancel_restore(id, now));
        cancel.await?;
        self.changed.notify_one();
        Ok(())
    }
}

/// Records that a job has failed. Another process continues a job whose lease is lost.
async fn fail(lease: &JobLease, error: &BackupError) {
    if matches!(error, BackupError::LeaseLost(_) | BackupError::Cancelled) {
        return;
    }
    let fail = lease.change(|register, held| {
        register.fail_own_job(lease.job, held, error);
        Ok(())
    });
    if let Err(error) = fail.await {
        tracing::warn!(%error, "a failed job was not recorded; another process takes it over");
    }
}

fn no_backup() -> BackupError {
    BackupError::Invalid(
        "a restore needs the name of a backup, or a database and a moment (as_of)".to_owned(),
    )
}

/// Returns the name of a backup that was requested without one.
pub(crate) fn default_name(kind: &str, now: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(now.micros()).unwrap_or_default();
    format!("{kind}-{}", time.format("%Y%m%dT%H%M%SZ"))
}

/// Formats a time as RFC 3339.
pub(crate) fn time_text(time: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(time.micros()).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
