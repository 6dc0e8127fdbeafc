//! Checks that backups are complete.

use neap_bucket::{Bucket, Key, RECENT_PUT_IDS, Register};
use neap_catalog::RootCatalog;
use serde::Serialize;

use crate::{BackupError, BackupStore};

/// A damaged or missing part of a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BackupFinding {
    /// The name of the backup.
    pub backup: String,
    /// The key of the object, at the place or in the bucket.
    pub key: String,
    /// The description.
    pub message: String,
}

/// The result of a check of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlaceReport {
    /// Number of checked backups.
    pub backups: u64,
    /// Number of their objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// Damaged and missing objects.
    pub findings: Vec<BackupFinding>,
}

/// Checks that the copies of all completed backups in the bucket of a cluster are held. The check of the bucket checks
/// their objects, as those of every database.
///
/// # Errors
/// The store does not answer, or a register is damaged.
pub async fn check_backups(bucket: &Bucket) -> Result<Vec<BackupFinding>, BackupError> {
    let roots = Register::<RootCatalog>::new(bucket.clone(), Key::RootCatalog, RECENT_PUT_IDS);
    // A backup that was deleted in the meantime is not in the register any more.
    let root = roots.read(None).await?.value;
    let (register, _) = BackupStore::new(bucket).read().await?;
    let in_bucket = register
        .value
        .backups()
        .iter()
        .filter(|one| one.job.state.has_contents() && one.place.is_none());
    let lost = in_bucket.flat_map(|backup| {
        let copies = backup.databases.iter().filter(|one| {
            let held =
                root.databases().get(&one.copy).filter(|entry| entry.backup == Some(backup.id));
            let deletion = held.and_then(|entry| entry.deletion);
            deletion.is_none_or(|deletion| deletion.hard_delete_at.is_some())
        });
        copies.map(|one| BackupFinding {
            backup: backup.name.clone(),
            key: format!("db/{}/", one.copy),
            message: format!("the copy of database {:?} is gone", one.name),
        })
    });
    Ok(lost.collect())
}
