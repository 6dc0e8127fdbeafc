//! The settings of a bucket. Reading them changes nothing.

use aws_sdk_s3::{
    operation::{
        get_bucket_encryption::GetBucketEncryptionOutput,
        get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
        get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput,
        get_bucket_policy::GetBucketPolicyOutput,
        get_bucket_policy_status::GetBucketPolicyStatusOutput,
        get_bucket_replication::GetBucketReplicationOutput,
        get_bucket_versioning::GetBucketVersioningOutput,
        get_object_lock_configuration::GetObjectLockConfigurationOutput,
        get_public_access_block::GetPublicAccessBlockOutput,
    },
    types::MultipartUpload,
};
use neap_bucket::World;

use crate::{BucketError, S3Bucket};

/// A setting of a bucket, as far as the store tells it.
#[derive(Debug, Default)]
pub(crate) enum Setting<T> {
    /// The setting.
    Known(T),
    /// The bucket does not have the setting.
    Absent,
    /// The credentials do not allow this action, which reads the setting.
    Denied(String),
    /// The store does not know the setting.
    #[default]
    Unsupported,
}

impl<T> Setting<T> {
    fn from_answer(answer: Result<T, BucketError>) -> Result<Self, BucketError> {
        match answer {
            Ok(value) => Ok(Self::Known(value)),
            Err(
                BucketError::Denied { action, .. }
                | BucketError::Refused {
                    action,
                    status: 403,
                    ..
                },
            ) => Ok(Self::Denied(action)),
            Err(BucketError::Refused { code, .. }) if is_absence(&code) => Ok(Self::Absent),
            Err(BucketError::Refused { .. }) => Ok(Self::Unsupported),
            Err(error @ BucketError::NoAnswer { .. }) => Err(error),
        }
    }
}

/// Returns whether the code of an error says that a bucket does not have a setting.
fn is_absence(code: &str) -> bool {
    matches!(
        code,
        "NoSuchBucketPolicy"
            | "NoSuchLifecycleConfiguration"
            | "NoSuchObjectLockConfiguration"
            | "NoSuchPublicAccessBlockConfiguration"
            | "ObjectLockConfigurationNotFoundError"
            | "ReplicationConfigurationNotFoundError"
            | "ServerSideEncryptionConfigurationNotFoundError"
    )
}

/// The settings of a bucket.
#[derive(Debug, Default)]
pub struct BucketSettings {
    pub(crate) versioning: Setting<GetBucketVersioningOutput>,
    pub(crate) object_lock: Setting<GetObjectLockConfigurationOutput>,
    pub(crate) lifecycle: Setting<GetBucketLifecycleConfigurationOutput>,
    pub(crate) public_access: Setting<GetPublicAccessBlockOutput>,
    pub(crate) policy: Setting<GetBucketPolicyOutput>,
    pub(crate) policy_status: Setting<GetBucketPolicyStatusOutput>,
    pub(crate) encryption: Setting<GetBucketEncryptionOutput>,
    pub(crate) replication: Setting<GetBucketReplicationOutput>,
    pub(crate) notifications: Setting<GetBucketNotificationConfigurationOutput>,
    pub(crate) interrupted_uploads: Setting<Vec<MultipartUpload>>,
}

/// Reads a setting by an operation of the SDK that needs an action.
macro_rules! read {
    ($bucket:ident, $operation:ident, $action:literal) => {{
        let request = $bucket.client.$operation().bucket(&$bucket.name);
        Setting::from_answer($bucket.send($action, request.send()).await)?
    }};
}

impl BucketSettings {
    /// Reads the settings of a bucket, and its interrupted uploads of keys with a prefix: 10 requests, and 2 for a directory
    /// bucket, which has no other settings that Neap depends on.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(
        bucket: &S3Bucket,
        key_prefix: &str,
        world: &World,
    ) -> Result<Self, BucketError> {
        let settings = Self {
            lifecycle: read!(
                bucket,
                get_bucket_lifecycle_configuration,
                "GetLifecycleConfiguration"
            ),
            encryption: read!(bucket, get_bucket_encryption, "GetEncryptionConfiguration"),
            ..Self::default()
        };
        if bucket.is_directory() {
            return Ok(settings);
        }
        let uploads = bucket.interrupted_uploads(key_prefix, world).await;
        Ok(Self {
            versioning: read!(bucket, get_bucket_versioning, "GetBucketVersioning"),
            object_lock: read!(
                bucket,
                get_object_lock_configuration,
                "GetBucketObjectLockConfiguration"
            ),
            public_access: read!(
                bucket,
                get_public_access_block,
                "GetBucketPublicAccessBlock"
            ),
            policy: read!(bucket, get_bucket_policy, "GetBucketPolicy"),
            policy_status: read!(bucket, get_bucket_policy_status, "GetBucketPolicyStatus"),
            replication: read!(
                bucket,
                get_bucket_replication,
                "GetReplicationConfiguration"
            ),
            notifications: read!(
                bucket,
                get_bucket_notification_configuration,
                "GetBucketNotification"
            ),
            interrupted_uploads: Setting::from_answer(uploads)?,
            ..settings
        })
    }
}
