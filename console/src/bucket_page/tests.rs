//! Tests of the page in a bucket.

use axum::body::Body;
use http::Method;
use neap_bucket::PutMode;

use super::*;
use crate::test_server::{TestPage, TestServer};

async fn server(is_on: bool) -> TestServer {
    let server = TestServer::with(TestPage::Bucket { is_on }, true).await;
    for (name, content) in [("index.html", "<p>page"), ("assets/a-1.js", "let a = 1")] {
        let key = Key::Console(name.parse().unwrap());
        let put = server.catalog.bucket().put(&key, content.into(), PutMode::Create);
        put.await.unwrap();
    }
    server
}

#[tokio::test]
async fn the_page_is_read_from_the_bucket() {
    let server = server(true).await;
    let page = server.get("/", "").await;
    assert_eq!((page.status, page.body.as_slice()), (200, b"<p>page".as_slice()));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(page.header("content-security-policy").is_some());
    let script = server.get("/console/assets/a-1.js", "").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.body, b"let a = 1");
    let gzip = [("accept-encoding", "gzip")];
    let gzip = server.send(Method::GET, "/", "", &gzip, Body::empty()).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    for path in [
        "/console/assets/b.js",
        "/console/assets/..%2F..%2Fcatalog",
        "/console/assets/%2E.js",
    ] {
        assert_eq!(server.get(path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_is_off_is_not_found() {
    let server = server(false).await;
    for path in ["/", "/console/assets/a-1.js"] {
        assert_eq!(server.get(path, "").await.status, 404, "{path}");
    }
}

#[test]
fn the_origin_of_a_link_has_no_path_and_no_signature() {
    for (url, expected) in [
        (
            "https://b.s3.eu-central-1.amazonaws.com/results/1.arrow?X-Amz-Signature=1",
            Some("https://b.s3.eu-central-1.amazonaws.com"),
        ),
        ("http://127.0.0.1:9000/bucket/x", Some("http://127.0.0.1:9000")),
        ("/path", None),
    ] {
        assert_eq!(origin(url).as_deref(), expected, "{url}");
    }
}

#[test]
fn results_at_another_origin_are_allowed_by_the_policy() {
    let mut headers = HeaderMap::new();
    allow_results_at(&mut headers, "https://b.s3.amazonaws.com");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("; connect-src 'self' https://b.s3.amazonaws.com; "), "{policy}");
}
