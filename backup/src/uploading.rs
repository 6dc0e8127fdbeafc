//! Copies the objects of a backup to a place, except those that its parent has there.
//!
//! ```text
//!   job                                         place
//!     |-- objects/<key>, one after the other --> |   crash after: the objects are deleted with the failed backup
//!     |-- manifest: keys, sizes, checksums ----> |   the same
//!     |-- register of the place ---------------> |   the backup can be restored, also by another cluster
//! ```

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Get, GetOptions, Key, PutMode};
use tokio::sync::{Semaphore, SemaphorePermit};
use ulid::Ulid;

use crate::{
    Backup, BackupError, BackupParts,
    place::BackupPlace,
    place_objects::{PlaceManifest, StoredObject},
    register::JobState,
};

/// Number of objects that are copied concurrently.
const OBJECTS_AT_ONCE: usize = 8;

/// Maximum memory for objects in flight, in MiB. A larger object is copied alone.
const OBJECTS_MIB: u32 = 256;

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

impl BackupParts {
    /// Copies the objects of a backup whose databases are copied, and lists it at the place. Returns the completed
    /// backup.
    ///
    /// # Errors
    /// The place can't be used, has another backup of this name, or lacks the parent; an object is missing; or a store
    /// does not answer.
    pub(crate) async fn upload(
        &self,
        backup: &Backup,
        place_name: &str,
        cluster: &str,
    ) -> Result<Backup, BackupError> {
        let place = self.open_place(place_name)?;
        let at_place = place.register();
        let (listed, _) = at_place.read().await?;
        listed.value.check_cluster(cluster)?;
        let other = listed.value.find_completed(&backup.name);
        if other.is_some_and(|other| backup.replaces != Some(other.id)) {
            let text = format!("the place has another backup {:?}", backup.name);
            return Err(BackupError::Conflict(text));
        }
        let inherited = match backup.parent {
            Some(parent) => PlaceManifest::read(&place, parent).await?.objects,
            None => BTreeMap::new(),
        };
        let memory = &ObjectMemory::default();
        let wanted = self.objects_of(backup).await?;
        let known = &inherited;
        let objects = stream::iter(wanted).map(|(key, bytes)| {
            let place = &place;
            async move {
                let text = key.to_string();
                let stored = match known.get(&text) {
                    Some(stored) => stored.clone(),
                    None => {
                        let _memory = memory.acquire(bytes).await?;
                        self.upload_object(place, backup.id, &key).await?
                    }
                };
                Ok::<_, BackupError>((text, stored))
            }
        });
        let objects = objects.buffer_unordered(OBJECTS_AT_ONCE);
        let objects: BTreeMap<_, _> = objects.try_collect().await?;
        let now = self.bucket.clock().now().ok_or(BackupError::NoStoreTime)?;
        let completed = Backup {
            state: JobState::Completed,
            completed: Some(now),
            lease: None,
            objects: objects.len() as u64,
            bytes: objects.values().map(|object| object.bytes).sum(),
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
        Ok(completed)
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
