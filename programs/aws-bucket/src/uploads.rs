//! Uploads in parts that were interrupted: the store keeps and charges their parts.

use aws_sdk_s3::types::MultipartUpload;
use neap_bucket::World;

use crate::{BucketError, S3Bucket};

/// Age from which an upload that was not completed is an interrupted one, in seconds: a day, as in the lifecycle rule.
const INTERRUPTED_AFTER_SECONDS: i64 = 24 * 60 * 60;

impl S3Bucket {
    /// Returns interrupted uploads of keys with a prefix, out of the first 1,000 uploads.
    pub(crate) async fn interrupted_uploads(
        &self,
        key_prefix: &str,
        world: &World,
    ) -> Result<Vec<MultipartUpload>, BucketError> {
        let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(key_prefix);
        let page = self.send("ListBucketMultipartUploads", request.send()).await?;
        let end = world.clock.wall_micros() / 1_000_000 - INTERRUPTED_AFTER_SECONDS;
        let is_old =
            |upload: &MultipartUpload| upload.initiated().is_some_and(|at| at.secs() < end);
        Ok(page.uploads.into_iter().flatten().filter(is_old).collect())
    }

    /// Aborts interrupted uploads of keys with a prefix, at most 1,000. Returns their number.
    ///
    /// # Errors
    /// The store does not answer or refuses a request.
    pub async fn abort_interrupted_uploads(
        &self,
        key_prefix: &str,
        world: &World,
    ) -> Result<usize, BucketError> {
        let uploads = self.interrupted_uploads(key_prefix, world).await?;
        for upload in &uploads {
            let request = self
                .client
                .abort_multipart_upload()
                .bucket(&self.name)
                .set_key(upload.key.clone())
                .set_upload_id(upload.upload_id.clone());
            match self.send("AbortMultipartUpload", request.send()).await {
                // It has ended in the meantime.
                Err(BucketError::Refused { status: 404, .. }) => {}
                aborted => drop(aborted?),
            }
        }
        Ok(uploads.len())
    }
}
