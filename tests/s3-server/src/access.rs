//! Access control: the owner may do everything, other users what their policies allow.

use std::{collections::BTreeMap, sync::Arc};

use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    dto::{CopyObjectInput, CopySource, DeleteObjectsInput},
    path::S3Path,
    s3_error,
};

use crate::{Operation, Policy, observer::UnansweredRequest, observer::parameter};

/// A key pair and its permissions.
#[derive(Clone, derive_more::Debug)]
pub struct User {
    /// The access key.
    pub access_key: String,
    /// The secret key that belongs to it.
    #[debug(skip)]
    pub secret_key: String,
    /// The permissions; `None` allows everything.
    pub policy: Option<Policy>,
}

/// The policies by access key; `None` allows everything.
#[derive(Clone, Debug)]
pub(crate) struct AccessPolicies {
    policies: Arc<BTreeMap<String, Option<Policy>>>,
}

impl AccessPolicies {
    pub(crate) fn new(owner_access_key: &str, users: Vec<User>) -> Self {
        let owner = (owner_access_key.to_owned(), None);
        let users = users.into_iter().map(|user| (user.access_key, user.policy));
        let policies = users.chain([owner]).collect();
        Self { policies: Arc::new(policies) }
    }

    fn is_allowed(&self, user: &str, action: &str, resource: &str, prefix: Option<&str>) -> bool {
        match self.policies.get(user) {
            None => false,
            Some(None) => true,
            Some(Some(policy)) => policy.allows(action, resource, prefix),
        }
    }

    fn check_object(&self, user: &str, action: &str, bucket: &str, key: &str) -> S3Result<()> {
        if self.is_allowed(user, action, &arn(bucket, Some(key)), None) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "{user} may not {action} {key}"))
        }
    }

    /// Returns whether a 404 must become a 403. S3 does this for reads of a missing key by users that may not list the
    /// bucket.
    pub(crate) fn hides_missing(&self, asked: &UnansweredRequest) -> bool {
        let reads = matches!(asked.operation, Operation::Get | Operation::Head);
        let user = asked.user.as_deref().unwrap_or_default();
        let bucket = arn(&asked.bucket, None);
        reads && !asked.key.is_empty() && !self.is_allowed(user, "s3:ListBucket", &bucket, None)
    }
}

fn arn(bucket: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
        None => format!("arn:aws:s3:::{bucket}"),
    }
}

/// Returns the IAM action for an operation on an object or a bucket.
fn action(operation: &str) -> Option<&'static str> {
    let action = match operation {
        "GetObject" | "HeadObject" => "s3:GetObject",
        "PutObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload" => "s3:PutObject",
        "DeleteObject" => "s3:DeleteObject",
        "AbortMultipartUpload" => "s3:AbortMultipartUpload",
        "ListParts" => "s3:ListMultipartUploadParts",
        "ListObjectsV2" | "HeadBucket" => "s3:ListBucket",
        "CreateBucket" => "s3:CreateBucket",
        "GetBucketEncryption" => "s3:GetEncryptionConfiguration",
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "GetBucketNotificationConfiguration" => "s3:GetBucketNotification",
        "GetBucketPolicy" => "s3:GetBucketPolicy",
        "GetBucketPolicyStatus" => "s3:GetBucketPolicyStatus",
        "GetBucketReplication" => "s3:GetReplicationConfiguration",
        "GetBucketVersioning" => "s3:GetBucketVersioning",
        "GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
        "PutBucketEncryption" => "s3:PutEncryptionConfiguration",
        "PutBucketLifecycleConfiguration" => "s3:PutLifecycleConfiguration",
        "PutBucketPolicy" => "s3:PutBucketPolicy",
        "PutBucketVersioning" => "s3:PutBucketVersioning",
        "PutPublicAccessBlock" => "s3:PutBucketPublicAccessBlock",
        "RestoreObject" => "s3:RestoreObject",
        _ => return None,
    };
    Some(action)
}

#[async_trait::async_trait]
impl S3Access for AccessPolicies {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "a signature is required"));
        };
        let user = &credentials.access_key;
        let operation = context.s3_op().name();
        if let Some(None) = self.policies.get(user) {
            return Ok(());
        }
        // The keys of a bulk delete are in the request body; `delete_objects` checks them.
        if operation == "DeleteObjects" {
            return Ok(());
        }
        let Some(action) = action(operation) else {
            return Err(s3_error!(AccessDenied, "{user} may not {operation}"));
        };
        match context.s3_path() {
            S3Path::Root => Err(s3_error!(AccessDenied, "{user} may not {operation}")),
            S3Path::Object { bucket, key } => self.check_object(user, action, bucket, key),
            S3Path::Bucket { bucket } => {
                let prefix = parameter(context.uri().query().unwrap_or_default(), "prefix");
                let is_list = operation == "ListObjectsV2";
                let prefix = is_list.then(|| prefix.unwrap_or_default());
                if self.is_allowed(user, action, &arn(bucket, None), prefix.as_deref()) {
                    Ok(())
                } else {
                    Err(s3_error!(AccessDenied, "{user} may not {action} with prefix {prefix:?}"))
                }
            }
        }
    }

    async fn delete_objects(&self, request: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let user = user_of(request)?;
        for object in &request.input.delete.objects {
            self.check_object(&user, "s3:DeleteObject", &request.input.bucket, &object.key)?;
        }
        Ok(())
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        let user = user_of(request)?;
        match &request.input.copy_source {
            CopySource::Bucket { bucket, key, .. } => {
                self.check_object(&user, "s3:GetObject", bucket, key)
            }
            _ => Err(s3_error!(AccessDenied, "unsupported copy source")),
        }
    }
}

fn user_of<T>(request: &S3Request<T>) -> S3Result<String> {
    let credentials = request.credentials.as_ref();
    let user = credentials.map(|credentials| credentials.access_key.clone());
    user.ok_or_else(|| s3_error!(AccessDenied, "a signature is required"))
}
