//! Tests of the page in the program. They hold with and without a built page.

use std::{collections::BTreeSet, fs, io::Read, path::Path};

use axum::body::Body;
use flate2::read::GzDecoder;
use http::Method;

use super::*;
use crate::test_server::{TestAnswer, TestServer};

const BUILT_PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist");

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

fn assert_page_headers(answer: &TestAnswer, caching: &str) {
    insta::allow_duplicates! {
        insta::assert_snapshot!(answer.header("content-security-policy").unwrap(), @"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'");
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("vary", "accept-encoding"),
        ("cache-control", caching),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn embedded_files_are_those_that_were_built() {
    let built = Path::new(BUILT_PAGE);
    let mut expected = BTreeSet::new();
    if built.join("index.html").is_file() {
        expected.insert("/".to_owned());
        let assets = fs::read_dir(built.join("console/assets"));
        for entry in assets.into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            expected.insert(format!("/console/assets/{name}"));
        }
    }
    let embedded: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(embedded, expected);
    assert!(FILES.is_sorted_by_key(|file| file.path));
    for file in FILES {
        let place = match file.path {
            PAGE => built.join("index.html"),
            path => built.join(path.trim_start_matches('/')),
        };
        assert!(decompressed(file.gzip) == fs::read(&place).unwrap(), "{}", file.path);
    }
}

#[tokio::test]
async fn the_page_needs_no_token_and_has_its_headers() {
    let server = TestServer::new().await;
    let page = server.get("/", "").await;
    assert_eq!(page.status, 200);
    assert_page_headers(&page, "no-cache");
    let text = String::from_utf8(page.body.clone()).unwrap();
    match find(PAGE) {
        Some(file) => {
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(text.as_bytes(), decompressed(file.gzip));
            let gzip = [("accept-encoding", "gzip, br")];
            let gzip = server.send(Method::GET, "/", "", &gzip, Body::empty()).await;
            assert_eq!(gzip.header("content-encoding"), Some("gzip"));
            assert_eq!(gzip.body, file.gzip);
        }
        None => {
            assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
            assert!(text.contains("npm run build"), "{text}");
        }
    }
    let head = server.send(Method::HEAD, "/", "", &[], Body::empty()).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_page_headers(&head, "no-cache");
    let post = server.send(Method::POST, "/", "", &[], Body::empty()).await;
    assert_eq!(post.status, 401);
}

#[tokio::test]
async fn files_need_no_token_and_are_kept_by_browsers() {
    let server = TestServer::new().await;
    for file in FILES.iter().filter(|file| file.path != PAGE) {
        let answer = server.get(file.path, "").await;
        assert_eq!(answer.status, 200, "{}", file.path);
        assert_page_headers(&answer, "public, max-age=31536000, immutable");
        assert!(answer.body == decompressed(file.gzip), "{}", file.path);
        assert_ne!(answer.header("content-type"), Some("application/octet-stream"));
    }
}

#[tokio::test]
async fn unknown_paths_read_no_files() {
    let server = TestServer::new().await;
    for path in [
        "/console/assets/",
        "/console/assets/missing.js",
        "/console/assets/../../../../etc/passwd",
        "/console/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/console/assets/%2fetc%2fpasswd",
        "/console/assets//etc/passwd",
        "/console/assets/../../index.html",
        "/console/assets/../../../Cargo.toml",
        "/console/assets/build.rs",
    ] {
        let answer = server.get(path, "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, b"Not found", "{path}");
    }
    // Other paths need a token, as they always did.
    for path in ["/index.html", "/console", "/console/", "/console/index.html"] {
        assert_eq!(server.get(path, "").await.status, 401, "{path}");
        assert_eq!(server.get(path, &server.admin).await.status, 404, "{path}");
    }
}
