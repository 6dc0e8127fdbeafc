//! Tests of links on a real server.

use http::StatusCode;
use neap_s3_server::{Options, S3Server};
use object_store::{
    ClientOptions,
    client::{HttpConnector, HttpRequestBody, ReqwestConnector},
};

use super::*;
use crate::{
    ObjectStoreAdapter, RemoteOptions,
    s3_fixture::{s3_builder, s3_store},
};

fn adapter(server: &S3Server, secret: &str) -> ObjectStoreAdapter {
    let options = RemoteOptions { max_retries: 0, ..RemoteOptions::default() };
    s3_store(s3_builder(server).with_secret_access_key(secret), options)
}

/// Fetches a URL without credentials.
async fn fetch(url: &str) -> (StatusCode, Option<String>, Bytes) {
    let options = ClientOptions::new().with_allow_http(true);
    let client = ReqwestConnector::default().connect(&options).unwrap();
    let request = http::Request::get(url).body(HttpRequestBody::empty());
    let answer = client.execute(request.unwrap()).await.unwrap();
    let content_type = answer
        .headers()
        .get(http::header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status();
    let body = answer.into_body().bytes().await.unwrap();
    (status, content_type, body)
}

fn key() -> Key {
    "results/00000000000000000000000001.csv".parse().unwrap()
}

fn csv() -> ObjectHeaders {
    ObjectHeaders { kind: "text/csv".to_owned(), ..ObjectHeaders::default() }
}

#[tokio::test]
async fn a_url_gives_the_object_without_credentials() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let links = adapter(&server, S3Server::SECRET_KEY).links("clusters/one/");
    // In one piece, and in parts with a shorter last part.
    for size in [10, 2 * PART_BYTES + 12_345] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let bytes = Bytes::from(bytes);
        let mut upload = links.upload(&key(), csv()).unwrap();
        for start in (0..size).step_by(1_000_000) {
            let piece = bytes.slice(start..size.min(start + 1_000_000));
            upload.put(piece).await.unwrap();
        }
        upload.finish().await.unwrap();
        let url = links.url(&key(), Duration::from_secs(60)).await.unwrap();
        assert!(url.contains("/clusters/one/results/"), "{url}");
        let (status, content_type, body) = fetch(&url).await;
        assert_eq!((status, body.len()), (StatusCode::OK, size));
        assert_eq!(content_type.as_deref(), Some("text/csv"));
        assert_eq!(body, bytes);
    }
}

#[tokio::test]
async fn an_aborted_upload_creates_no_object() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let links = adapter(&server, S3Server::SECRET_KEY).links("");
    let mut upload = links.upload(&key(), csv()).unwrap();
    upload.put(Bytes::from(vec![0; PART_BYTES + 1])).await.unwrap();
    upload.abort().await;
    let url = links.url(&key(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(fetch(&url).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_store_that_refuses_is_an_error() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let links = adapter(&server, "wrong").links("");
    let mut upload = links.upload(&key(), csv()).unwrap();
    upload.put(Bytes::from_static(b"x")).await.unwrap();
    assert!(upload.finish().await.is_err());
}
