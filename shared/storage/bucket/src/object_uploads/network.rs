//! Uploads to a store behind a network: one put for a small object, parts for a larger one.

use std::{mem, sync::Arc};

use bytes::Bytes;
use object_store::{
    Attributes, GetOptions, MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, path::Path,
};
use tokio::{runtime::Handle, task::JoinSet};

use super::mode::{UploadMode, UploadOutcome};
use crate::{
    Key, ObjectHeaders, Operation, PresignedObjects, StoreError,
    presigned_objects::{PARALLEL_PARTS, PART_BYTES},
    remote::error_without_exchange,
};

/// An upload in progress.
#[derive(Debug)]
pub(super) struct NetworkUpload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    attributes: Attributes,
    mode: UploadMode,
    /// The bytes of the next part.
    part: Vec<Bytes>,
    part_bytes: usize,
    /// `None` until the first part is complete.
    parts: Option<PartUploads>,
}

impl NetworkUpload {
    /// Prepares an upload without a request.
    /// Fails if the key is not valid in the store.
    pub(super) fn new(
        objects: &PresignedObjects,
        key: &Key,
        headers: ObjectHeaders,
        mode: UploadMode,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            store: objects.store(),
            path: objects.path(Operation::Put, key)?,
            attributes: headers.into_attributes(),
            mode,
            part: Vec::new(),
            part_bytes: 0,
            parts: None,
        })
    }

    fn failed(&self, error: object_store::Error) -> StoreError {
        error_without_exchange(Operation::Put, self.path.as_ref(), error)
    }

    /// Appends bytes, and uploads each part that is complete.
    pub(super) async fn put(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        while self.part_bytes.saturating_add(bytes.len()) >= PART_BYTES {
            let rest = bytes.split_off(PART_BYTES.saturating_sub(self.part_bytes));
            self.part.push(mem::replace(&mut bytes, rest));
            let sent = self.send_part().await;
            sent.map_err(|error| self.failed(error))?;
        }
        if !bytes.is_empty() {
            self.part_bytes = self.part_bytes.saturating_add(bytes.len());
            self.part.push(bytes);
        }
        Ok(())
    }

    /// The memory of the collected part and of the parts in flight, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let in_flight = self
            .parts
            .as_ref()
            .map_or(0, |parts| parts.tasks.len())
            .saturating_mul(PART_BYTES);
        in_flight.saturating_add(self.part_bytes)
    }

    /// Starts the upload of the collected part.
    async fn send_part(&mut self) -> object_store::Result<()> {
        let part: PutPayload = mem::take(&mut self.part).into_iter().collect();
        self.part_bytes = 0;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let options = PutMultipartOptions {
                    attributes: self.attributes.clone(),
                    ..PutMultipartOptions::default()
                };
                let upload = self.store.put_multipart_opts(&self.path, options).await?;
                none.insert(PartUploads::new(upload))
            }
        };
        parts.send(part).await
    }

    /// Completes the object.
    pub(super) async fn finish(mut self) -> Result<UploadOutcome, StoreError> {
        let finished = if self.parts.is_some() {
            self.finish_parts().await
        } else {
            self.finish_whole().await
        };
        if finished.is_err()
            && let Some(parts) = self.parts.take()
        {
            parts.abort(self.path.as_ref()).await;
        }
        finished.map_err(|error| self.failed(error))
    }

    async fn finish_whole(&mut self) -> object_store::Result<UploadOutcome> {
        let body: PutPayload = mem::take(&mut self.part).into_iter().collect();
        let options = PutOptions {
            mode: match self.mode {
                UploadMode::Create => PutMode::Create,
                UploadMode::Replace => PutMode::Overwrite,
            },
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        match self.store.put_opts(&self.path, body.clone(), options).await {
            Ok(_) => Ok(UploadOutcome::Stored),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => compare(self.store.as_ref(), &self.path, body).await,
            Err(error) => Err(error),
        }
    }

    async fn finish_parts(&mut self) -> object_store::Result<UploadOutcome> {
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        let Some(parts) = &mut self.parts else {
            return Ok(UploadOutcome::Stored);
        };
        parts.join(0).await?;
        if self.mode == UploadMode::Create && exists(self.store.as_ref(), &self.path).await? {
            if let Some(parts) = self.parts.take() {
                parts.abort(self.path.as_ref()).await;
            }
            return Ok(UploadOutcome::Exists);
        }
        parts.complete().await?;
        Ok(UploadOutcome::Stored)
    }

    pub(super) async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.abort(self.path.as_ref()).await;
        }
    }
}

impl Drop for NetworkUpload {
    /// Aborts an upload whose caller stopped waiting, in the background.
    fn drop(&mut self) {
        let parts = self.parts.take().filter(|parts| !parts.is_complete);
        if let (Some(parts), Ok(runtime)) = (parts, Handle::try_current()) {
            let path = self.path.clone();
            runtime.spawn(async move { parts.abort(path.as_ref()).await });
        }
    }
}

/// Whether an object exists.
/// Fails if the store does not answer, or refuses.
pub(super) async fn is_stored(objects: &PresignedObjects, key: &Key) -> Result<bool, StoreError> {
    let path = objects.path(Operation::Get, key)?;
    let found = exists(objects.store().as_ref(), &path).await;
    found.map_err(|error| error_without_exchange(Operation::Get, path.as_ref(), error))
}

/// Tells whether the object that exists has these bytes. It may be the result of an earlier attempt of the same put,
/// whose answer was lost.
async fn compare(
    store: &dyn ObjectStore,
    path: &Path,
    body: PutPayload,
) -> object_store::Result<UploadOutcome> {
    let found = store.get_opts(path, GetOptions::default()).await?;
    let is_same = found.meta.size == body.content_length() as u64
        && found.bytes().await? == Bytes::from(body);
    Ok(if is_same {
        UploadOutcome::Stored
    } else {
        UploadOutcome::Exists
    })
}

async fn exists(store: &dyn ObjectStore, path: &Path) -> object_store::Result<bool> {
    let options = GetOptions::new().with_head(true);
    match store.get_opts(path, options).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A multipart upload with a limited number of parts in flight.
#[derive(Debug)]
struct PartUploads {
    upload: Box<dyn MultipartUpload>,
    tasks: JoinSet<object_store::Result<()>>,
    is_complete: bool,
}

impl PartUploads {
    fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self { upload, tasks: JoinSet::new(), is_complete: false }
    }

    /// Starts the upload of a part when fewer than the maximum number are in flight.
    async fn send(&mut self, part: PutPayload) -> object_store::Result<()> {
        self.join(PARALLEL_PARTS.saturating_sub(1)).await?;
        self.tasks.spawn(self.upload.put_part(part));
        Ok(())
    }

    /// Waits until at most `left` parts are in flight.
    async fn join(&mut self, left: usize) -> object_store::Result<()> {
        while self.tasks.len() > left
            && let Some(sent) = self.tasks.join_next().await
        {
            sent.map_err(|source| object_store::Error::JoinError { source })??;
        }
        Ok(())
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        self.upload.complete().await?;
        self.is_complete = true;
        Ok(())
    }

    async fn abort(mut self, key: &str) {
        self.tasks.shutdown().await;
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(key, %error, "an upload could not be aborted");
        }
    }
}
