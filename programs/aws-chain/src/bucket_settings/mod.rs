//! The settings of an S3 bucket that cost money or lose data, and the creation of a bucket without such settings.
//!
//! ```text
//!   GET ?versioning ?object-lock ?lifecycle ?publicAccessBlock ?policy ?policyStatus ?encryption ?replication
//!        └── answers (XML, JSON) ──> BucketSettings ──> findings ──> neap check-store
//! ```
//!
//! Nothing is changed unless the bucket does not exist and is created.

mod answers;
mod create;
mod findings;
mod policy;

use http::{HeaderMap, Method, StatusCode};
use neap_bucket::{S3BucketClient, S3RequestError};

pub use create::{BucketCreation, CreateBucketError, create_bucket};
pub use findings::{FindingLevel, SettingFinding};

use answers::{
    EncryptionConfiguration, LifecycleConfiguration, ObjectLockConfiguration, PolicyStatus,
    PublicAccessBlock, ReplicationConfiguration, Setting, VersioningConfiguration,
};
use policy::BucketPolicy;

/// The settings of a bucket.
#[derive(Debug, Default)]
pub struct BucketSettings {
    versioning: Setting<VersioningConfiguration>,
    object_lock: Setting<ObjectLockConfiguration>,
    lifecycle: Setting<LifecycleConfiguration>,
    public_access: Setting<PublicAccessBlock>,
    policy: Setting<BucketPolicy>,
    policy_status: Setting<PolicyStatus>,
    encryption: Setting<EncryptionConfiguration>,
    replication: Setting<ReplicationConfiguration>,
}

impl BucketSettings {
    /// Reads the settings of a bucket: 8 requests.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(client: &S3BucketClient) -> Result<Self, S3RequestError> {
        Ok(Self {
            versioning: read(client, "versioning", Setting::of_xml).await?,
            object_lock: read(client, "object-lock", Setting::of_xml).await?,
            lifecycle: read(client, "lifecycle", Setting::of_xml).await?,
            public_access: read(client, "publicAccessBlock", Setting::of_xml).await?,
            policy: read(client, "policy", Setting::of_json).await?,
            policy_status: read(client, "policyStatus", Setting::of_xml).await?,
            encryption: read(client, "encryption", Setting::of_xml).await?,
            replication: read(client, "replication", Setting::of_xml).await?,
        })
    }
}

async fn read<T>(
    client: &S3BucketClient,
    query: &str,
    interpret: fn(StatusCode, &[u8]) -> Setting<T>,
) -> Result<Setting<T>, S3RequestError> {
    let response = client.send(Method::GET, query, HeaderMap::new(), Default::default()).await?;
    Ok(interpret(response.status, &response.body))
}

#[cfg(test)]
mod tests;
