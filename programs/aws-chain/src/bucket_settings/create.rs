//! Creates a bucket: private, without versions, and without interrupted uploads.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use md5::{Digest, Md5};
use neap_bucket::{S3BucketClient, S3RequestError, S3Response};

use super::answers::error_code;

/// The region whose buckets are created without naming it.
const DEFAULT_REGION: &str = "us-east-1";

const PUBLIC_ACCESS_BLOCK: &str = "<PublicAccessBlockConfiguration \
    xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";

/// One rule: the parts of interrupted uploads are deleted after a day.
const LIFECYCLE: &str = "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
    <ID>incomplete-uploads</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
    <AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
    </AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>";

/// The outcome of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketCreation {
    /// The bucket was created.
    Created,
    /// The bucket exists. It was not changed.
    Exists,
}

/// Error of a creation.
#[derive(Debug, thiserror::Error)]
pub enum CreateBucketError {
    /// The store does not answer.
    #[error(transparent)]
    Request(#[from] S3RequestError),
    /// The store refuses.
    #[error("bucket '{bucket}' can't be created: the store answers {request} with {status} {code}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// The refused request.
        request: &'static str,
        /// The status.
        status: StatusCode,
        /// The code of the error; empty if there is none.
        code: String,
    },
}

/// Creates a bucket, unless it exists.
///
/// # Errors
/// The store does not answer or refuses a request. If it refuses a setting, the bucket exists without it.
pub async fn create_bucket(client: &S3BucketClient) -> Result<BucketCreation, CreateBucketError> {
    let head = send(client, Method::HEAD, "", Bytes::new()).await?;
    match head.status {
        status if status.is_success() => return Ok(BucketCreation::Exists),
        StatusCode::NOT_FOUND => {}
        _ => return Err(refused(client, "HEAD", &head)),
    }
    let region = client.region();
    let body = match region {
        DEFAULT_REGION => String::new(),
        _ => format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        ),
    };
    let steps = [
        ("PUT", "", body),
        (
            "PUT ?publicAccessBlock",
            "publicAccessBlock",
            PUBLIC_ACCESS_BLOCK.to_owned(),
        ),
        ("PUT ?lifecycle", "lifecycle", LIFECYCLE.to_owned()),
    ];
    for (request, query, body) in steps {
        let answer = send(client, Method::PUT, query, body.into()).await?;
        if !answer.status.is_success() {
            return Err(refused(client, request, &answer));
        }
    }
    Ok(BucketCreation::Created)
}

async fn send(
    client: &S3BucketClient,
    method: Method,
    query: &str,
    body: Bytes,
) -> Result<S3Response, S3RequestError> {
    let mut headers = HeaderMap::new();
    // Lifecycle rules need a checksum. This one is known to every store.
    let checksum = STANDARD.encode(Md5::digest(&body));
    if let (false, Ok(checksum)) = (body.is_empty(), HeaderValue::from_str(&checksum)) {
        headers.insert("content-md5", checksum);
    }
    client.send(method, query, headers, body).await
}

fn refused(
    client: &S3BucketClient,
    request: &'static str,
    answer: &S3Response,
) -> CreateBucketError {
    CreateBucketError::Refused {
        bucket: client.bucket().to_owned(),
        request,
        status: answer.status,
        code: error_code(&answer.body).unwrap_or_default(),
    }
}
