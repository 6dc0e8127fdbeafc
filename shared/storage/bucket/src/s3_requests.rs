//! Signed requests about a bucket of S3 itself: its settings and its creation. Requests about objects are those of
//! [`Store`](crate::Store).
//!
//! They are signed by `object_store`, which every program links, and not sent by the AWS SDK: its client for S3 has all
//! operations, and eight are needed.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use object_store::{
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector},
};

use crate::{
    AwsConfig, AwsCredentialSource, ObjectStoreKind, StoreConfig, StoreConfigError, World,
};

/// Error of a request without an answer.
#[derive(Debug, thiserror::Error)]
#[error("bucket '{bucket}': {reason}")]
pub struct S3RequestError {
    /// The bucket.
    bucket: String,
    /// The cause.
    reason: String,
}

/// The answer to a request about a bucket.
#[derive(Clone, Debug)]
pub struct S3Response {
    /// The status.
    pub status: StatusCode,
    /// The body: XML, also of errors.
    pub body: Bytes,
}

/// Sends requests about one bucket.
#[derive(Clone, Debug)]
pub struct S3BucketClient {
    client: HttpClient,
    /// `None`: requests are not signed.
    credentials: Option<AwsCredentialProvider>,
    region: String,
    bucket: String,
    /// The URL of the bucket, without a slash at the end.
    url: String,
}

impl S3BucketClient {
    /// Returns the name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the region of the bucket, as configured.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Sends a request. `query` is empty, or the name of a setting such as `versioning`.
    ///
    /// # Errors
    /// There is no answer, or there are no credentials.
    pub async fn send(
        &self,
        method: Method,
        query: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<S3Response, S3RequestError> {
        let separator = if query.is_empty() { "" } else { "?" };
        let uri: Result<Uri, _> = format!("{}{separator}{query}", self.url).parse();
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = uri.map_err(|error| self.failed(error))?;
        *request.headers_mut() = headers;
        if let Some(credentials) = &self.credentials {
            let credential =
                credentials.get_credential().await.map_err(|error| self.failed(error))?;
            AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        }
        let response = self.client.execute(request).await;
        let (head, body) = response.map_err(|error| self.failed(error))?.into_parts();
        Ok(S3Response {
            status: head.status,
            body: body.bytes().await.map_err(|error| self.failed(error))?,
        })
    }

    fn failed(&self, reason: impl ToString) -> S3RequestError {
        S3RequestError {
            bucket: self.bucket.clone(),
            reason: reason.to_string(),
        }
    }
}

impl StoreConfig {
    /// Returns a client for each bucket of S3 that the flags name, without directory buckets, which have other settings.
    /// Sends no request.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub fn s3_buckets(
        &self,
        world: &World,
        credentials: Option<&Arc<dyn AwsCredentialSource>>,
    ) -> Result<Vec<S3BucketClient>, StoreConfigError> {
        if self.kind() != ObjectStoreKind::S3 {
            return Ok(Vec::new());
        }
        let flags = [("bucket", &self.bucket), ("tail-bucket", &self.tail_bucket)];
        let names = flags.into_iter().filter_map(|(flag, name)| {
            let name = name.as_deref()?;
            (!name.is_empty() && !name.ends_with("--x-s3")).then_some((flag, name))
        });
        let mut clients: Vec<S3BucketClient> = Vec::new();
        for (flag, bucket) in names {
            if clients.iter().any(|client| client.bucket == bucket) {
                continue;
            }
            let mut options = self.connection.options()?;
            options.allow_http = self.aws.aws_allow_http;
            let client = ReqwestConnector::default()
                .connect(&options.client())
                .map_err(|error| crate::config::invalid(flag, error))?;
            let is_signed = !self.aws.aws_skip_signature;
            let credentials =
                is_signed.then(|| self.aws.credentials(world, credentials)).transpose()?;
            clients.push(S3BucketClient {
                client,
                credentials,
                region: self.aws.region().to_owned(),
                bucket: bucket.to_owned(),
                url: bucket_url(&self.aws, bucket),
            });
        }
        Ok(clients)
    }
}

/// Returns the URL of a bucket, with its name in the path.
fn bucket_url(aws: &AwsConfig, bucket: &str) -> String {
    let region = aws.region();
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    match aws.endpoint() {
        Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        None => format!("https://s3.{region}.amazonaws.com{suffix}/{bucket}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(config: &StoreConfig) -> Vec<S3BucketClient> {
        config.s3_buckets(&World::system(), None).unwrap()
    }

    fn config(bucket: &str) -> StoreConfig {
        StoreConfig {
            bucket: Some(bucket.to_owned()),
            aws: AwsConfig {
                aws_skip_signature: true,
                ..AwsConfig::default()
            },
            ..StoreConfig::default()
        }
    }

    #[tokio::test]
    async fn each_bucket_has_a_client_except_directory_buckets() {
        let names = |config: &StoreConfig| {
            let clients = clients(config).into_iter();
            clients.map(|client| client.bucket).collect::<Vec<_>>()
        };
        let mut of = config("main");
        assert_eq!(names(&of), ["main"]);
        of.tail_bucket = Some("tail".to_owned());
        assert_eq!(names(&of), ["main", "tail"]);
        of.tail_bucket = Some("main".to_owned());
        assert_eq!(names(&of), ["main"]);
        of.tail_bucket = Some("tail--use1-az4--x-s3".to_owned());
        assert_eq!(names(&of), ["main"]);
        of.object_store = Some(ObjectStoreKind::Google);
        assert!(names(&of).is_empty());
    }

    #[tokio::test]
    async fn urls_follow_the_endpoint_or_the_region() {
        let url = |config: &StoreConfig| clients(config).remove(0).url;
        let mut of = config("b");
        assert_eq!(url(&of), "https://s3.us-east-1.amazonaws.com/b");
        of.aws.aws_default_region = Some("cn-north-1".to_owned());
        assert_eq!(url(&of), "https://s3.cn-north-1.amazonaws.com.cn/b");
        of.aws.aws_endpoint = Some("http://127.0.0.1:9000/".to_owned());
        assert_eq!(url(&of), "http://127.0.0.1:9000/b");
    }
}
