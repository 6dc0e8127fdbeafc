//! The storage: `s3s-fs` behind one lock, with the preconditions of GET and PUT as in S3.

use std::{sync::Arc, time::Duration};

use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

use crate::{
    Deviation,
    deviations::Deviations,
    settings::{BucketSettings, Settings},
};

/// The time between the check of a condition and the write, if they are not one step.
const RACE_TIME: Duration = Duration::from_millis(50);

/// Object storage that serializes writes with a lock, because `s3s-fs` checks a precondition and writes without one.
#[derive(Debug)]
pub(crate) struct LockedFileSystem {
    files: FileSystem,
    lock: RwLock<()>,
    settings: BucketSettings,
    deviations: Arc<Deviations>,
}

impl LockedFileSystem {
    pub(crate) fn new(files: FileSystem, deviations: Arc<Deviations>) -> Self {
        Self {
            files,
            lock: RwLock::new(()),
            settings: BucketSettings::default(),
            deviations,
        }
    }

    /// Puts an object with S3's errors: 404 if the bucket is missing, and 404 to `If-Match` if the key is missing.
    /// `s3s-fs` creates the missing bucket, and answers 412 for the missing key.
    async fn put_locked(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let bucket = HeadBucketInput {
            bucket: request.input.bucket.clone(),
            ..HeadBucketInput::default()
        };
        self.files.head_bucket(internal_request(bucket)).await?;
        if request.input.if_match.is_some() {
            let object = HeadObjectInput {
                bucket: request.input.bucket.clone(),
                key: request.input.key.clone(),
                ..HeadObjectInput::default()
            };
            if self.files.head_object(internal_request(object)).await.is_err() {
                return Err(s3_error!(NoSuchKey));
            }
        }
        // `s3s-fs` refuses archives.
        let class = request.input.storage_class.take();
        let archived = class
            .filter(|class| class.as_str() == StorageClass::GLACIER)
            .map(|_| (request.input.bucket.clone(), request.input.key.clone()));
        let answer = self.files.put_object(request).await?;
        if let Some((name, key)) = archived {
            self.settings.change(&name, |settings| {
                settings.archived.insert(key);
            });
        }
        Ok(answer)
    }

    /// Returns the version of an object; `None` if there is no object.
    async fn etag(&self, bucket: String, key: String) -> Option<ETag> {
        let input = GetObjectInput { bucket, key, ..GetObjectInput::default() };
        let _held = self.lock.read().await;
        let found = self.files.get_object(internal_request(input)).await.ok()?;
        found.output.e_tag
    }

    /// Checks the conditions of a put long before it writes, and removes them.
    #[expect(clippy::disallowed_methods, reason = "the server uses real time")]
    async fn check_early(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        let input = &mut request.input;
        let (if_match, if_none_match) = (input.if_match.take(), input.if_none_match.take());
        if if_match.is_none() && if_none_match.is_none() {
            return Ok(());
        }
        let newest = self.etag(input.bucket.clone(), input.key.clone()).await;
        let is_newest = |condition: &ETagCondition| match (condition, &newest) {
            (_, None) => false,
            (ETagCondition::Any, Some(_)) => true,
            (ETagCondition::ETag(wanted), Some(etag)) => etag.weak_cmp(wanted),
        };
        if if_match.is_some_and(|condition| !is_newest(&condition))
            || if_none_match.is_some_and(|condition| is_newest(&condition))
        {
            return Err(s3_error!(PreconditionFailed));
        }
        tokio::time::sleep(RACE_TIME).await;
        Ok(())
    }

    /// Gets an object and checks the preconditions, because `s3s-fs` ignores them.
    async fn get_locked(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let if_match = request.input.if_match.clone();
        let if_none_match = request.input.if_none_match.clone();
        let response = self.files.get_object(request).await?;
        let holds = |condition: &ETagCondition| match (condition, &response.output.e_tag) {
            (ETagCondition::Any, _) => true,
            (ETagCondition::ETag(wanted), Some(etag)) => etag.weak_cmp(wanted),
            (ETagCondition::ETag(_), None) => false,
        };
        if if_match.is_some_and(|condition| !holds(&condition)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.is_some_and(|condition| holds(&condition)) {
            return Err(s3_error!(NotModified));
        }
        Ok(response)
    }
}

/// Returns the error of a missing setting whose code `s3s` does not know.
fn missing(code: &'static str) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom(code.into()));
    error.set_status_code(http::StatusCode::NOT_FOUND);
    error
}

/// Builds an internal request to `s3s-fs`.
fn internal_request<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: http::Method::HEAD,
        uri: http::Uri::default(),
        headers: http::HeaderMap::new(),
        extensions: http::Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

// `s3s-fs` gets no credentials, because it lets only the user go on with an upload who began it. S3 lets all users with the
// permission.
macro_rules! locked {
    (
        files { $($operation:ident($input:ident) -> $output:ident: $how:ident;)* }
        settings { $($about:ident($question:ident) -> $answer:ident: $function:expr;)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for LockedFileSystem {
            async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
                self.deviations.admit_put(&mut request)?;
                if self.deviations.has(Deviation::RacingConditions) {
                    self.check_early(&mut request).await?;
                }
                let _held = self.lock.write().await;
                self.put_locked(request).await.map_err(|error| self.deviations.put_error(error))
            }

            async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
                let _held = self.lock.read().await;
                self.get_locked(request).await
            }

            async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
                let _held = self.lock.write().await;
                let bucket = request.input.bucket.clone();
                let answer = self.files.create_bucket(request).await?;
                self.settings.create(&bucket);
                Ok(answer)
            }

            async fn list_objects_v2(&self, mut request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
                self.deviations.admit_listing(&mut request);
                let _held = self.lock.read().await;
                let bucket = request.input.bucket.clone();
                let mut answer = self.files.list_objects_v2(request).await?;
                self.settings.change(&bucket, |settings| settings.classify(&mut answer.output));
                self.deviations.change_listing(&mut answer.output);
                Ok(answer)
            }

            async fn create_multipart_upload(&self, mut request: S3Request<CreateMultipartUploadInput>) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
                let _held = self.lock.write().await;
                let bucket = request.input.bucket.clone();
                request.credentials = None;
                let answer = self.files.create_multipart_upload(request).await?;
                self.settings.change(&bucket, |settings| settings.add_upload(&answer.output));
                Ok(answer)
            }

