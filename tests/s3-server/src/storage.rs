//! The storage: `s3s-fs` behind one lock, with the preconditions of GET and PUT as in S3.

use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

/// Object storage that serializes writes with a lock, because `s3s-fs` checks a precondition and writes without one.
#[derive(Debug)]
pub(crate) struct LockedFileSystem {
    files: FileSystem,
    lock: RwLock<()>,
}

impl LockedFileSystem {
    pub(crate) fn new(files: FileSystem) -> Self {
        Self {
            files,
            lock: RwLock::new(()),
        }
    }

    /// Puts an object with S3's errors: 404 if the bucket is missing, and 404 to `If-Match` if the key is missing.
    /// `s3s-fs` creates the missing bucket, and answers 412 for the missing key.
    async fn put_locked(
        &self,
        request: S3Request<PutObjectInput>,
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
        self.files.put_object(request).await
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

macro_rules! locked {
    ($($operation:ident($input:ident) -> $output:ident: $how:ident;)*) => {
        #[async_trait::async_trait]
        impl S3 for LockedFileSystem {
            async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
                let _held = self.lock.write().await;
                self.put_locked(request).await
            }

            async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
                let _held = self.lock.read().await;
                self.get_locked(request).await
            }

            $(async fn $operation(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let _held = self.lock.$how().await;
                self.files.$operation(request).await
            })*
        }
    };
}

locked! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput: write;
    head_bucket(HeadBucketInput) -> HeadBucketOutput: read;
    list_buckets(ListBucketsInput) -> ListBucketsOutput: read;
    copy_object(CopyObjectInput) -> CopyObjectOutput: write;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput: write;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput: write;
    head_object(HeadObjectInput) -> HeadObjectOutput: read;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output: read;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput: write;
    upload_part(UploadPartInput) -> UploadPartOutput: read;
    list_parts(ListPartsInput) -> ListPartsOutput: read;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput: write;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput: write;
}
