//! Checks the backups at a place: that each has the objects that its manifests and catalogs reference, and that these are
//! intact.
//!
//! ```text
//!   register of the place --> list of objects --> sizes in listings
//!                                   |
//!                                   +--> manifests, catalogs --> sections, pages, code --> checksums, with `full`
//! ```
//!
//! The checksums in the list tell whether the place has changed bytes. Those in the manifests tell whether the bytes were
//! intact when they were put.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    Get, GetOptions, Key, ProtocolMargins, ProtocolRules, RECENT_PUT_IDS, Register, Store, World,
};
use neap_catalog::DatabaseCatalog;
use neap_fsck::{FindingKind, ReferencedContents};
use neap_manifest::{ManifestError, ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    BackupError, BackupFinding, JobState, PlaceReport,
    backup_contents::{BackupContents, code_of},
    chain_store::ChainStore,
    listing::list_sizes,
    place::BackupPlace,
    place_objects::{PlaceManifest, StoredObject},
    uploading::ObjectMemory,
};

/// Number of objects that are read concurrently.
const OBJECTS_AT_ONCE: usize = 8;

/// The parts of the objects that are checked already, because several backups share them.
type CheckedParts = BTreeMap<(Ulid, String), BTreeSet<u64>>;

/// Checks the objects of all backups at a place: that those that the manifests and catalogs reference exist and have
/// their sizes; with `full`, also their checksums. If the register of the place is damaged or missing, checks all backups
/// whose lists of objects are there.
///
/// # Errors
/// The store does not answer.
pub async fn check_place(
    store: Arc<dyn Store>,
    world: &World,
    full: bool,
) -> Result<PlaceReport, BackupError> {
    let place = BackupPlace::new(store, world);
    let mut report = PlaceReport::default();
    let mut checked = CheckedParts::new();
    for (id, name) in backups_at(&place, &mut report.findings).await? {
        report.backups += 1;
        match PlaceManifest::read(&place, id).await {
            Ok(manifest) => {
                let check = BackupCheck { place: &place, name: &name, manifest: &manifest };
                check.run(full, &mut checked, &mut report).await?;
            }
            Err(error) => {
                report.findings.push(BackupFinding {
                    backup: name,
                    key: Key::BackupManifest(id).to_string(),
                    message: damage(error)?,
                });
            }
        }
    }
    report.findings.sort();
    Ok(report)
}

/// Returns the ids and names of the backups at a place. If the register is damaged or missing, reports that, and returns
/// all backups that have a list of objects, with their ids as names.
async fn backups_at(
    place: &BackupPlace,
    findings: &mut Vec<BackupFinding>,
) -> Result<Vec<(Ulid, String)>, BackupError> {
    let error = match place.register().read().await {
        Ok((register, _)) if register.version > 0 => {
            let backups = register.value.backups().iter();
            return Ok(backups.map(|backup| (backup.id, backup.name.clone())).collect());
        }
        Ok(_) => None,
        Err(BackupError::Format(error)) => Some(error),
        Err(error) => return Err(error),
    };
    let backups = place.backups().await?;
    match error {
        Some(error) => findings.push(BackupFinding::of_register("", error)),
        None => findings.extend(backups.iter().map(|backup| {
            let message = "it is missing: the backup is not listed and can't be restored";
            BackupFinding::of_register(backup, message)
        })),
    }
    Ok(backups.into_iter().map(|id| (id, id.to_string())).collect())
}

/// Returns the description of an error that says that an object is damaged, missing, or of a later release.
/// Fails if it is another error.
fn damage(error: BackupError) -> Result<String, BackupError> {
    match error {
        BackupError::Damaged { .. }
        | BackupError::Format(_)
        | BackupError::Manifest(ManifestError::Format(_) | ManifestError::PageGone { .. }) => {
            Ok(error.to_string())
        }
        error => Err(error),
    }
}

/// The check of a backup at a place.
#[derive(Clone, Copy)]
struct BackupCheck<'a> {
    place: &'a BackupPlace,
    /// The name of the backup, for findings.
    name: &'a str,
    manifest: &'a PlaceManifest,
}