            async fn abort_multipart_upload(&self, mut request: S3Request<AbortMultipartUploadInput>) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
                let _held = self.lock.write().await;
                let (bucket, id) = (request.input.bucket.clone(), request.input.upload_id.clone());
                request.credentials = None;
                let answer = self.files.abort_multipart_upload(request).await?;
                self.settings.change(&bucket, |settings| settings.remove_upload(&id));
                Ok(answer)
            }

            $(async fn $operation(&self, mut request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let _held = self.lock.$how().await;
                request.credentials = None;
                self.files.$operation(request).await
            })*

            $(async fn $about(&self, request: S3Request<$question>) -> S3Result<S3Response<$answer>> {
                let answer: fn(&mut Settings, $question) -> S3Result<$answer> = $function;
                let bucket = request.input.bucket.clone();
                let output = self.settings.with(&bucket, |settings| answer(settings, request.input))?;
                Ok(S3Response::new(output))
            })*
        }
    };
}

locked! {
    files {
        head_bucket(HeadBucketInput) -> HeadBucketOutput: read;
        list_buckets(ListBucketsInput) -> ListBucketsOutput: read;
        copy_object(CopyObjectInput) -> CopyObjectOutput: write;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput: write;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput: write;
        head_object(HeadObjectInput) -> HeadObjectOutput: read;
        upload_part(UploadPartInput) -> UploadPartOutput: read;
        list_parts(ListPartsInput) -> ListPartsOutput: read;
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput: write;
    }

    settings {
        get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput: |settings, _| {
            Ok(settings.versioning.clone())
        };
        put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput: |settings, input| {
            settings.versioning.status = input.versioning_configuration.status;
            Ok(PutBucketVersioningOutput::default())
        };
        get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput: |_, _| {
            Err(s3_error!(ObjectLockConfigurationNotFoundError))
        };
        get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput: |settings, _| {
            let rules = settings.lifecycle.clone().ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration))?;
            Ok(GetBucketLifecycleConfigurationOutput { rules: Some(rules), ..Default::default() })
        };
        put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput: |settings, input| {
            settings.lifecycle = input.lifecycle_configuration.map(|lifecycle| lifecycle.rules);
            Ok(PutBucketLifecycleConfigurationOutput::default())
        };
        get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput: |settings, _| {
            let block = settings.public_access.clone().ok_or_else(|| missing("NoSuchPublicAccessBlockConfiguration"))?;
            Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(block) })
        };
        put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput: |settings, input| {
            settings.public_access = Some(input.public_access_block_configuration);
            Ok(PutPublicAccessBlockOutput::default())
        };
        get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput: |settings, _| {
            let policy = settings.policy.clone().ok_or_else(|| s3_error!(NoSuchBucketPolicy))?;
            Ok(GetBucketPolicyOutput { policy: Some(policy) })
        };
        put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput: |settings, input| {
            settings.policy = Some(input.policy);
            Ok(PutBucketPolicyOutput::default())
        };
        get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput: |settings, _| {
            if settings.policy.is_none() {
                return Err(s3_error!(NoSuchBucketPolicy));
            }
            Ok(GetBucketPolicyStatusOutput { policy_status: Some(PolicyStatus { is_public: Some(false) }) })
        };
        get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput: |settings, _| {
            // S3 encrypts new buckets with its own keys.
            let default = ServerSideEncryptionConfiguration::default();
            let encryption = settings.encryption.clone().unwrap_or(default);
            Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(encryption) })
        };
        put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput: |settings, input| {
            settings.encryption = Some(input.server_side_encryption_configuration);
            Ok(PutBucketEncryptionOutput::default())
        };
        get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput: |_, _| {
            Err(s3_error!(ReplicationConfigurationNotFoundError))
        };
        get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput: |_, _| {
            Ok(GetBucketNotificationConfigurationOutput::default())
        };
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput: |settings, _| {
            Ok(ListMultipartUploadsOutput { uploads: Some(settings.uploads.clone()), ..Default::default() })
        };
        restore_object(RestoreObjectInput) -> RestoreObjectOutput: |settings, input| {
            settings.archived.remove(&input.key);
            Ok(RestoreObjectOutput::default())
        };
    }
}
