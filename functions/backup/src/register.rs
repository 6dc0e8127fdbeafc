//! The register of backups and restores.
//!
//! ```text
//!   request ──► in_progress ──► completed ──► removed
//!                │  │  │  │
//!                │  │  │  └── incomplete      a backup without damaged objects; it can be restored
//!                │  │  └───── in_progress     under the lease of another process, when the lease has expired
//!                │  └──────── cancelled       by a request
//!                └─────────── failed          by its process, or by a keeper that finds no process to continue it
//! ```
//!
//! The register decides: a process whose lease it does not show changes nothing any more.

mod changes;
mod jobs;
mod leases;
mod scheduled;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use neap_bucket::{ObjectFormat, RegisterValue, Stamp, StoreTime, formats};
use neap_catalog::RootCatalog;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

pub use self::jobs::{Job, JobState};
pub(crate) use self::jobs::{JobId, LEASE_TIME, Lease, RENEWAL_INTERVAL};

/// Maximum number of backups.
pub const MAX_BACKUPS: usize = 1_000;

/// Number of restores that are shown after they have ended.
const MAX_ENDED_RESTORES: usize = 100;

/// Maximum number of backups that are in progress at the same time.
const MAX_RUNNING: usize = 4;

/// Maximum bytes of the name of a backup.
const MAX_NAME_BYTES: usize = 128;

/// The kind of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// It depends on no other backup.
    Full,
    /// At a place, it has only the objects that its parent lacks.
    Incremental,
}

/// A database in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInBackup {
    /// The name.
    pub name: String,
    /// The id.
    pub source: DatabaseId,
    /// The id of the copy.
    pub copy: DatabaseId,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The id.
    pub id: Ulid,
    /// The name. A new backup may replace a completed one of the same name; until then, both have it.
    pub name: String,
    /// The kind.
    pub kind: BackupKind,
    /// The backup that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Ulid>,
    /// Its progress. The objects are those of the copies, and the bytes those that it references.
    #[serde(flatten)]
    pub job: Job,
    /// The only database in the backup; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The place with the objects; `None`: the bucket of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether the schedule has made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scheduled: bool,
    /// The backup of the same name that this one replaces when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Ulid>,
    /// The backup has all writes up to this stamp and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// The databases. Their copies are complete when the stamp is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseInBackup>,
}

/// The state that a restore restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreSource {
    /// A backup in the bucket of the cluster, or one at a place that the register of the cluster lists.
    Backup(Ulid),
    /// A backup that only the register of a place lists.
    AtPlace {
        /// The place.
        place: String,
        /// The backup.
        backup: Ulid,
    },
    /// A database at an earlier moment: its newest state without writes after this stamp.
    Moment(Stamp),
}

/// A restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The id.
    pub id: Ulid,
    /// The name of the backup, or the moment.
    pub backup: String,
    /// The state that it restores.
    pub source: RestoreSource,
    /// The only database to restore; `None`: all of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name of the new database; `None`: the restored databases replace the present ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether the restored databases have the retention of the backup. Otherwise rows are kept forever, because restored
    /// rows may be older than the retention.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_retention: bool,
    /// Its progress.
    #[serde(flatten)]
    pub job: Job,
    /// The restored databases while they are hidden, and later. They are recorded before they have contents, never
    /// change, and are published together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<DatabaseId>,
}

/// A request for a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupRequest {
    /// The name; `None`: a name is made from the time.
    pub name: Option<String>,
    /// Replaces a backup of the same name.
    pub force: bool,
    /// The name of the parent, for an incremental backup.
    pub parent: Option<String>,
    /// The only database in the backup; `None`: all of them.
    pub database: Option<String>,
    /// The place to back up to; `None`: the bucket of the cluster. An incremental backup goes to the place of its
    /// parent.
    pub place: Option<String>,
}

