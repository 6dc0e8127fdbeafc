//! Reads single objects from backups at places, to mend the bucket.

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key};

use crate::{
    Backup, BackupEngine, BackupError, JobState, place::BackupPlace, place_objects::PlaceManifest,
};

impl BackupEngine {
    /// Returns the bytes of an object from the newest backup at a place that has it intact; `None` if no backup has.
    /// Objects of sections and pages never change, so these are the bytes that the object in the bucket should have.
    ///
    /// # Errors
    /// The error of the last place that can't be read, if no other has the object.
    pub async fn copy_of(&self, key: &Key) -> Result<Option<Bytes>, BackupError> {
        let (register, _) = self.read().await?;
        let completed = register.backups().iter().rev();
        let completed = completed.filter(|one| one.job.state == JobState::Completed);
        let mut failure = None;
        for backup in completed.filter(|one| one.place.is_some()) {
            match self.copy_in(backup, key).await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => {}
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
