//! Checks that backups are complete.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Get, GetOptions, Key, RECENT_PUT_IDS, Register, Store, World};
use neap_catalog::RootCatalog;
use serde::Serialize;
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupStore, JobState,
    listing::list_sizes,
    place::BackupPlace,
    place_objects::{PlaceManifest, StoredObject},
    uploading::ObjectMemory,
};

/// Number of objects that are read concurrently.
const OBJECTS_AT_ONCE: usize = 8;

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
    let root: Register<RootCatalog> =
        Register::new(bucket.clone(), Key::RootCatalog, RECENT_PUT_IDS);
    // A backup that was deleted in the meantime is not in the register any more.
    let root = root.read(None).await?.value;
    let (register, _) = BackupStore::new(bucket).read().await?;
    let completed = register.value.backups().iter();
    let completed =
        completed.filter(|one| one.job.state == JobState::Completed && one.place.is_none());
    let lost = completed.flat_map(|backup| {
        let copies = backup.databases.iter().filter(|one| {
            let held = root.databases().get(&one.copy);
            let held = held.filter(|entry| entry.backup == Some(backup.id));
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

/// Checks the objects of all completed backups at a place: that they exist and have their sizes; with `full`, also
/// their checksums.
///
/// # Errors
/// The store does not answer, or the register of the place is damaged.
pub async fn check_place(
    store: Arc<dyn Store>,
    world: &World,
    full: bool,
) -> Result<PlaceReport, BackupError> {
    let place = BackupPlace::new(store, world);
    let (register, _) = place.register().read().await?;
    let mut report = PlaceReport::default();
    // An object that several backups share is checked once.
    let mut checked: BTreeMap<(Ulid, String), StoredObject> = BTreeMap::new();
    for backup in register.value.backups() {
        report.backups += 1;
        match PlaceManifest::read(&place, backup.id).await {
            Ok(manifest) => {
                let new = manifest.objects.into_iter().filter(|(key, object)| {
                    let place = (object.put_by, key.clone());
                    checked.insert(place, object.clone()).is_none()
                });
                let new: BTreeMap<_, _> = new.collect();
                report.objects += new.len() as u64;
                report.bytes += new.values().map(|object| object.bytes).sum::<u64>();
                let findings = check_objects(&place, backup, &new, full).await?;
                report.findings.extend(findings);
            }
            Err(BackupError::Store(error)) => return Err(error.into()),
            Err(error) => report.findings.push(BackupFinding {
                backup: backup.name.clone(),
                key: Key::BackupManifest(backup.id).to_string(),
                message: error.to_string(),
            }),
        }
    }
    report.findings.sort();
    Ok(report)
}

async fn check_objects(
    place: &BackupPlace,
    backup: &Backup,
    objects: &BTreeMap<String, StoredObject>,
    full: bool,
) -> Result<Vec<BackupFinding>, BackupError> {
    let finding = |key: &str, object: &StoredObject, message: String| BackupFinding {
        backup: backup.name.clone(),
        key: format!("{}{key}", Key::backup_objects_prefix(object.put_by)),
        message,
    };
    let mut sizes: BTreeMap<Ulid, BTreeMap<String, u64>> = BTreeMap::new();
    for object in objects.values() {
        if let Entry::Vacant(entry) = sizes.entry(object.put_by) {
            let listed = list_sizes(&place.objects_of(object.put_by), "").await?;
            entry.insert(listed);
        }
    }
    let mut findings = Vec::new();
    let mut intact = Vec::new();
    for (key, object) in objects {
        let listed = sizes.get(&object.put_by).and_then(|sizes| sizes.get(key));
        match listed {
            None => findings.push(finding(key, object, "it is missing".to_owned())),
            Some(bytes) if *bytes != object.bytes => {
                let message = format!("it has {bytes} of {} bytes", object.bytes);
                findings.push(finding(key, object, message));
            }
            Some(_) => intact.push((key, object)),
        }
    }
    if full {
        let memory = &ObjectMemory::default();
        let checks = intact.into_iter().map(|(key, object)| async move {
            let _memory = memory.acquire(object.bytes).await?;
            let reason = read_object(place, key, object).await?;
            Ok::<_, BackupError>(reason.map(|reason| finding(key, object, reason)))
        });
        let checks: Vec<_> = checks.collect();
        let checks = stream::iter(checks).buffer_unordered(OBJECTS_AT_ONCE);
        let damaged: Vec<_> = checks.try_collect().await?;
        findings.extend(damaged.into_iter().flatten());
    }
    Ok(findings)
}

/// Reads an object and returns how it is damaged; `None` if it is intact.
async fn read_object(
    place: &BackupPlace,
    key: &str,
    object: &StoredObject,
) -> Result<Option<String>, BackupError> {
    let Ok(parsed) = key.parse::<Key>() else {
        return Ok(Some("its key is not one of Neap".to_owned()));
    };
    let bucket = place.objects_of(object.put_by);
    let got = bucket.get(&parsed, GetOptions::default()).await?;
    let Get::Found(found) = got.value else {
        return Ok(Some("it is missing".to_owned()));
    };
    Ok(match object.check(key, &found.bytes) {
        Err(BackupError::Damaged { reason, .. }) => Some(reason),
        _ => None,
    })
}