/// A request for a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The name of the backup.
    pub backup: Option<String>,
    /// The place whose register lists the backup; `None`: the register of the cluster does.
    pub place: Option<String>,
    /// The moment to restore a database to, in place of a backup.
    pub moment: Option<Stamp>,
    /// The only database to restore; required with a moment.
    pub database: Option<String>,
    /// The name of the new database; `None`: the restored databases replace the present ones.
    pub to: Option<String>,
    /// Whether the restored databases have the retention of the backup.
    pub keep_retention: bool,
}

/// A backup at a place whose objects are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscardedBackup {
    pub(crate) backup: Ulid,
    pub(crate) place: String,
    /// When the backup was deleted or has failed, by the store's clock.
    pub(crate) since: StoreTime,
}

/// The backups and restores of a cluster, or the backups at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRegister {
    /// The backups, oldest first.
    backups: Vec<Backup>,
    /// The restores, oldest first.
    restores: Vec<Restore>,
    /// Backups at places whose objects are to be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    discarded: Vec<DiscardedBackup>,
    /// At a place: the cluster whose backups it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

impl RegisterValue for BackupRegister {
    const FORMAT: ObjectFormat = formats::BACKUPS;
}

impl Restore {
    /// Returns whether its databases are live.
    pub(crate) fn is_published(&self, root: &RootCatalog) -> bool {
        let mut entries = self.copies.iter().filter_map(|id| root.databases().get(id));
        entries.any(|entry| entry.deletion.is_none())
    }
}

impl BackupRegister {
    /// Returns the backups, oldest first.
    pub fn backups(&self) -> &[Backup] {
        &self.backups
    }

    /// Returns whether there is nothing to look after.
    pub(crate) fn is_empty(&self) -> bool {
        self.backups.is_empty() && self.discarded.is_empty() && self.restores.is_empty()
    }

    /// Returns the restores, newest first.
    pub fn restores(&self) -> impl Iterator<Item = &Restore> {
        self.restores.iter().rev()
    }

    /// Returns the newest backup with this name.
    pub fn find(&self, name: &str) -> Option<&Backup> {
        self.backups.iter().rev().find(|one| one.name == name)
    }

    /// Returns the backup with this name that is restored and continued: the newest completed one, otherwise the newest
    /// incomplete one.
    pub fn find_restorable(&self, name: &str) -> Option<&Backup> {
        let newest = |state| {
            let mut backups = self.backups.iter().rev();
            backups.find(|one| one.name == name && one.job.state == state)
        };
        newest(JobState::Completed).or_else(|| newest(JobState::Incomplete))
    }

    /// Returns a backup.
    pub fn backup(&self, id: Ulid) -> Option<&Backup> {
        self.backups.iter().find(|one| one.id == id)
    }

    /// Returns a restore.
    pub fn restore(&self, id: Ulid) -> Option<&Restore> {
        self.restores.iter().find(|one| one.id == id)
    }

    /// Returns whether a hidden copy that a backup holds is needed: the backup is in progress, or the copy belongs to a
    /// completed one in the bucket of the cluster. A process that was killed may have left others.
    pub fn holds_copy(&self, backup: Ulid, copy: DatabaseId) -> bool {
        self.backup(backup).is_some_and(|backup| match backup.job.state {
            JobState::InProgress => true,
            JobState::Completed | JobState::Incomplete => {
                let mut own = backup.databases.iter();
                backup.place.is_none() && own.any(|one| one.copy == copy)
            }
            JobState::Failed | JobState::Cancelled => false,
        })
    }

    /// Returns the backups whose objects may be deleted: no job can put more of them.
    pub(crate) fn deletable(&self, now: StoreTime) -> Vec<DiscardedBackup> {
        self.discarded
            .iter()
            .filter(|one| now.since(one.since) >= LEASE_TIME)
            .cloned()
            .collect()
    }

    /// Returns a backup and all backups that continue it, directly or indirectly.
    pub fn with_descendants(&self, id: Ulid) -> BTreeSet<Ulid> {
        let mut found = BTreeSet::from([id]);
        // A parent is older than its children.
        for backup in &self.backups {
            if backup.parent.is_some_and(|parent| found.contains(&parent)) {
                found.insert(backup.id);
            }
        }
        found
    }
}
