//! Starts, runs, cancels and deletes backups and restores.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use neap_bucket::{Bucket, ProtocolRules, StoreTime};
use neap_catalog::{ANY_AGE, Catalog, INTERNAL_DATABASE, origin, validate_database_name};
use neap_compact::Flusher;
use neap_manifest::ManifestStore;
use neap_schema::DatabaseId;
use neap_wal::TailReader;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupPlaces, BackupRegister, BackupRequest, BackupStore, Restore,
    RestoreRequest, RestoreSource,
    job::{JobId, LeaseHolder},
    register::{DatabaseInBackup, JobState},
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

/// Runs backups and restores of a cluster.
#[derive(Debug)]
pub struct BackupEngine {
    pub(crate) parts: BackupParts,
    pub(crate) leases: LeaseHolder,
    /// Wakes the keeper, because there may be something to delete.
    pub(crate) changed: Notify,
}

impl BackupEngine {
    /// Creates the engine of a process.
    pub fn new(parts: BackupParts) -> Self {
        let leases = LeaseHolder {
            store: BackupStore::new(&parts.bucket),
            holder: Ulid(parts.bucket.world().entropy.next_u128()),
            world: parts.bucket.world().clone(),
        };
        Self {
            parts,
            leases,
            changed: Notify::new(),
        }
    }

    /// Returns the register and the store's time.
    ///
    /// # Errors
    /// The store does not answer, or the register is damaged.
    pub async fn read(&self) -> Result<(Arc<BackupRegister>, StoreTime), BackupError> {
        let (register, now) = self.leases.store.read().await?;
        Ok((register.value, now))
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
        self.spawn_backup(backup.clone());
        Ok(backup)
    }

