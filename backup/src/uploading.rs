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

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{ClockReading, Get, GetOptions, Key, PutMode};
use tokio::sync::{Semaphore, SemaphorePermit};
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupParts, JobState,
    job::JobLease,
    listing::delete_prefix,
    place::BackupPlace,
    place_objects::{PlaceManifest, PutObjects, StoredObject, put_progress, read_progress},
    register::Job,
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
            recorded: place.world().moment(),
        }
    }

    /// Adds an object, and records all of them when it is time.
    async fn add(&mut self, key: &str, object: &StoredObject) -> Result<(), BackupError> {
        self.objects.insert(key.to_owned(), object.clone());
        let world = self.place.world();
        if world.elapsed(&self.recorded) >= PROGRESS_INTERVAL {
            put_progress(self.place, self.backup, &self.objects).await?;
            self.objects.clear();
            self.recorded = world.moment();
        }
        Ok(())
    }
}

impl BackupParts {
    /// Copies the objects of a backup whose databases are copied, except those that an earlier run has copied, and lists
    /// it at the place. Returns their number and bytes.
    ///
    /// # Errors
    /// The place can't be used, has another backup of this name, or lacks the parent; an object is missing; the lease is
    /// lost; or a store does not answer.
    pub(crate) async fn upload(
        &self,
        backup: &Backup,
        place_name: &str,
        cluster: &str,
        lease: &JobLease,
    ) -> Result<(u64, u64), BackupError> {
        let place = self.open_place(place_name)?;
        let at_place = place.register();
        let (listed, _) = at_place.read().await?;
        listed.value.check_cluster(cluster)?;
        let known = [Some(backup.id), backup.replaces];
        let other = listed.value.find_completed(&backup.name);
        if other.is_some_and(|other| !known.contains(&Some(other.id))) {
            let text = format!("the place has another backup {:?}", backup.name);
            return Err(BackupError::Conflict(text));
        }
        let mut present = match backup.parent {
            Some(parent) => PlaceManifest::read(&place, parent).await?.objects,
            None => BTreeMap::new(),
        };
        present.extend(read_progress(&place, backup.id).await?);
        let objects = self.upload_objects(backup, &place, &present, lease).await?;
        // A run that has lost its lease must not list the backup: it may be deleted.
        let (number, bytes) = lease.copied.totals();
        let now = lease.change(|register, lease| {
            register
                .renewed_backup(backup.id, lease)?
                .job
                .report(number, bytes);
            Ok(lease.renewed)
        });
        let now = now.await?;
        let completed = Backup {
            job: Job {
                state: JobState::Completed,
                completed: Some(now),
                objects: number,
                bytes,
                lease: None,
                takeovers: 0,
                ..backup.job.clone()
            },
            ..backup.clone()
        };
        let manifest = PlaceManifest {
            cluster: cluster.to_owned(),
            backup: completed.clone(),
            objects,
        };
        manifest.put(&place).await?;
        let add = at_place.change(|register, _| register.add_at_place(completed.clone(), cluster));
        add.await?;
        Ok((number, bytes))
    }

    /// Puts all objects that are not present, and returns all.
    async fn upload_objects(
        &self,
        backup: &Backup,
        place: &BackupPlace,
        present: &PutObjects,
        lease: &JobLease,
    ) -> Result<PutObjects, BackupError> {
        let memory = &ObjectMemory::default();
        let wanted = self.objects_of(backup).await?;
        let objects = stream::iter(wanted).map(|(key, bytes)| async move {
            let text = key.to_string();
            if let Some(stored) = present.get(&text) {
                return Ok((text, stored.clone(), false));
            }
            let _memory = memory.acquire(bytes).await?;
            let stored = self.upload_object(place, backup.id, &key).await?;
            Ok::<_, BackupError>((text, stored, !is_register(&key)))
        });
        let mut objects = objects.buffer_unordered(OBJECTS_AT_ONCE);
        let mut unrecorded = UnrecordedObjects::new(place, backup.id);
        let mut all = PutObjects::new();
        while let Some((key, stored, is_new)) = objects.try_next().await? {
            lease.copied.add(stored.bytes);
            if is_new {
                unrecorded.add(&key, &stored).await?;
            }
            all.insert(key, stored);
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

    /// Returns the keys of the objects of a backup's copies, with the bytes that they reference.
    async fn objects_of(&self, backup: &Backup) -> Result<BTreeMap<Key, u64>, BackupError> {
        let mut objects = BTreeMap::new();
        for database in &backup.databases {
            let manifest = self.manifest_of(database.copy).await?;
            let referenced = self
                .manifests
                .referenced_keys(database.copy, &manifest.value);
            objects.extend(referenced.await?);
            objects.insert(Key::Manifest(database.copy), 0);
            objects.insert(Key::DatabaseCatalog(database.copy), 0);
            if self.has_documents(database.copy).await? {
                objects.insert(Key::Documents(database.copy), 0);
            }
        }
        Ok(objects)
    }

    async fn upload_object(
        &self,
        place: &BackupPlace,
        backup: Ulid,
        key: &Key,
    ) -> Result<StoredObject, BackupError> {
        let got = self.bucket.get(key, GetOptions::default()).await?;
        let Get::Found(object) = got.value else {
            return Err(BackupError::damaged(key, "it is missing"));
        };
        let stored = StoredObject::of(&object.bytes, backup);
        let put = place.objects_of(backup);
        put.put(key, object.bytes, PutMode::Overwrite).await?;
        Ok(stored)
    }

    pub(crate) fn open_place(&self, place: &str) -> Result<BackupPlace, BackupError> {
        BackupPlace::open(self.places.as_ref(), place, self.bucket.world())
    }
}

/// Returns whether the bytes of an object may change.
fn is_register(key: &Key) -> bool {
    matches!(
        key,
        Key::Manifest(_) | Key::DatabaseCatalog(_) | Key::Documents(_)
    )
}
