//! The job of a backup.
//!
//! ```text
//!   job                                        store
//!     |-- root catalog: hidden copies -----------> |   crash after: another process makes others; these are released
//!     |-- contents of the copies ----------------> |   when the backup is completed
//!     |-- register: the copies and their stamp --> |   crash after: another process continues with the upload
//!     |-- objects to the place ------------------> |   those that are recorded there are not copied again
//!     |-- register: completed -------------------> |
//! ```
//!
//! Without a place, the copies are recorded with the completion. They contain no sections, so a process that makes them
//! again repeats little work. It chooses a new stamp, because all databases need the same one.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_catalog::{ANY_AGE, INTERNAL_DATABASE, is_or_is_policy_of};
use neap_schema::DatabaseId;

use crate::{
    Backup, BackupError, BackupParts, copying::OF_BACKUP, job::JobLease, register::DatabaseInBackup,
};

impl BackupParts {
    /// Makes a backup, as far as an earlier run has not done so, and marks it as completed.
    /// Fails with `Incomplete` if objects are damaged; the backup is marked as incomplete then. A database is damaged
    /// or gone, the place can't be used, the lease is lost, or a store does not answer.
    pub(crate) async fn make_backup(
        &self,
        backup: &Backup,
        lease: &JobLease,
    ) -> Result<(), BackupError> {
        let Some(place) = &backup.place else {
            let copied = self.copy_sources(backup).await?;
            return lease
                .change(|register, lease| {
                    copied.record(register.renewed_backup(backup.id, lease)?);
                    register.complete_backup(backup.id, None, lease)
                })
                .await;
        };
        let copied = match backup.stamp {
            Some(_) => backup.clone(),
            None => {
                let copied = self.copy_sources(backup).await?;
                let record = lease.change(|register, lease| {
                    let backup = register.renewed_backup(backup.id, lease)?;
                    copied.record(backup);
                    Ok(backup.clone())
                });
                record.await?
            }
        };
        let cluster = self.cluster().await?;
        let damaged = self.upload(&copied, place, &cluster, lease).await?;
        lease
            .change(|register, lease| register.complete_backup(backup.id, damaged.as_ref(), lease))
            .await?;
        damaged.map_or(Ok(()), Err)
    }

    /// Copies the databases of a backup into new hidden databases.
    async fn copy_sources(&self, backup: &Backup) -> Result<CopiedDatabases, BackupError> {
        let sources = self.sources(backup).await?;
        for (_, source) in &sources {
            self.shorten_tail(*source).await;
        }
        let ids: Vec<_> = sources.iter().map(|(_, id)| *id).collect();
        let copies = self.catalog.add_backup_copies(backup.id, &backup.name, &ids).await?;
        let databases: Vec<_> = sources
            .into_iter()
            .zip(copies)
            .map(|((name, source), copy)| DatabaseInBackup { name, source, copy: copy.copy })
            .collect();
        let stamp = self.copy_databases(&databases, None, OF_BACKUP).await?;
        let copies: Vec<_> = databases.iter().map(|one| one.copy).collect();
        let totals = self.totals(&copies).await?;
        Ok(CopiedDatabases { stamp, databases, totals })
    }

    /// Returns the databases of a backup, by name and id.
    async fn sources(&self, backup: &Backup) -> Result<Vec<(String, DatabaseId)>, BackupError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let wanted = backup.database.as_ref();
        let live = root.live_databases().filter(|(_, entry)| {
            entry.name != INTERNAL_DATABASE
                && wanted.is_none_or(|name| is_or_is_policy_of(&entry.name, name))
        });
        let sources: Vec<_> = live.map(|(id, entry)| (entry.name.clone(), id)).collect();
        match (sources.is_empty(), wanted) {
            (true, Some(name)) => {
                Err(BackupError::NotFound(format!("there is no database {name:?}")))
            }
            _ => Ok(sources),
        }
    }

    /// Returns the id of the cluster.
    pub(crate) async fn cluster(&self) -> Result<String, BackupError> {
        let root = self.catalog.root(ANY_AGE).await?;
        Ok(root.value.cluster().to_owned())
    }
}

/// The copies of the databases of a backup.
struct CopiedDatabases {
    stamp: Stamp,
    databases: Vec<DatabaseInBackup>,
    /// Number and bytes of the objects.
    totals: (u64, u64),
}

impl CopiedDatabases {
    fn record(&self, backup: &mut Backup) {
        backup.stamp = Some(self.stamp);
        backup.databases.clone_from(&self.databases);
        let (objects, bytes) = self.totals;
        backup.job.report(objects, bytes);
    }
}
