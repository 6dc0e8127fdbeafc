//! Objects that clients fetch directly from the store. They are uploaded in parts while they are produced. A signed URL
//! gives access to them without credentials for a limited time.
//!
//! Only network stores support such URLs.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use object_store::{Attribute, Attributes, ObjectStore, buffered::BufWriter, path::Path};
use tokio::io::AsyncWriteExt;

use crate::{
    Key, Operation, StoreError, remote::ObjectStoreBackend, remote::error_without_exchange,
};

/// Size of a part in bytes. S3 accepts up to 10,000 parts of at least 5 MiB.
pub(crate) const PART_BYTES: usize = 8 << 20;

/// Maximum number of parts in flight. Each part is in memory.
pub(crate) const PARALLEL_PARTS: usize = 2;

/// The HTTP headers of an object that clients fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHeaders {
    /// `Content-Type`.
    pub kind: String,
    /// `Content-Encoding`, if the bytes are encoded.
    pub encoding: Option<String>,
    /// `Content-Disposition`, if there is one.
    pub disposition: Option<String>,
}

impl ObjectHeaders {
    pub(crate) fn into_attributes(self) -> Attributes {
        let mut attributes = Attributes::from_iter([(Attribute::ContentType, self.kind)]);
        if let Some(encoding) = self.encoding {
            attributes.insert(Attribute::ContentEncoding, encoding.into());
        }
        if let Some(disposition) = self.disposition {
            attributes.insert(Attribute::ContentDisposition, disposition.into());
        }
        attributes
    }
}

/// Uploads objects and signs URLs with which clients fetch them directly from the store. Cloning is cheap.
#[derive(Clone, derive_more::Debug)]
#[debug("PresignedObjects({backend})")]
pub struct PresignedObjects {
    backend: Arc<dyn ObjectStoreBackend>,
    prefix: String,
}

impl PresignedObjects {
    /// The objects of `backend` below `prefix`.
    pub(crate) fn new(backend: Arc<dyn ObjectStoreBackend>, prefix: String) -> Self {
        Self { backend, prefix }
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.backend) as Arc<dyn ObjectStore>
    }

    /// Returns the path of an object in the store.
    /// Fails if the key is not valid in the store.
    pub(crate) fn path(&self, operation: Operation, key: &Key) -> Result<Path, StoreError> {
        let key = format!("{}{key}", self.prefix);
        Path::parse(&key).map_err(|error| error_without_exchange(operation, &key, error.into()))
    }

    /// Starts the upload of an object. The object does not exist until [`ObjectUpload::finish`].
    ///
    /// # Errors
    /// The key is not valid in the store.
    pub fn upload(&self, key: &Key, content: ObjectHeaders) -> Result<ObjectUpload, StoreError> {
        let path = self.path(Operation::Put, key)?;
        Ok(ObjectUpload {
            key: path.to_string(),
            writer: BufWriter::with_capacity(self.store(), path, PART_BYTES)
                .with_max_concurrency(PARALLEL_PARTS)
                .with_attributes(content.into_attributes()),
        })
    }

    /// Returns a URL with which anyone can read an object for the time `lasts`, or until the credentials expire that
    /// signed the URL.
    ///
    /// # Errors
    /// There are no credentials that can sign.
    pub async fn url(&self, key: &Key, lasts: Duration) -> Result<String, StoreError> {
        let path = self.path(Operation::Get, key)?;
        let url = self.backend.signed_url(Method::GET, &path, lasts).await;
        let url =
            url.map_err(|error| error_without_exchange(Operation::Get, path.as_ref(), error))?;
        Ok(url.into())
    }
}

/// An upload in progress: one put if the object is small, otherwise a multipart upload.
#[derive(Debug)]
pub struct ObjectUpload {
    key: String,
    writer: BufWriter,
}

impl ObjectUpload {
    /// Appends bytes. Waits while the maximum number of parts is in flight.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let put = self.writer.put(bytes).await;
        put.map_err(|error| error_without_exchange(Operation::Put, &self.key, error))
    }

    /// Uploads the remaining bytes and completes the object, which becomes visible as a whole.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        let finished = self.writer.shutdown().await;
        finished.map_err(|error| {
            error_without_exchange(Operation::Put, &self.key, store_error_of_writer(error))
        })
    }

    /// Aborts the upload. If the store does not answer, the parts remain until a lifecycle rule of the bucket removes
    /// them.
    pub async fn abort(mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::warn!(key = self.key, %error, "an upload could not be aborted");
        }
    }
}

/// Extracts the store's error from the error of a writer.
fn store_error_of_writer(error: io::Error) -> object_store::Error {
    let inner = error.downcast::<object_store::Error>();
    inner.unwrap_or_else(|error| object_store::Error::Generic {
        store: "upload",
        source: Box::new(error),
    })
}

#[cfg(test)]
mod tests;
