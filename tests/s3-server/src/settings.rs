//! The settings of the buckets that were created by a request. The bucket of the options has none: the server answers as stores
//! do that do not know them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use s3s::{S3Result, dto::*, s3_error};

/// The settings of a bucket.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) versioning: GetBucketVersioningOutput,
    pub(crate) lifecycle: Option<LifecycleRules>,
    pub(crate) public_access: Option<PublicAccessBlockConfiguration>,
    pub(crate) policy: Option<String>,
    pub(crate) encryption: Option<ServerSideEncryptionConfiguration>,
    pub(crate) uploads: Vec<MultipartUpload>,
    /// The keys of the objects that were put into an archive.
    pub(crate) archived: BTreeSet<String>,
}

impl Settings {
    /// Adds an upload, which is an old one from the beginning.
    pub(crate) fn add_upload(&mut self, created: &CreateMultipartUploadOutput) {
        self.uploads.push(MultipartUpload {
            key: created.key.clone(),
            upload_id: created.upload_id.clone(),
            initiated: Some(SystemTime::UNIX_EPOCH.into()),
            ..MultipartUpload::default()
        });
    }

    pub(crate) fn remove_upload(&mut self, id: &str) {
        self.uploads.retain(|upload| upload.upload_id.as_deref() != Some(id));
    }

    /// Adds the storage class to the archived objects of a listing.
    pub(crate) fn classify(&self, listing: &mut ListObjectsV2Output) {
        for object in listing.contents.iter_mut().flatten() {
            if object.key.as_ref().is_some_and(|key| self.archived.contains(key)) {
                let class = ObjectStorageClass::GLACIER.to_owned();
                object.storage_class = Some(class.into());
            }
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct BucketSettings(Mutex<BTreeMap<String, Settings>>);

impl BucketSettings {
    pub(crate) fn create(&self, bucket: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(bucket.to_owned()).or_default();
    }

    /// Answers a request about the settings of a bucket.
    pub(crate) fn with<T>(
        &self,
        bucket: &str,
        answer: impl FnOnce(&mut Settings) -> S3Result<T>,
    ) -> S3Result<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(bucket) {
            Some(settings) => answer(settings),
            None => Err(s3_error!(NotImplemented, "bucket {bucket} has no settings")),
        }
    }

    /// Changes the settings of a bucket that has some.
    pub(crate) fn change(&self, bucket: &str, change: impl FnOnce(&mut Settings)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = all.get_mut(bucket) {
            change(settings);
        }
    }
}
