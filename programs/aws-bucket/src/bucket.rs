//! A bucket, and the errors of the requests about it.

use std::error::Error;

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use neap_aws_chain::AwsCredentialChain;
use neap_bucket::{ObjectStoreKind, StoreConfig, StoreConfigError, World, with_causes};

use crate::sdk_client;

/// Error of a request about a bucket.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The credentials do not allow the request.
    #[error(
        "bucket '{bucket}': the credentials do not allow {action}: add this action to their policy"
    )]
    Denied {
        /// The bucket.
        bucket: String,
        /// The action of IAM that the request needs.
        action: String,
    },
    /// The store refuses the request, or its answer is not one of S3.
    #[error("bucket '{bucket}': the store answers {action} with {status} {code}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// The action of IAM that the request needs.
        action: String,
        /// The status.
        status: u16,
        /// The code of the error; empty if there is none.
        code: String,
    },
    /// There is no answer, or there are no credentials.
    #[error("bucket '{bucket}': {reason}")]
    NoAnswer {
        /// The bucket.
        bucket: String,
        /// The cause.
        reason: String,
    },
}

/// A bucket of S3 or of a compatible store.
#[derive(Clone, Debug)]
pub struct S3Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) region: String,
    /// Whether requests are sent without TLS, to a store other than AWS.
    pub(crate) is_plain: bool,
}

impl S3Bucket {
    /// Returns the buckets of S3 that new objects go to: the main one, and that of the tail. A former bucket of the tail
    /// is only emptied. Sends no request.
    ///
    /// # Errors
    /// Same as [`StoreConfig::open`].
    pub fn all(config: &StoreConfig, world: &World) -> Result<Vec<Self>, StoreConfigError> {
        if config.kind() != ObjectStoreKind::S3 {
            return Ok(Vec::new());
        }
        let aws = &config.aws;
        let chain = AwsCredentialChain::for_store(config);
        let is_signed = !aws.aws_skip_signature;
        let credentials = is_signed.then(|| aws.credentials(world, Some(&chain))).transpose()?;
        let connection = config.connection.http_client(aws.aws_allow_http)?;
        let client = sdk_client::client(aws, connection, credentials);
        let mut names: Vec<_> =
            [&config.bucket, &config.tail_bucket].into_iter().flatten().collect();
        names.retain(|name| !name.is_empty());
        names.dedup();
        let buckets = names.into_iter().map(|name| Self {
            client: client.clone(),
            name: name.clone(),
            region: aws.region().to_owned(),
            is_plain: aws.endpoint().is_some_and(|url| url.starts_with("http://")),
        });
        Ok(buckets.collect())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether this is a directory bucket of S3 Express, which has few settings.
    pub fn is_directory(&self) -> bool {
        self.zone().is_some()
    }

    /// Returns the zone of a directory bucket, which is part of its name: `name--zone--x-s3`.
    pub(crate) fn zone(&self) -> Option<&str> {
        let (_, zone) = self.name.strip_suffix("--x-s3")?.rsplit_once("--")?;
        Some(zone)
    }

    /// Waits for a request that needs an action of IAM.
    pub(crate) async fn send<T, E: ProvideErrorMetadata + Error + 'static>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, BucketError> {
        request.await.map_err(|error| {
            let bucket = self.name.clone();
            let service = if self.is_directory() {
                "s3express"
            } else {
                "s3"
            };
            let action = format!("{service}:{action}");
            let Some(answer) = error.raw_response() else {
                let reason = with_causes(&error);
                return BucketError::NoAnswer { bucket, reason };
            };
            let code = error.code().unwrap_or_default().to_owned();
            match (answer.status().as_u16(), code.as_str()) {
                (403, "" | "AccessDenied") => BucketError::Denied { bucket, action },
                (status, _) => BucketError::Refused { bucket, action, status, code },
            }
        })
    }
}
