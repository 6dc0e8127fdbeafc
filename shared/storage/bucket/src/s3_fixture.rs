//! Stores of tests on an S3 server of tests.

use neap_s3_server::S3Server;
use object_store::aws::AmazonS3Builder;

use crate::{ObjectStoreAdapter, RemoteOptions};

/// Returns the configuration of a client of a server, with its bucket and its keys.
pub(crate) fn s3_builder(server: &S3Server) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_bucket_name(server.bucket())
        .with_region("us-east-1")
        .with_access_key_id(S3Server::ACCESS_KEY)
        .with_secret_access_key(S3Server::SECRET_KEY)
}

/// Returns a store over HTTP.
pub(crate) fn s3_store(builder: AmazonS3Builder, options: RemoteOptions) -> ObjectStoreAdapter {
    let options = RemoteOptions { allow_http: true, ..options };
    ObjectStoreAdapter::s3(builder, &options).unwrap()
}
