//! Lists of the objects of a backup at a place.

use std::collections::BTreeMap;

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, ObjectFormat, PutMode, formats};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::{Backup, BackupError, listing::list_sizes, place::BackupPlace};

/// Level of compression.
const ZSTD_LEVEL: i32 = 3;

/// An object of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredObject {
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(crate) sha256: String,
    /// The backup that has put the object: this one, or one that it continues.
    pub(crate) put_by: Ulid,
}

impl StoredObject {
    /// Describes an object that a backup puts.
    pub(crate) fn new(bytes: &Bytes, put_by: Ulid) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256(bytes), put_by }
    }

    /// Checks that bytes are those that were put.
    pub(crate) fn check(&self, key: &str, bytes: &Bytes) -> Result<(), BackupError> {
        let damaged = |reason: String| BackupError::Damaged {
            key: format!("{}{key}", Key::backup_objects_prefix(self.put_by)),
            reason,
        };
        if bytes.len() as u64 != self.bytes {
            let found = bytes.len();
            return Err(damaged(format!("it has {found} of {} bytes", self.bytes)));
        }
        if sha256(bytes) == self.sha256 {
            Ok(())
        } else {
            Err(damaged("its checksum does not match".to_owned()))
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A backup at a place, with its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlaceManifest {
    /// The cluster of the backup.
    pub(crate) cluster: String,
    pub(crate) backup: Backup,
    /// The objects, by the keys that they have in the cluster.
    pub(crate) objects: BTreeMap<String, StoredObject>,
}

impl PlaceManifest {
    /// Puts the list. The objects are at the place already.
    pub(crate) async fn put(&self, place: &BackupPlace) -> Result<(), BackupError> {
        let key = Key::BackupManifest(self.backup.id);
        put_encoded(place, &key, formats::BACKUP_MANIFEST, self.backup.id, self).await
    }

    /// Reads the list of a backup.
    /// Fails with `Damaged` or `Format` if it is missing or can't be decoded, or the store does not answer.
    pub(crate) async fn read(place: &BackupPlace, backup: Ulid) -> Result<Self, BackupError> {
        let key = Key::BackupManifest(backup);
        let damaged = |error: String| BackupError::damaged(&key, error);
        let got = place.bucket.get(&key, GetOptions::default()).await?;
        let Get::Found(object) = got.value else {
            return Err(damaged("it is missing".to_owned()));
        };
        decode(&key, formats::BACKUP_MANIFEST, &object.bytes)
    }
}

/// Objects that a backup in progress has put at a place, by the keys that they have in the cluster. A process that
/// continues the backup does not copy them again.
pub(crate) type PutObjects = BTreeMap<String, StoredObject>;

/// Records objects that a backup has put. Their bytes never change, so the record stays true, whichever process puts
/// it, and whenever.
/// Fails if the store does not answer.
pub(crate) async fn put_progress(
    place: &BackupPlace,
    backup: Ulid,
    objects: &PutObjects,
) -> Result<(), BackupError> {
    let part = place.bucket.draw_ulid();
    let key = Key::BackupProgress(backup, part);
    put_encoded(place, &key, formats::BACKUP_PROGRESS, part, objects).await
}

/// Returns the objects that a backup in progress is known to have put.
/// Fails if a record is damaged, or the store does not answer.
pub(crate) async fn read_progress(
    place: &BackupPlace,
    backup: Ulid,
) -> Result<PutObjects, BackupError> {
    let mut objects = PutObjects::new();
    for key in list_sizes(&place.bucket, &Key::backup_progress_prefix(backup))
        .await?
        .into_keys()
    {
        let Ok(key) = key.parse::<Key>() else {
            continue;
        };
        if let Get::Found(object) = place.bucket.get(&key, GetOptions::default()).await?.value {
            objects.extend(decode::<PutObjects>(&key, formats::BACKUP_PROGRESS, &object.bytes)?);
        }
    }
    Ok(objects)
}

/// Puts a value as compressed JSON.
async fn put_encoded(
    place: &BackupPlace,
    key: &Key,
    format: ObjectFormat,
    id: Ulid,
    value: &impl Serialize,
) -> Result<(), BackupError> {
    let damaged = |error: String| BackupError::damaged(key, error);
    let json = serde_json::to_vec(value).map_err(|error| damaged(error.to_string()))?;
    let payload = zstd::encode_all(json.as_slice(), ZSTD_LEVEL)
        .map_err(|error| damaged(error.to_string()))?;
    let object = format.encode(id.0, &payload);
    place.bucket.put(key, object, PutMode::Overwrite).await?;
    Ok(())
}

fn decode<T: DeserializeOwned>(
    key: &Key,
    format: ObjectFormat,
    bytes: &Bytes,
) -> Result<T, BackupError> {
    let damaged = |error: String| BackupError::damaged(key, error);
    let (_, payload) = format.decode(&key.to_string(), bytes)?;
    let json = zstd::decode_all(payload.as_ref()).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))
}
