//! Objects that clients fetch from the store themselves: put in parts, as they are made, and named by a URL that
//! needs no credentials and is good for a while.
//!
//! Only stores behind a network have such URLs.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use object_store::{Attribute, Attributes, ObjectStore, buffered::BufWriter, path::Path};
use tokio::io::AsyncWriteExt;

use crate::{Key, Operation, StoreError, remote::Backend, remote::unwatched};

/// The bytes of a part. S3 takes parts from 5 MiB, and 10,000 of them.
const PART_BYTES: usize = 8 << 20;

/// Parts that are under way at once; each is in memory.
const PARALLEL_PARTS: usize = 2;

/// What clients are told of an object that they fetch: the values of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// `Content-Type`.
    pub kind: String,
    /// `Content-Encoding`, if the bytes are encoded.
    pub encoding: Option<String>,
    /// `Content-Disposition`, if there is one.
    pub disposition: Option<String>,
}

/// The objects of a store that clients fetch themselves. Cloning is cheap.
#[derive(Clone)]
pub struct Links {
    backend: Arc<dyn Backend>,
    prefix: String,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({})", self.backend)
    }
}

impl Links {
    /// The objects of `backend` below `prefix`.
    pub(crate) fn new(backend: Arc<dyn Backend>, prefix: String) -> Self {
        Self { backend, prefix }
    }

    fn path(&self, operation: Operation, key: &Key) -> Result<Path, StoreError> {
        let key = format!("{}{key}", self.prefix);
        Path::parse(&key).map_err(|error| unwatched(operation, &key, error.into()))
    }

    /// Begins an object. Nothing is there until [`Upload::finish`].
    ///
    /// # Errors
    /// The store can't have an object of this name.
    pub fn upload(&self, key: &Key, content: Content) -> Result<Upload, StoreError> {
        let path = self.path(Operation::Put, key)?;
        let store = Arc::clone(&self.backend) as Arc<dyn ObjectStore>;
        let mut attributes = Attributes::from_iter([(Attribute::ContentType, content.kind)]);
        if let Some(encoding) = content.encoding {
            attributes.insert(Attribute::ContentEncoding, encoding.into());
        }
        if let Some(disposition) = content.disposition {
            attributes.insert(Attribute::ContentDisposition, disposition.into());
        }
        Ok(Upload {
            key: path.to_string(),
            writer: BufWriter::with_capacity(store, path, PART_BYTES)
                .with_max_concurrency(PARALLEL_PARTS)
                .with_attributes(attributes),
        })
    }

    /// A URL by which anybody can get an object for so long, and no longer than the credentials last by which the
    /// store is asked.
    ///
    /// # Errors
    /// There are no credentials, or none that can sign.
    pub async fn url(&self, key: &Key, lasts: Duration) -> Result<String, StoreError> {
        let path = self.path(Operation::Get, key)?;
        let url = self.backend.signed_url(Method::GET, &path, lasts).await;
        let url = url.map_err(|error| unwatched(Operation::Get, path.as_ref(), error))?;
        Ok(url.into())
    }
}

/// An object that is being put, in one piece if it is small, and else in parts.
#[derive(Debug)]
pub struct Upload {
    key: String,
    writer: BufWriter,
}

impl Upload {
    /// Adds bytes. Waits while too many are under way.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let put = self.writer.put(bytes).await;
        put.map_err(|error| unwatched(Operation::Put, &self.key, error))
    }

    /// Puts what is left. The object is there then, as a whole.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        let finished = self.writer.shutdown().await;
        finished.map_err(|error| unwatched(Operation::Put, &self.key, of_writer(error)))
    }

    /// Gives the object up. Where the store does not answer, its parts are left to a rule of the bucket.
    pub async fn abort(mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::warn!(key = self.key, %error, "an upload was not given up");
        }
    }
}

/// The error of the store in that of a writer.
fn of_writer(error: io::Error) -> object_store::Error {
    let inner = error.downcast::<object_store::Error>();
    inner.unwrap_or_else(|error| object_store::Error::Generic {
        store: "upload",
        source: Box::new(error),
    })
}

#[cfg(test)]
mod tests;
