//! Copies the objects of a backup to a place, except those that its parent has there.
//!
//! ```text
//!   job                                         place
//!     |-- objects/<key>, several at once ------> |   crash after: another process continues, and puts those again
//!     |-- progress: what was put, every 30 s --> |   that no progress lists
//!     |-- manifest: keys, sizes, checksums ----> |   the same; the manifest lists all of them
//!     |-- register of the place ---------------> |   the backup can be restored, also by another cluster
//! ```
//!
//! Two processes may put the same objects, if one of them was frozen. Both put the same bytes.
//!
//! The checksums of each object are verified before it is put. A damaged section is set aside in the copy of its database,
//! so that the backup contains everything else and lists no damaged object. Such a backup ends as incomplete.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{BackupPolicy, ClockReading, Get, GetOptions, Key, PutMode};
use neap_fsck::{Fsck, ObjectPart, ReferencedContents};
use neap_schema::DatabaseId;
use tokio::sync::{Semaphore, SemaphorePermit};
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupParts, JobState,
    backup_contents::{BackupContents, code_of},
    job::JobLease,
    listing::{delete_prefix, list_sizes},
    place::BackupPlace,
    place_objects::{PlaceManifest, PutObjects, StoredObject, put_progress, read_progress},
    register::DatabaseInBackup,
};

/// Number of objects that are copied concurrently.
const OBJECTS_AT_ONCE: usize = 8;

/// Maximum memory for objects in flight, in MiB. A larger object is copied alone.
const OBJECTS_MIB: u32 = 256;

/// Interval at which a job records the objects that it has put.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

/// Memory for the objects of a job that are in flight.
#[derive(Debug)]
pub(crate) struct ObjectMemory(Semaphore);

impl Default for ObjectMemory {
    fn default() -> Self {
        Self(Semaphore::new(OBJECTS_MIB as usize))
    }
}

impl ObjectMemory {
    /// Waits for the memory of an object.
    pub(crate) async fn acquire(&self, bytes: u64) -> Result<SemaphorePermit<'_>, BackupError> {
        let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(OBJECTS_MIB);
        let permit = self.0.acquire_many(mib.clamp(1, OBJECTS_MIB)).await;
        permit.map_err(|_| BackupError::Cancelled)
    }
}

/// Objects that a job has put and not recorded yet.
struct UnrecordedObjects<'a> {
    place: &'a BackupPlace,
    backup: Ulid,
    objects: PutObjects,
    recorded: ClockReading,
}

impl<'a> UnrecordedObjects<'a> {
    fn new(place: &'a BackupPlace, backup: Ulid) -> Self {
        Self {
            place,
            backup,
            objects: PutObjects::new(),
            recorded: place.world().clock_reading(),
        }
    }

    /// Adds an object, and records all of them when it is time.
    async fn add(&mut self, key: &str, object: &StoredObject) -> Result<(), BackupError> {
        self.objects.insert(key.to_owned(), object.clone());
        let world = self.place.world();
        if world.elapsed(&self.recorded) >= PROGRESS_INTERVAL {
            put_progress(self.place, self.backup, &self.objects).await?;
            self.objects.clear();
            self.recorded = world.clock_reading();
        }
        Ok(())
    }
}

/// The objects that a pass over the contents of a backup has put or found at the place, and the damaged ones.
#[derive(Default)]
struct UploadedObjects {
    objects: PutObjects,
    damaged: BTreeMap<Key, String>,
}

/// The outcome of the upload of an object.
enum UploadedObject {
    /// The place had it.
    Present(StoredObject),
    /// It was put.
    Put(StoredObject),
    /// It is damaged or missing, for this reason.
    Damaged(String),
}