impl BackupCheck<'_> {
    async fn run(
        self,
        full: bool,
        checked: &mut CheckedParts,
        report: &mut PlaceReport,
    ) -> Result<(), BackupError> {
        let backup = &self.manifest.backup;
        if backup.job.state == JobState::Incomplete {
            let message = backup.job.error.clone().unwrap_or_default();
            let key = Key::BackupManifest(backup.id).to_string();
            report.findings.push(self.finding(&key, message));
        }
        let contents = self.contents(&mut report.findings).await?;
        let mut new = BTreeMap::new();
        for (text, object) in &self.manifest.objects {
            let Ok(key) = text.parse::<Key>() else {
                let message = "its key is not one of Neap".to_owned();
                report.findings.push(self.finding(text, message));
                continue;
            };
            let offsets = contents.offsets(&key);
            match checked.entry((object.put_by, text.clone())) {
                Entry::Vacant(entry) => {
                    report.objects += 1;
                    report.bytes += object.bytes;
                    entry.insert(offsets);
                }
                Entry::Occupied(entry) if offsets.is_subset(entry.get()) => continue,
                Entry::Occupied(mut entry) => entry.get_mut().extend(offsets),
            }
            new.insert(key, object);
        }
        let present = self.check_sizes(new, &mut report.findings).await?;
        if full {
            let damaged = self.check_contents(&contents, present).await?;
            report.findings.extend(damaged);
        }
        Ok(())
    }

    fn finding(self, key: &str, message: String) -> BackupFinding {
        let stored = self.manifest.objects.get(key);
        let prefix = stored.map(|object| Key::backup_objects_prefix(object.put_by));
        BackupFinding {
            backup: self.name.to_owned(),
            key: format!("{}{key}", prefix.unwrap_or_default()),
            message,
        }
    }

    /// Reads the manifests and catalogs of the databases. Returns what they reference, and reports what the backup lacks.
    async fn contents(
        self,
        findings: &mut Vec<BackupFinding>,
    ) -> Result<BackupContents, BackupError> {
        let chain = ChainStore::bucket(self.place, self.manifest);
        let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
        let manifests = ManifestStore::new(chain.clone(), &rules, ManifestSettings::default());
        let mut contents = BackupContents::default();
        for database in &self.manifest.backup.databases {
            let copy = database.copy;
            let mut needed = BTreeSet::from([Key::Manifest(copy), Key::DatabaseCatalog(copy)]);
            match read_references(&manifests, copy).await {
                Ok(referenced) => {
                    needed.extend(referenced.keys().map(|(key, _)| key.clone()));
                    contents.0.insert(copy, referenced);
                }
                Err(error) => {
                    let key = Key::Manifest(copy).to_string();
                    findings.push(self.finding(&key, damage(error)?));
                }
            }
            let key = Key::DatabaseCatalog(copy);
            let catalog: Register<DatabaseCatalog> =
                Register::new(chain.clone(), key.clone(), RECENT_PUT_IDS);
            match catalog.read(None).await.map_err(BackupError::from) {
                Ok(catalog) => needed.extend(code_of(&catalog.value)),
                Err(error) => findings.push(self.finding(&key.to_string(), damage(error)?)),
            }
            let keys = needed.into_iter().map(|key| key.to_string());
            let lacking = keys.filter(|key| !self.manifest.objects.contains_key(key));
            findings.extend(lacking.map(|key| {
                let message =
                    format!("database {:?} needs it, and the backup lacks it", database.name);
                self.finding(&key, message)
            }));
        }
        Ok(contents)
    }

    /// Compares the sizes of objects with listings. Returns those that exist.
    async fn check_sizes<'o>(
        self,
        objects: BTreeMap<Key, &'o StoredObject>,
        findings: &mut Vec<BackupFinding>,
    ) -> Result<Vec<(Key, &'o StoredObject)>, BackupError> {
        let mut sizes: BTreeMap<Ulid, BTreeMap<String, u64>> = BTreeMap::new();
        for object in objects.values() {
            if let Entry::Vacant(entry) = sizes.entry(object.put_by) {
                let listed = list_sizes(&self.place.objects_of(object.put_by), "").await?;
                entry.insert(listed);
            }
        }
        let mut present = Vec::new();
        for (key, object) in objects {
            let text = key.to_string();
            let listed = sizes.get(&object.put_by).and_then(|sizes| sizes.get(&text));
            match listed {
                None => findings.push(self.finding(&text, "it is missing".to_owned())),
                Some(bytes) if *bytes != object.bytes => {
                    let message = format!("it has {bytes} of {} bytes", object.bytes);
                    findings.push(self.finding(&text, message));
                }
                Some(_) => present.push((key, object)),
            }
        }
        Ok(present)
    }

    /// Reads objects and compares them with their checksums.
    async fn check_contents(
        self,
        contents: &BackupContents,
        objects: Vec<(Key, &StoredObject)>,
    ) -> Result<Vec<BackupFinding>, BackupError> {
        let memory = &ObjectMemory::default();
        let checks = stream::iter(objects)
            .map(|(key, object)| async move {
                let _memory = memory.acquire(object.bytes).await?;
                let flaw = self.flaw(contents, &key, object).await?;
                Ok::<_, BackupError>(flaw.map(|reason| self.finding(&key.to_string(), reason)))
            })
            .buffer_unordered(OBJECTS_AT_ONCE);
        let damaged: Vec<_> = checks.try_collect().await?;
        Ok(damaged.into_iter().flatten().collect())
    }

    /// Reads an object and returns how it is damaged, or that a later release wrote it; `None` if it is intact.
    async fn flaw(
        self,
        contents: &BackupContents,
        key: &Key,
        object: &StoredObject,
    ) -> Result<Option<String>, BackupError> {
        let bucket = self.place.objects_of(object.put_by);
        let got = bucket.get(key, GetOptions::default()).await?;
        let Get::Found(found) = got.value else {
            return Ok(Some("it is missing".to_owned()));
        };
        match object.check(&key.to_string(), &found.bytes) {
            Err(BackupError::Damaged { reason, .. }) => Ok(Some(reason)),
            Err(error) => Err(error),
            Ok(()) => {
                let finding = contents.verify(key, &found.bytes).err();
                Ok(finding.map(|finding| match finding.kind {
                    FindingKind::Newer => finding.message,
                    _ => format!("it was damaged when it was put: {}", finding.message),
                }))
            }
        }
    }
}

/// Reads what the manifest of a copy references.
async fn read_references(
    manifests: &ManifestStore,
    copy: DatabaseId,
) -> Result<ReferencedContents, BackupError> {
    let manifest = manifests.read(copy, None).await?;
    Ok(ReferencedContents::read(manifests, copy, &manifest.value).await?)
}
