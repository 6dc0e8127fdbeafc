//! Uploads of objects whose names users choose, and which are produced piece by piece.
//!
//! ```text
//!   begin -> put, put, ... -> finish     the object appears whole, or not at all
//!                  |
//!                  +-> abort, or drop    nothing remains
//! ```
//!
//! Unlike [`Store::put`], an upload does not need the whole object in memory: a network store gets parts, a directory a
//! temporary file. Only the store in memory collects the pieces, up to a limit.

mod mode;
mod network;

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

pub use self::mode::{UploadMode, UploadOutcome};
use self::network::NetworkUpload;
use crate::{
    DirectoryStore, GetOptions, Key, ObjectHeaders, Operation, PresignedObjects, Put, Store,
    StoreError, directory::DirectoryUpload, store::Get,
};

/// Maximum size of an object that is collected in memory before it is stored, in bytes.
const MAX_COLLECTED_BYTES: usize = 256 << 20;

/// Uploads objects to the store of a cluster. Cloning is cheap.
#[derive(Clone)]
pub struct ObjectUploads {
    target: UploadTarget,
    /// The key prefix of the cluster.
    prefix: String,
}

#[derive(Clone)]
enum UploadTarget {
    Network(PresignedObjects),
    Directory(Arc<DirectoryStore>),
    /// Any store, to which objects are put as a whole.
    Collected(Arc<dyn Store>),
}

impl fmt::Debug for ObjectUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.target {
            UploadTarget::Network(_) => "network",
            UploadTarget::Directory(_) => "directory",
            UploadTarget::Collected(_) => "memory",
        };
        write!(f, "ObjectUploads({kind}, '{}')", self.prefix)
    }
}

impl ObjectUploads {
    /// Uploads to a store behind a network. `objects` has the same `prefix`.
    pub(crate) fn network(objects: PresignedObjects, prefix: impl Into<String>) -> Self {
        Self {
            target: UploadTarget::Network(objects),
            prefix: prefix.into(),
        }
    }

    pub(crate) fn directory(store: Arc<DirectoryStore>, prefix: impl Into<String>) -> Self {
        Self {
            target: UploadTarget::Directory(store),
            prefix: prefix.into(),
        }
    }

    /// Uploads to any store. Each object is in memory until it is stored, so its size is limited to 256 MiB.
    pub fn collected(store: Arc<dyn Store>, prefix: impl Into<String>) -> Self {
        Self {
            target: UploadTarget::Collected(store),
            prefix: prefix.into(),
        }
    }

    /// Returns the key of an object in the store, with the prefix of the cluster.
    pub fn location(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        let options = GetOptions { range: Some(0..0), ..GetOptions::default() };
        let location = self.location(key);
        let found = match &self.target {
            UploadTarget::Network(objects) => return network::is_stored(objects, key).await,
            UploadTarget::Directory(store) => store.get(&location, options).await?,
            UploadTarget::Collected(store) => store.get(&location, options).await?,
        };
        Ok(!matches!(found.value, Get::Missing))
    }

    /// Starts an upload. Stores nothing yet.
    ///
    /// # Errors
    /// The store can't have an object of this key ([`StoreError::Rejected`]), or does not answer.
    pub async fn begin(
        &self,
        key: &Key,
        headers: ObjectHeaders,
        mode: UploadMode,
    ) -> Result<PendingUpload, StoreError> {
        let location = self.location(key);
        let state = match &self.target {
            UploadTarget::Network(objects) => {
                UploadState::Network(NetworkUpload::new(objects, key, headers, mode)?)
            }
            UploadTarget::Directory(store) => {
                let upload = DirectoryUpload::begin(store, location, mode.put_mode());
                UploadState::Directory(upload.await?)
            }
            UploadTarget::Collected(store) => UploadState::Collected(CollectedUpload {
                store: Arc::clone(store),
                key: location,
                mode,
                bytes: BytesMut::new(),
            }),
        };
        Ok(PendingUpload(state))
    }

    /// Returns a URL with which anyone can read an object for the time `lasts`, or until the credentials expire that
    /// signed the URL. Returns `None` if the store has no such URLs.
    ///
    /// # Errors
    /// There are no credentials that can sign.
    pub async fn url(&self, key: &Key, lasts: Duration) -> Result<Option<String>, StoreError> {
        match &self.target {
            UploadTarget::Network(objects) => objects.url(key, lasts).await.map(Some),
            UploadTarget::Directory(_) | UploadTarget::Collected(_) => Ok(None),
        }
    }
}

/// An upload in progress. Dropping it aborts it.
#[derive(Debug)]
pub struct PendingUpload(UploadState);

#[derive(Debug)]
enum UploadState {
    Network(NetworkUpload),
    Directory(DirectoryUpload),
    Collected(CollectedUpload),
}

impl PendingUpload {
    /// Appends bytes. Waits while the maximum number of parts is in flight.
    ///
    /// # Errors
    /// The store does not answer, or refuses. The upload can only be aborted then.
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        match &mut self.0 {
            UploadState::Network(upload) => upload.put(bytes).await,
            UploadState::Directory(upload) => upload.put(bytes).await,
            UploadState::Collected(upload) => upload.put(&bytes),
        }
    }

    /// The memory of bytes that are not stored yet, in bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            UploadState::Network(upload) => upload.memory_bytes(),
            UploadState::Directory(_) => 0,
            UploadState::Collected(upload) => upload.bytes.capacity(),
        }
    }

    /// Uploads the remaining bytes and completes the object, which becomes visible as a whole.
    ///
    /// Two uploads of the same new name may finish at the same time. A directory and a small object of a network store
    /// then let only one of them succeed. For an object of several parts the store offers no condition: existence is
    /// checked just before the upload is completed, and the later of two simultaneous uploads wins.
    ///
    /// # Errors
    /// The store does not answer, or refuses. Nothing remains of the upload, if the store still answers.
    pub async fn finish(self) -> Result<UploadOutcome, StoreError> {
        match self.0 {
            UploadState::Network(upload) => upload.finish().await,
            UploadState::Directory(upload) => Ok(outcome(&upload.finish().await?)),
            UploadState::Collected(upload) => upload.finish().await,
        }
    }

    /// Aborts the upload. If a network store does not answer, the parts remain until a lifecycle rule of the bucket
    /// removes them.
    pub async fn abort(self) {
        if let UploadState::Network(upload) = self.0 {
            upload.abort().await;
        }
    }
}

fn outcome(put: &Put) -> UploadOutcome {
    match put {
        Put::Done(_) => UploadOutcome::Stored,
        Put::Refused => UploadOutcome::Exists,
    }
}

/// An upload to a store that takes whole objects.
#[derive(Debug)]
struct CollectedUpload {
    store: Arc<dyn Store>,
    key: String,
    mode: UploadMode,
    bytes: BytesMut,
}

impl CollectedUpload {
    fn put(&mut self, bytes: &Bytes) -> Result<(), StoreError> {
        if self.bytes.len().saturating_add(bytes.len()) > MAX_COLLECTED_BYTES {
            return Err(StoreError::Rejected {
                operation: Operation::Put,
                key: self.key.clone(),
                reason: format!("it is larger than {MAX_COLLECTED_BYTES} bytes"),
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    async fn finish(self) -> Result<UploadOutcome, StoreError> {
        let put = self.store.put(&self.key, self.bytes.freeze(), self.mode.put_mode());
        Ok(outcome(&put.await?.value))
    }
}

#[cfg(test)]
mod tests;