impl BackupParts {
    /// Copies the objects of a backup whose databases are copied, except those that an earlier run has copied, and lists
    /// it at the place. Returns an error that names the damaged objects that the backup lacks.
    /// Fails if the place can't be used, has another backup of this name, or lacks the parent; a register or page is
    /// damaged; the lease is lost; or a store does not answer.
    pub(crate) async fn upload(
        &self,
        backup: &Backup,
        place_name: &str,
        cluster: &str,
        lease: &JobLease,
    ) -> Result<Option<BackupError>, BackupError> {
        let place = self.open_place(place_name)?;
        let at_place = place.register();
        let (listed, _) = at_place.read().await?;
        let known = [Some(backup.id), backup.replaces];
        if listed.version == 0 {
            place.check_unused(&known).await?;
        }
        listed.value.check_cluster(cluster)?;
        let other = listed.value.find_restorable(&backup.name);
        if other.is_some_and(|other| !known.contains(&Some(other.id))) {
            let text = format!("the place has another backup {:?}", backup.name);
            return Err(BackupError::Conflict(text));
        }
        let mut present = match backup.parent {
            Some(parent) => intact_objects(PlaceManifest::read(&place, parent).await?),
            None => BTreeMap::new(),
        };
        present.extend(read_progress(&place, backup.id).await?);
        let objects = self.upload_intact(backup, &place, present, lease).await?;
        let damaged = self.damaged_objects(backup, &objects).await?;
        // A run that has lost its lease must not list the backup: it may be deleted.
        let (number, bytes) = lease.copied.totals();
        let now = lease
            .change(|register, lease| {
                register.renewed_backup(backup.id, lease)?.job.report(number, bytes);
                Ok(lease.renewed)
            })
            .await?;
        let mut ended = backup.clone();
        ended.job.report(number, bytes);
        match &damaged {
            Some(error) => ended.job.complete_partly(error),
            None => ended.job.complete(now),
        }
        let manifest =
            PlaceManifest { cluster: cluster.to_owned(), backup: ended.clone(), objects };
        manifest.put(&place).await?;
        let add = at_place.change(|register, _| register.add_at_place(ended.clone(), cluster));
        add.await?;
        Ok(damaged)
    }

    /// Puts all objects that are not present and are intact. Sets damaged sections aside in the copies, until what the
    /// copies reference is intact.
    async fn upload_intact(
        &self,
        backup: &Backup,
        place: &BackupPlace,
        mut present: PutObjects,
        lease: &JobLease,
    ) -> Result<PutObjects, BackupError> {
        loop {
            lease.copied.restart();
            let (contents, keys) = self.contents_of(backup).await?;
            let uploaded =
                self.upload_objects(backup, place, (&contents, keys), &present, lease).await?;
            let mut is_complete = true;
            for (key, reason) in &uploaded.damaged {
                tracing::error!(object = %key, reason, backup = backup.name, "an object is damaged and not in the backup");
                is_complete &= !self.set_aside(&contents, key, reason).await?;
            }
            if is_complete {
                return Ok(uploaded.objects);
            }
            let unchanged = uploaded.objects.into_iter();
            present.extend(
                unchanged.filter(|(key, _)| !key.parse().is_ok_and(|key| is_register(&key))),
            );
        }
    }

    /// Sets a damaged object aside in the copies that reference it. Returns whether one does.
    async fn set_aside(
        &self,
        contents: &BackupContents,
        key: &Key,
        reason: &str,
    ) -> Result<bool, BackupError> {
        if matches!(key, Key::PluginCode(_)) {
            // The trigger is restored without its code, as `neap fsck` then reports.
            return Ok(false);
        }
        let part = match key {
            Key::Parquet(..) | Key::Bundle(..) => ObjectPart::whole(key),
            _ => None,
        }
        .ok_or_else(|| BackupError::damaged(key, reason))?;
        let fsck = Fsck::new(self.bucket.clone());
        let copies: Vec<_> = contents.referencing(key).map(|(copy, _)| copy).collect();
        for copy in copies {
            fsck.set_aside(copy, &part).await?;
        }
        Ok(true)
    }

    /// Returns an error that names the damaged objects that a backup lacks. The manifests of the copies record them.
    async fn damaged_objects(
        &self,
        backup: &Backup,
        objects: &PutObjects,
    ) -> Result<Option<BackupError>, BackupError> {
        let mut damaged = BTreeSet::new();
        for database in &backup.databases {
            let manifest = self.manifest_of(database.copy).await?;
            let records = manifest.value.damage.iter();
            damaged.extend(records.map(|record| record.name(database.copy)));
            let code = self.code_of(database.copy).await?.into_iter().map(|key| key.to_string());
            damaged.extend(code.filter(|key| !objects.contains_key(key)));
        }
        Ok((!damaged.is_empty()).then(|| BackupError::incomplete(&damaged)))
    }

    /// Puts all objects that are not present and are intact.
    async fn upload_objects(
        &self,
        backup: &Backup,
        place: &BackupPlace,
        (contents, keys): (&BackupContents, BTreeMap<Key, u64>),
        present: &PutObjects,
        lease: &JobLease,
    ) -> Result<UploadedObjects, BackupError> {
        let memory = &ObjectMemory::default();
        let mut objects = stream::iter(keys)
            .map(|(key, bytes)| async move {
                if let Some(stored) = present.get(&key.to_string()) {
                    return Ok((key, UploadedObject::Present(stored.clone())));
                }
                let _memory = memory.acquire(bytes).await?;
                let uploaded = self.upload_object(place, backup.id, contents, &key).await?;
                Ok::<_, BackupError>((key, uploaded))
            })
            .buffer_unordered(OBJECTS_AT_ONCE);
        let mut unrecorded = UnrecordedObjects::new(place, backup.id);
        let mut all = UploadedObjects::default();
        while let Some((key, uploaded)) = objects.try_next().await? {
            let text = key.to_string();
            let stored = match uploaded {
                UploadedObject::Present(stored) => stored,
                UploadedObject::Put(stored) => {
                    if !is_register(&key) {
                        unrecorded.add(&text, &stored).await?;
                    }
                    stored
                }
                UploadedObject::Damaged(reason) => {
                    all.damaged.insert(key, reason);
                    continue;
                }
            };
            lease.copied.add(stored.bytes);
            all.objects.insert(text, stored);
        }
        Ok(all)
    }

