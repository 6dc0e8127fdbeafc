//! Checks that backups are complete.

use std::collections::BTreeSet;

use neap_bucket::{Bucket, Key, RECENT_PUT_IDS, Register};
use neap_catalog::RootCatalog;
use serde::Serialize;

use crate::{BackupError, BackupStore, listing::list_parsed};

/// A part of a backup that is damaged, missing, or of a later release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BackupFinding {
    /// The name of the backup, its id if the register does not name it, or nothing if all backups are affected.
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
    /// Objects that are damaged, missing, or of a later release.
    pub findings: Vec<BackupFinding>,
}

impl BackupFinding {
    /// The register of backups is damaged or missing, and with it the backup.
    pub(crate) fn of_register(backup: impl ToString, message: impl ToString) -> Self {
        Self {
            backup: backup.to_string(),
            key: Key::Backups.to_string(),
            message: message.to_string(),
        }
    }
}

/// Checks that the register of backups in the bucket of a cluster is intact, and that the copies of all completed backups
/// in the bucket are held and have catalogs. The check of the bucket checks their objects, as those of every database, and
/// the root catalog.
///
/// # Errors
/// The store does not answer.
pub async fn check_backups(bucket: &Bucket) -> Result<Vec<BackupFinding>, BackupError> {
    let roots = Register::<RootCatalog>::new(bucket.clone(), Key::RootCatalog, RECENT_PUT_IDS);
    // A backup that was deleted in the meantime is not in the register any more.
    let root = match roots.read(None).await.map_err(BackupError::from) {
        Ok(root) => root.value,
        Err(BackupError::Format(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let backups_of_copies: BTreeSet<_> =
        root.databases().values().filter_map(|entry| entry.backup).collect();
    let register = match BackupStore::new(bucket).read().await {
        Ok((register, _)) if register.version > 0 => register,
        Ok(_) => {
            let message = "it is missing: the copies of the backup can't be restored by its name";
            let lost = backups_of_copies
                .iter()
                .map(|backup| BackupFinding::of_register(backup, message));
            return Ok(lost.collect());
        }
        Err(BackupError::Format(error)) => {
            return Ok(vec![BackupFinding::of_register("", error)]);
        }
        Err(error) => return Err(error),
    };
    let in_bucket = register
        .value
        .backups()
        .iter()
        .filter(|one| one.job.state.has_contents() && one.place.is_none());
    let database_of_catalog = |key: String| match key.parse() {
        Ok(Key::DatabaseCatalog(database)) => Some(database),
        _ => None,
    };
    let catalogs = list_parsed(bucket, Key::DATABASES_PREFIX, database_of_catalog).await?;
    let mut findings = Vec::new();
    for (backup, one) in
        in_bucket.flat_map(|backup| backup.databases.iter().map(move |one| (backup, one)))
    {
        let held = root.databases().get(&one.copy).filter(|entry| entry.backup == Some(backup.id));
        let deletion = held.and_then(|entry| entry.deletion);
        let finding = |key: String, part: &str| BackupFinding {
            backup: backup.name.clone(),
            key,
            message: format!("the {part} of database {:?} is missing", one.name),
        };
        if deletion.is_none_or(|deletion| deletion.hard_delete_at.is_some()) {
            findings.push(finding(format!("db/{}/", one.copy), "copy"));
        } else if !catalogs.contains_key(&one.copy) {
            // The check of the bucket can't tell it from a copy that is not complete.
            let key = Key::DatabaseCatalog(one.copy).to_string();
            findings.push(finding(key, "catalog of the copy"));
        }
    }
    Ok(findings)
}
