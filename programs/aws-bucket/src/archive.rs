//! Objects that a lifecycle rule has moved to an archive, where they can't be read.

use aws_sdk_s3::types::{ObjectStorageClass, RestoreRequest};

use crate::{BucketError, S3Bucket};

impl S3Bucket {
    /// Orders copies of the archived objects with a prefix, which can be read for some days. Returns the number of objects.
    /// Sends a request for each, and one for each 1,000 objects of the bucket.
    ///
    /// # Errors
    /// The store does not answer or refuses a request.
    pub async fn restore_archived(&self, key_prefix: &str, days: i32) -> Result<u64, BucketError> {
        let order = RestoreRequest::builder().days(days).build();
        let list = self.client.list_objects_v2().bucket(&self.name).prefix(key_prefix);
        let mut pages = list.into_paginator().send();
        let mut restored = 0;
        while let Some(page) = self.send("ListBucket", pages.try_next()).await? {
            let archived = page.contents().iter().filter(|object| {
                matches!(
                    object.storage_class(),
                    Some(ObjectStorageClass::DeepArchive | ObjectStorageClass::Glacier)
                )
            });
            for object in archived {
                let request = self
                    .client
                    .restore_object()
                    .bucket(&self.name)
                    .set_key(object.key.clone())
                    .restore_request(order.clone());
                match self.send("RestoreObject", request.send()).await {
                    // An earlier order is not executed yet.
                    Err(BucketError::Refused { status: 409, .. }) => {}
                    ordered => drop(ordered?),
                }
                restored += 1;
            }
        }
        Ok(restored)
    }
}
