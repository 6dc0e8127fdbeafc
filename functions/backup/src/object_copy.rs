//! Reads single objects from backups at places, to mend the bucket.

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key};

use crate::{Backup, BackupEngine, BackupError, place::BackupPlace, place_objects::PlaceManifest};

impl BackupEngine {
    /// Returns the bytes of an object from the newest backup at a place that has it intact, as `is_intact` decides;
    /// `None` if no backup has. Objects of sections and pages never change, so these are the bytes that the object in the
    /// bucket should have.
    ///
    /// # Errors
    /// The error of the last copy that can't be read, if no other is intact.
    pub async fn copy_of(
        &self,
        key: &Key,
        is_intact: &(dyn Fn(&Bytes) -> bool + Sync),
    ) -> Result<Option<Bytes>, BackupError> {
        let (register, _) = self.read().await?;
        let with_contents =
            register.backups().iter().rev().filter(|one| one.job.state.has_contents());
        let mut failure = None;
        for backup in with_contents.filter(|one| one.place.is_some()) {
            match self.copy_in(backup, key).await {
                Ok(Some(bytes)) if is_intact(&bytes) => return Ok(Some(bytes)),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    async fn copy_in(&self, backup: &Backup, key: &Key) -> Result<Option<Bytes>, BackupError> {
        let Some(place) = &backup.place else {
            return Ok(None);
        };
        let parts = &self.parts;
        let place = BackupPlace::open(parts.places.as_ref(), place, parts.bucket.world())?;
        let manifest = PlaceManifest::read(&place, backup.id).await?;
        let text = key.to_string();
        let Some(object) = manifest.objects.get(&text) else {
            return Ok(None);
        };
        let bucket = place.objects_of(object.put_by);
        match bucket.get(key, GetOptions::default()).await?.value {
            Get::Found(found) => {
                object.check(&text, &found.bytes)?;
                Ok(Some(found.bytes))
            }
            Get::Missing | Get::Unchanged => Ok(None),
        }
    }
}