    pub(crate) fn spawn_backup(self: &Arc<Self>, backup: Backup) {
        let (engine, by) = (Arc::clone(self), origin::current());
        tokio::spawn(origin::scope(by, async move {
            engine.run_backup(backup).await;
        }));
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
            let found = self
                .parts
                .catalog
                .database_by_name(name, Duration::ZERO)
                .await?;
            if found.is_none() {
                let text = format!("there is no database {name:?}");
                return Err(BackupError::NotFound(text));
            }
        }
        let id = self.parts.bucket.draw_ulid();
        let begin = self.leases.store.change(|register, now| {
            let name = request.name.clone();
            let name = name.unwrap_or_else(|| default_name("backup", now));
            register.begin_backup(id, name, request, false, self.leases.lease(now))
        });
        begin.await
    }

    /// Makes a backup that was registered, and records how it has ended.
    pub async fn run_backup(&self, backup: Backup) {
        let work = self.make_backup(&backup);
        let outcome = self.leases.run(JobId::Backup(backup.id), work).await;
        let Err(error) = outcome else {
            tracing::info!(backup = backup.name, "backup completed");
            self.changed.notify_one();
            return;
        };
        tracing::warn!(backup = backup.name, %error, "backup failed");
        let fail = self.leases.store.change(|register, now| {
            register.fail_backup(backup.id, &error, now);
            Ok(())
        });
        if let Err(error) = fail.await {
            tracing::warn!(%error, "a failed backup was not recorded; its lease expires");
        }
        self.changed.notify_one();
    }

    async fn make_backup(&self, backup: &Backup) -> Result<(), BackupError> {
        let parts = &self.parts;
        let sources = self.sources(backup).await?;
        for (_, source) in &sources {
            parts.shorten_tail(*source).await;
        }
        let ids: Vec<_> = sources.iter().map(|(_, id)| *id).collect();
        let copies = parts
            .catalog
            .add_backup_copies(backup.id, &backup.name, &ids)
            .await?;
        let databases: Vec<_> = sources
            .into_iter()
            .zip(copies)
            .map(|((name, source), copy)| DatabaseInBackup {
                name,
                source,
                copy: copy.copy,
            })
            .collect();
        let stamp = parts.copy_databases(&databases, None).await?;
        let copies: Vec<_> = databases.iter().map(|one| one.copy).collect();
        let (objects, bytes) = parts.totals(&copies).await?;
        let change = self.leases.store.change(|register, now| {
            let lease = self.leases.lease(now);
            register.change_backup(backup.id, lease, |backup| {
                backup.stamp = Some(stamp);
                backup.databases.clone_from(&databases);
                (backup.objects, backup.bytes) = (objects, bytes);
                backup.clone()
            })
        });
        let copied = change.await?;
        if let Some(place) = &copied.place {
            let cluster = self.cluster().await?;
            let uploaded = parts.upload(&copied, place, &cluster).await?;
            let change = self.leases.store.change(|register, now| {
                let lease = self.leases.lease(now);
                register.change_backup(backup.id, lease, |backup| {
                    (backup.objects, backup.bytes) = (uploaded.objects, uploaded.bytes);
                })
            });
            change.await?;
        }
        let complete = self
            .leases
            .store
            .change(|register, now| register.complete_backup(backup.id, self.leases.lease(now)));
        complete.await
    }

    /// Returns the databases of a backup, by name and id.
    async fn sources(&self, backup: &Backup) -> Result<Vec<(String, DatabaseId)>, BackupError> {
        let root = self.parts.catalog.root(Duration::ZERO).await?.value;
        let wanted = backup.database.as_ref();
        let live = root.live_databases().filter(|(_, entry)| {
            entry.name != INTERNAL_DATABASE && wanted.is_none_or(|name| *name == entry.name)
        });
        let sources: Vec<_> = live.map(|(id, entry)| (entry.name.clone(), id)).collect();
        match (sources.is_empty(), wanted) {
            (true, Some(name)) => Err(BackupError::NotFound(format!(
                "there is no database {name:?}"
            ))),
            _ => Ok(sources),
        }
    }

    pub(crate) async fn cluster(&self) -> Result<String, BackupError> {
        let root = self.parts.catalog.root(ANY_AGE).await?;
        Ok(root.value.cluster().to_owned())
    }

    /// Cancels the backup in progress with this name. Its job ends within seconds.
    ///
    /// # Errors
    /// `NotFound` if none is in progress, or the store does not answer.
    pub async fn cancel_backup(&self, name: &str) -> Result<(), BackupError> {
        let cancel = self
            .leases
            .store
            .change(|register, now| register.cancel_backup(name, now));
        cancel.await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Deletes a backup; with `children`, also all incremental backups that continue it. Returns it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is in progress, is being restored, or has children, or the store does not answer.
    pub async fn delete_backup(&self, name: &str, children: bool) -> Result<Backup, BackupError> {
        let remove = self
            .leases
            .store
            .change(|register, now| register.remove_backup(name, children, now));
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
        let (engine, by, job) = (Arc::clone(self), origin::current(), restore.clone());
        tokio::spawn(origin::scope(by, async move {
            engine.run_restore(job).await;
        }));
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
        let id = self.parts.bucket.draw_ulid();
        let begin = self.leases.store.change(|register, now| {
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
                    let found = register.find_completed(name);
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
                state: JobState::InProgress,
                created: now,
                completed: None,
                copies: Vec::new(),
                objects: 0,
                bytes: 0,
                error: None,
                lease: Some(self.leases.lease(now)),
            };
            register.begin_restore(restore.clone())?;
            Ok(restore)
        });
        begin.await
    }

    async fn find_at_place(&self, place: &str, name: &str) -> Result<RestoreSource, BackupError> {
        let opened = self.parts.open_place(place)?;
        let (register, _) = opened.register().read().await?;
        let found = register.value.find_completed(name);
        let not_found = || BackupError::NotFound(format!("the place has no backup {name:?}"));
        Ok(RestoreSource::AtPlace {
            place: place.to_owned(),
            backup: found.ok_or_else(not_found)?.id,
        })
    }

    /// Performs a restore that was registered, and records how it has ended.
    pub async fn run_restore(&self, restore: Restore) {
        let work = self.make_restore(&restore);
        let outcome = self.leases.run(JobId::Restore(restore.id), work).await;
        let error = match outcome {
            Err(error) if !self.is_published(restore.id).await => Some(error),
            _ => None,
        };
        match &error {
            None => tracing::info!(restore = %restore.id, "restore completed"),
            Some(error) => tracing::warn!(restore = %restore.id, %error, "restore failed"),
        }
        let end = self.leases.store.change(|register, now| {
            register.end_restore(restore.id, error.as_ref(), now);
            Ok(())
        });
        if let Err(error) = end.await {
            tracing::warn!(%error, "the end of a restore was not recorded; its lease expires");
        }
        self.changed.notify_one();
    }

    async fn make_restore(&self, restore: &Restore) -> Result<(), BackupError> {
        let parts = &self.parts;
        let cluster = self.cluster().await?;
        let (register, _) = self.read().await?;
        let backup = match restore.source {
            RestoreSource::Backup(id) => register.backup(id),
            RestoreSource::AtPlace { .. } | RestoreSource::Moment(_) => None,
        };
        let plan = parts.plan_restore(restore, backup, &cluster).await?;
        let copies = parts.add_hidden(&plan, restore).await?;
        let (objects, bytes) = parts.fill_restored(&plan, restore, &copies).await?;
        // After this commit, the keeper can tell whether the databases were published.
        let change = self.leases.store.change(|register, now| {
            register.change_restore(restore.id, self.leases.lease(now), |restore| {
                restore.copies.clone_from(&copies);
                (restore.objects, restore.bytes) = (objects, bytes);
            })
        });
        change.await?;
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
        let cancel = self
            .leases
            .store
            .change(|register, now| register.cancel_restore(id, now));
        cancel.await?;
        self.changed.notify_one();
        Ok(())
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
