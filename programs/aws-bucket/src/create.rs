//! Creates a bucket that no finding is about: private, with TLS only, encrypted, and without the parts of interrupted uploads.
//!
//! ```text
//!   HEAD ──> exists: nothing is changed
//!    └─ missing ──> CreateBucket ──> public access blocked ──> TLS only ──> key ──> lifecycle ──> versions
//! ```
//!
//! S3 encrypts the objects of a new bucket with its own keys, keeps no versions, and knows no access control lists there.
//! Directory buckets are always private and reached with TLS.

use aws_sdk_s3::{
    error::BuildError,
    types::{
        AbortIncompleteMultipartUpload, BucketInfo, BucketLifecycleConfiguration,
        BucketLocationConstraint, BucketType, BucketVersioningStatus, CreateBucketConfiguration,
        DataRedundancy, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
        LocationInfo, LocationType, NoncurrentVersionExpiration, PublicAccessBlockConfiguration,
        ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
        ServerSideEncryptionRule, VersioningConfiguration,
    },
};
use serde_json::json;

use crate::{BucketError, S3Bucket};

/// The region whose buckets are created without naming it.
const DEFAULT_REGION: &str = "us-east-1";

/// The options of a bucket to be created.
#[derive(Clone, Debug, Default)]
pub struct NewBucket {
    /// The key of AWS KMS that encrypts objects; `None`: S3's own keys.
    pub kms_key: Option<String>,
    /// Days for which the store keeps deleted objects, as versions; `None`: not at all.
    pub version_days: Option<i32>,
}

/// The outcome of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketCreation {
    /// The bucket was created.
    Created,
    /// The bucket exists. It was not changed.
    Exists,
}

impl S3Bucket {
    /// Creates the bucket, unless it exists.
    ///
    /// # Errors
    /// The store does not answer or refuses a request. If it refuses a setting, the bucket exists without it.
    pub async fn create(&self, options: &NewBucket) -> Result<BucketCreation, BucketError> {
        // Without this, S3 would reset an existing bucket of the default region.
        if !self.is_directory() && self.exists().await? {
            return Ok(BucketCreation::Exists);
        }
        let request = self
            .client
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(self.place());
        match self.send("CreateBucket", request.send()).await {
            Err(BucketError::Refused { code, .. }) if code == "BucketAlreadyOwnedByYou" => {
                if self.is_directory() {
                    return Ok(BucketCreation::Exists);
                }
                // It was missing before: the answer to an earlier attempt was lost.
            }
            created => drop(created?),
        }
        self.configure(options).await?;
        Ok(BucketCreation::Created)
    }

    async fn configure(&self, options: &NewBucket) -> Result<(), BucketError> {
        let (client, name) = (&self.client, &self.name);
        let version_days = options.version_days.filter(|_| !self.is_directory());
        if !self.is_directory() {
            let block = client.put_public_access_block().bucket(name);
            let blocked = block.public_access_block_configuration(no_public_access()).send();
            self.send("PutBucketPublicAccessBlock", blocked).await?;
            if !self.is_plain {
                let put = client.put_bucket_policy().bucket(name).policy(self.tls_policy());
                self.send("PutBucketPolicy", put.send()).await?;
            }
        }
        if let Some(key) = &options.kms_key {
            let encrypted = async {
                let put = client.put_bucket_encryption().bucket(name);
                put.server_side_encryption_configuration(encryption(key)?).send().await
            };
            self.send("PutEncryptionConfiguration", encrypted).await?;
        }
        let expired = async {
            let put = client.put_bucket_lifecycle_configuration().bucket(name);
            put.lifecycle_configuration(lifecycle(version_days)?).send().await
        };
        self.send("PutLifecycleConfiguration", expired).await?;
        if version_days.is_some() {
            let enabled =
                VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
            let put = client.put_bucket_versioning().bucket(name);
            let versioned = put.versioning_configuration(enabled.build()).send();
            self.send("PutBucketVersioning", versioned).await?;
        }
        Ok(())
    }

    async fn exists(&self) -> Result<bool, BucketError> {
        let request = self.client.head_bucket().bucket(&self.name);
        match self.send("ListBucket", request.send()).await {
            Ok(_) => Ok(true),
            Err(BucketError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns where the bucket is created, unless it is the default.
    fn place(&self) -> Option<CreateBucketConfiguration> {
        let place = CreateBucketConfiguration::builder();
        if let Some(zone) = self.zone() {
            let location =
                LocationInfo::builder().r#type(LocationType::AvailabilityZone).name(zone);
            let kind = BucketInfo::builder()
                .r#type(BucketType::Directory)
                .data_redundancy(DataRedundancy::SingleAvailabilityZone);
            return Some(place.location(location.build()).bucket(kind.build()).build());
        }
        let region = BucketLocationConstraint::from(self.region.as_str());
        (self.region != DEFAULT_REGION).then(|| place.location_constraint(region).build())
    }

    /// Returns a policy that denies requests without TLS.
    fn tls_policy(&self) -> String {
        let partition = if self.region.starts_with("cn-") {
            "aws-cn"
        } else if self.region.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        };
        let bucket = format!("arn:{partition}:s3:::{}", self.name);
        let statement = json!({
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, format!("{bucket}/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        });
        json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
    }
}

fn no_public_access() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build()
}

/// Returns that objects are encrypted with a key, which is asked for once for many objects.
fn encryption(key: &str) -> Result<ServerSideEncryptionConfiguration, BuildError> {
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(key)
        .build()?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build()
}

/// Returns the rule that deletes the parts of interrupted uploads after a day, and versions that are older than some days.
fn lifecycle(version_days: Option<i32>) -> Result<BucketLifecycleConfiguration, BuildError> {
    let uploads = AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build();
    let mut rule = LifecycleRule::builder()
        .id("neap")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(uploads);
    if let Some(days) = version_days {
        let versions = NoncurrentVersionExpiration::builder().noncurrent_days(days).build();
        // A deletion leaves a mark when its version is gone.
        let marks = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        rule = rule.noncurrent_version_expiration(versions).expiration(marks);
    }
    BucketLifecycleConfiguration::builder().rules(rule.build()?).build()
}
