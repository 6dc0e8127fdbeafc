//! Observation of requests and responses.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, Method, Request, Response, header};
use percent_encoding::percent_decode_str;

/// Receives every answered request. It is called on the server's task, so it must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Called when a request has been answered.
    fn answered(&self, request: &ObservedRequest<'_>);
}

/// The operation of a request, in the categories of S3's billing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// Read of an object or a range of it.
    Get,
    /// Read of an object's metadata.
    Head,
    /// Write of an object or a part, or start or completion of a multipart upload.
    Put,
    /// Copy within the server.
    Copy,
    /// Delete of one object.
    Delete,
    /// Delete of several objects.
    BulkDelete,
    /// One page of a listing.
    List,
    /// Any other request.
    Other,
}

impl Operation {
    /// Returns the name for logs and counters.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A request and its response.
#[derive(Clone, Debug)]
pub struct ObservedRequest<'a> {
    /// The access key of the signature, if the request is signed.
    pub user: Option<&'a str>,
    /// The operation.
    pub operation: Operation,
    /// The method.
    pub method: &'a Method,
    /// The query of the URL, as it was sent.
    pub query: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The key; for a listing, its prefix.
    pub key: &'a str,
    /// The status of the response.
    pub status: u16,
    /// The size of the request body in bytes, as the client declared it.
    pub size_bytes: u64,
    /// The ETag in the response, without quotes.
    pub etag: Option<&'a str>,
    /// The storage class that the client asks for.
    pub storage_class: Option<&'a str>,
}

/// A request that has not been answered yet.
#[derive(Clone, Debug)]
pub(crate) struct UnansweredRequest {
    pub(crate) user: Option<String>,
    pub(crate) operation: Operation,
    method: Method,
    query: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    size_bytes: u64,
    storage_class: Option<String>,
}

impl UnansweredRequest {
    pub(crate) fn from_request<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let key = decode(key).into_owned();
        let operation = operation(request, &key, query);
        let key = match operation {
            Operation::List => parameter(query, "prefix").unwrap_or_default(),
            _ => key,
        };
        Self {
            user: user(request.headers(), query),
            operation,
            method: request.method().clone(),
            query: query.to_owned(),
            bucket: bucket.to_owned(),
            key,
            size_bytes: size(request.headers()),
            storage_class: storage_class(request.headers()),
        }
    }

    pub(crate) fn notify<B>(&self, observer: &dyn Observer, response: &Response<B>) {
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        observer.answered(&ObservedRequest {
            user: self.user.as_deref(),
            operation: self.operation,
            method: &self.method,
            query: &self.query,
            bucket: &self.bucket,
            key: &self.key,
            status: response.status().as_u16(),
            size_bytes: self.size_bytes,
            etag: etag.map(|etag| etag.trim_matches('"')),
            storage_class: self.storage_class.as_deref(),
        });
    }
}

fn operation<B>(request: &Request<B>, key: &str, query: &str) -> Operation {
    let has = |name: &str| parameter(query, name).is_some();
    let method = request.method();
    match (method, key.is_empty()) {
        (&Method::GET, false) => Operation::Get,
        (&Method::HEAD, false) => Operation::Head,
        (&Method::PUT, false) if request.headers().contains_key("x-amz-copy-source") => {
            Operation::Copy
        }
        (&Method::PUT, false) => Operation::Put,
        (&Method::POST, false) if has("uploads") || has("uploadId") => Operation::Put,
        (&Method::DELETE, false) if !has("uploadId") => Operation::Delete,
        (&Method::GET, true) if has("list-type") => Operation::List,
        (&Method::POST, true) if has("delete") => Operation::BulkDelete,
        _ => Operation::Other,
    }
}

/// Returns the access key of a signature in the header or in the URL.
fn user(headers: &HeaderMap, query: &str) -> Option<String> {
    let scope = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (_, rest) = value.to_str().ok()?.split_once("Credential=")?;
            rest.to_owned()
        }
        None => parameter(query, "X-Amz-Credential")?,
    };
    let (user, _) = scope.split_once('/')?;
    Some(user.to_owned())
}

/// Returns the size of the request body in bytes, without the framing of signed chunks.
fn size(headers: &HeaderMap) -> u64 {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    number("x-amz-decoded-content-length")
        .or_else(|| number("content-length"))
        .unwrap_or(0)
}

fn storage_class(headers: &HeaderMap) -> Option<String> {
    let class = headers.get("x-amz-storage-class")?;
    class.to_str().ok().map(str::to_owned)
}

/// Returns the decoded value of a query parameter; empty if it has no value.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(&value.replace('+', " ")).into_owned())
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> (Operation, String, Option<String>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:1{target}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host",
            )
            .body(())
            .unwrap();
        let asked = UnansweredRequest::from_request(&request);
        (asked.operation, asked.key, asked.user)
    }

    #[test]
    fn operations_are_recognized() {
        for (method, target, operation, key) in [
            ("GET", "/b/tail/1/x%2Dy", Operation::Get, "tail/1/x-y"),
            ("HEAD", "/b/k", Operation::Head, "k"),
            ("PUT", "/b/k", Operation::Put, "k"),
            ("POST", "/b/k?uploads", Operation::Put, "k"),
            ("DELETE", "/b/k", Operation::Delete, "k"),
            ("DELETE", "/b/k?uploadId=1", Operation::Other, "k"),
            ("POST", "/b?delete=", Operation::BulkDelete, ""),
            ("GET", "/b?list-type=2&prefix=tail%2F1%2F", Operation::List, "tail/1/"),
            ("GET", "/", Operation::Other, ""),
        ] {
            let expected = (operation, key.to_owned(), Some("AKID".to_owned()));
            assert_eq!(asked(method, target), expected, "{method} {target}");
        }
    }
}