    /// Deletes the records of progress of a completed backup. A failure has no effect: they are deleted with the backup.
    pub(crate) async fn delete_progress(&self, backup: &Backup) {
        let Some(Ok(place)) = backup.place.as_deref().map(|place| self.open_place(place)) else {
            return;
        };
        let prefix = Key::backup_progress_prefix(backup.id);
        if let Err(error) = delete_prefix(&place.bucket, &prefix).await {
            tracing::warn!(%error, backup = backup.name, "the records of progress of a backup were not deleted");
        }
    }

    /// Returns the contents of a backup's copies, and the keys of their objects with the referenced bytes: the registers,
    /// and everything that these reference.
    async fn contents_of(
        &self,
        backup: &Backup,
    ) -> Result<(BackupContents, BTreeMap<Key, u64>), BackupError> {
        let mut contents = BackupContents::default();
        let mut keys = BTreeMap::new();
        for DatabaseInBackup { copy, .. } in &backup.databases {
            let manifest = self.manifest_of(*copy).await?;
            let referenced =
                ReferencedContents::read(&self.manifests, *copy, &manifest.value).await?;
            keys.extend(referenced.keys().map(|(key, bytes)| (key.clone(), bytes)));
            keys.extend(self.code_of(*copy).await?.into_iter().map(|key| (key, 0)));
            for (key, bytes) in list_sizes(&self.bucket, &Key::database_prefix(*copy)).await? {
                keys.extend(key.parse().ok().filter(is_register).map(|key| (key, bytes)));
            }
            contents.0.insert(*copy, referenced);
        }
        let is_excluded = |key: &Key| key.policy().backup == BackupPolicy::Excluded;
        debug_assert!(!keys.keys().any(is_excluded));
        Ok((contents, keys))
    }

    /// Returns the keys of the code that the triggers of a copy refer to.
    async fn code_of(&self, copy: DatabaseId) -> Result<BTreeSet<Key>, BackupError> {
        let catalog = self.catalog.database(copy, Duration::ZERO).await?;
        Ok(code_of(&catalog.value).collect())
    }

    /// Puts an object, if it is intact.
    async fn upload_object(
        &self,
        place: &BackupPlace,
        backup: Ulid,
        contents: &BackupContents,
        key: &Key,
    ) -> Result<UploadedObject, BackupError> {
        let bytes = match self.read_intact(contents, key).await? {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(UploadedObject::Damaged(reason)),
        };
        let stored = StoredObject::new(&bytes, backup);
        let put = place.objects_of(backup);
        put.put(key, bytes, PutMode::Overwrite).await?;
        Ok(UploadedObject::Put(stored))
    }

    /// Reads an object, once more if it is damaged: the bytes may have been damaged on their way. Returns how it is
    /// damaged otherwise.
    async fn read_intact(
        &self,
        contents: &BackupContents,
        key: &Key,
    ) -> Result<Result<Bytes, String>, BackupError> {
        let mut damage = String::new();
        for _ in 0..2 {
            let got = self.bucket.get(key, GetOptions::default()).await?;
            let Get::Found(object) = got.value else {
                return Ok(Err("it is missing".to_owned()));
            };
            match contents.verify(key, &object.bytes) {
                Ok(()) => return Ok(Ok(object.bytes)),
                Err(finding) => damage = finding.message,
            }
        }
        Ok(Err(damage))
    }

    pub(crate) fn open_place(&self, place: &str) -> Result<BackupPlace, BackupError> {
        BackupPlace::open(self.places.as_ref(), place, self.bucket.world())
    }
}

/// Returns the objects of a parent whose contents are intact. A bundle in an incomplete backup may have damaged sections,
/// which that backup does not reference.
fn intact_objects(parent: PlaceManifest) -> PutObjects {
    let mut objects = parent.objects;
    if parent.backup.job.state == JobState::Incomplete {
        objects.retain(|key, _| !matches!(key.parse(), Ok(Key::Bundle(..))));
    }
    objects
}

/// Returns whether an object is a register of a database, whose bytes may change.
fn is_register(key: &Key) -> bool {
    key.policy().backup == BackupPolicy::Register
}
